"""What every tensor of a client has to obey, through whichever door. The texts are those of MindSpore Serving 2.0.2."""

import math
from collections.abc import Sequence

from mindspore_serving.cluster.wire_values import MAX_DIMS

MOST_DIMS = MAX_DIMS - 1  # a batch of such tensors has one dimension more
MOST_INSTANCES = 1 << 16  # of one request: each takes some 500 bytes here, whatever is in it
MOST_EMPTY = 1 << 22  # the product of an empty tensor's other dimensions, which no data backs


class TensorFault(ValueError):
    """A client's tensor breaks the rules."""


def is_shape(shape: Sequence[int]) -> bool:
    """Whether a tensor may have this shape: a zero stands only last."""
    if not shape:
        return True
    *outer, last = shape
    return (
        len(shape) <= MOST_DIMS
        and all(size > 0 for size in outer)
        and (last > 0 or (last == 0 and math.prod(outer) <= MOST_EMPTY))
    )


def check_text_shape(shape: Sequence[int]) -> None:
    """There are no arrays of strings or bytes. Raises TensorFault."""
    if list(shape) not in ([], [1]):
        raise TensorFault(
            "Instance tensor check failed: bytes or string type input  shape can only be (1,) or empty, "
            f"but given shape is {list(shape)}"
        )


def to_text(value: bytes) -> str:
    """The string that these bytes are. Raises TensorFault."""
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise TensorFault(f"Instance tensor check failed: string is not UTF-8 at byte {error.start}") from error
