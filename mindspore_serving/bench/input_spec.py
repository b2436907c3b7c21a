"""An input as the command line describes it: a name, a type, a shape. Without numpy: --help should be quick."""

import math
import re
from typing import NamedTuple

from mindspore_serving.cluster.errors import SetupError

MAX_BYTES = 512 << 20  # of one value: no server takes a larger message
NUMBER_BYTES = {
    "bool": 1,
    "int8": 1,
    "uint8": 1,
    "int16": 2,
    "uint16": 2,
    "int32": 4,
    "uint32": 4,
    "int64": 8,
    "uint64": 8,
    "float16": 2,
    "float32": 4,
    "float64": 8,
}  # numpy's name -> bytes per element
_SPEC = re.compile(r"([^=]+)=(\w+)\[([0-9, ]*)\]")


class InputSpec(NamedTuple):
    """A random value: an array of this shape, or str or bytes of shape[0] characters."""

    name: str
    dtype: str
    shape: tuple[int, ...]


def parse_input_spec(text: str) -> InputSpec:
    """Reads NAME=DTYPE[SHAPE]. Raises SetupError."""
    found = _SPEC.fullmatch(text)
    if not found:
        raise SetupError(f"--input '{text}' is not NAME=DTYPE[SHAPE], for example x1=float32[2,2]")
    name, dtype, sizes = found.groups()
    try:
        shape = tuple(int(size) for size in sizes.split(",")) if sizes.strip() else ()
    except ValueError:
        raise SetupError(f"--input '{text}': the shape [{sizes}] is not numbers with commas between") from None
    if dtype not in (*NUMBER_BYTES, "str", "bytes"):
        raise SetupError(f"--input '{text}': the type '{dtype}' is not one of {', '.join(NUMBER_BYTES)}, str, bytes")
    if dtype in ("str", "bytes") and len(shape) != 1:
        raise SetupError(f"--input '{text}': {dtype} has a length, for example {name}={dtype}[100]")
    if math.prod(shape) * NUMBER_BYTES.get(dtype, 1) > MAX_BYTES:
        raise SetupError(f"--input '{text}' has more than {MAX_BYTES >> 20} MB")
    return InputSpec(name, dtype, shape)
