"""The data of this example: scikit-learn's 8x8 digits as PNG files, split into training and held-out ones."""

import io

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

_SPLIT_SEED = 1
_HELD_OUT = 360  # of 1797
_MAX_INK = 16  # load_digits counts the inked pixels of each 4x4 block

Samples = list[tuple[bytes, int]]  # a PNG file, and the digit it shows


def digits() -> tuple[Samples, Samples]:
    """The training samples and the held-out samples: always the same ones."""
    images, labels = load_digits(return_X_y=True)
    samples = [(_png(image.reshape(8, 8)), int(label)) for image, label in zip(images, labels, strict=True)]
    training, held_out = train_test_split(samples, test_size=_HELD_OUT, random_state=_SPLIT_SEED, stratify=labels)
    return training, held_out


def _png(ink: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray((ink * (255 / _MAX_INK)).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()
