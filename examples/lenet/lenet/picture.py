"""From an image file to the model's input: the same code for training and for serving, so that both see the same."""

import io

import numpy as np
from PIL import Image

SIDE = 32  # LeNet-5's input is 1x32x32
_MAX_PIXELS = 1 << 20  # a small file can hold a huge image: it is refused before it is decoded


def to_input(png: bytes) -> np.ndarray:
    """A PNG file of any size and mode, a light digit on a dark ground, as float32 (1, 32, 32) from -1 to 1.

    Raises ValueError for bytes that are no such file.
    """
    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
            if image.width * image.height > _MAX_PIXELS:
                raise ValueError(f"it has {image.width}x{image.height} pixels, more than {_MAX_PIXELS}")
            gray = _gray(image).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    except Image.UnidentifiedImageError:
        raise ValueError(f"the image cannot be read: its {len(png)} bytes are not a PNG file") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # all that Pillow raises
        raise ValueError(f"the image cannot be read: {error}") from error
    return np.asarray(gray, np.float32)[np.newaxis] / 127.5 - 1


def _gray(image: Image.Image) -> Image.Image:
    # Pillow cuts 16-bit gray off at 255 where it should scale.
    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)) if image.mode[0] == "I" else image.convert("L")
