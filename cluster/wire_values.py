"""The values in a message's header, and the columns of a batch: how codec.py writes them, and how it reads a peer's.

Whatever a peer says is looked at before it is used: what is read here raises ValueError, TypeError, KeyError or
IndexError where it is not as it should be, which codec.py makes a FrameError.
"""

from collections.abc import Sequence
from typing import Any, Final

from mindspore_serving.cluster.direct import MAX_FRAMES
from mindspore_serving.cluster.tensors import (
    INLINE_BYTES,
    ITEM_BYTES,
    Buffer,
    Column,
    Frame,
    Stacked,
    Tensor,
    Value,
    column_length,
    nbytes,
)

MAX_DIMS: Final = 32  # numpy's own limit before 2.0
MAX_NAME: Final = 1024  # characters in any name or address a peer tells
MAX_ARGUMENTS: Final = 256  # inputs or outputs of a method
MAX_BATCH: Final = 1 << 20  # instances in one batch
MAX_SECONDS: Final = 1e9  # of any duration: thirty years


def read_int(value: Any, low: int = 0, high: int = 2**63 - 1) -> int:
    """An integer in this range."""
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"expected an integer from {low} to {high}")
    return value


def read_flag(value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise TypeError("expected true or false")
    return value


def read_text(value: Any) -> str:
    """A text of any length."""
    if not isinstance(value, str):
        raise TypeError("expected a text")
    return value


def read_name(value: Any) -> str:
    """A text of at most MAX_NAME characters."""
    if len(read_text(value)) > MAX_NAME:
        raise ValueError(f"expected a text of at most {MAX_NAME} characters")
    return read_text(value)


def read_names(value: Any) -> tuple[str, ...]:
    """At most MAX_ARGUMENTS names."""
    return tuple(read_name(item) for item in read_tuple(value, MAX_ARGUMENTS))


def read_tuple(value: Any, most: int) -> tuple[Any, ...]:
    """An array of at most so many items."""
    if not isinstance(value, tuple) or len(value) > most:
        raise ValueError(f"expected an array of at most {most} items")
    return value


def read_seconds(value: Any) -> float:
    """A number of seconds, not negative, of at most MAX_SECONDS."""
    if type(value) not in (float, int) or not 0 <= value <= MAX_SECONDS:
        raise ValueError("expected a number of seconds")
    return float(value)


def _pack_array(array: Stacked | Tensor, frames: list[Frame]) -> dict[bytes, Any]:
    frame = array.frame if isinstance(array, Stacked) else array.data
    data: Buffer | int
    # A message has so many frames at most: what is left of them, of very uneven instances, stands in the header.
    if len(frame) >= INLINE_BYTES and len(frames) < MAX_FRAMES - 1:
        frames.append(frame)
        data = len(frames)
    else:
        data = array.data
    return {
        b"nd": True,
        b"type": array.dtype,
        b"kind": b"",
        b"shape": array.shape,
        b"data": data,
    }


def _read_array(item: dict[Any, Any], frames: Sequence[Buffer]) -> tuple[str, tuple[int, ...], Buffer]:
    dtype = item[b"type"]
    if item.get(b"kind") != b"" or not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        raise ValueError("an array's dtype is not one of " + ", ".join(ITEM_BYTES))
    shape = tuple(read_int(size) for size in read_tuple(item[b"shape"], MAX_DIMS))
    data = item[b"data"]
    if type(data) is int:
        data = frames[read_int(data, 1, len(frames) - 1)]
    elif not isinstance(data, bytes):
        raise ValueError("an array's data is neither bytes nor a frame's number")
    if len(data) != nbytes(dtype, shape):
        raise ValueError(f"an array of dtype {dtype} and shape {shape} has {len(data)} bytes")
    return dtype, shape, data


def pack_column(column: Column, frames: list[Frame]) -> Any:
    """The column as it stands in the header; large buffers go to `frames`."""
    if isinstance(column, Stacked):
        return _pack_array(column, frames)
    return [_pack_array(value, frames) if isinstance(value, Tensor) else value for value in column]


def _read_column(item: Any, frames: Sequence[Buffer]) -> Column:
    if isinstance(item, dict):
        stacked = Stacked(*_read_array(item, frames))
        if not stacked.shape or stacked.shape[0] > MAX_BATCH:
            raise ValueError("a stacked column needs its number of instances as the first dimension")
        return stacked
    return tuple(_read_value(value, frames) for value in read_tuple(item, MAX_BATCH))


def _read_value(item: Any, frames: Sequence[Buffer]) -> Value:
    if isinstance(item, dict):
        return Tensor(*_read_array(item, frames))
    if isinstance(item, str | bytes):
        return item
    raise ValueError("a value is neither an array nor a text nor bytes")


def read_columns(items: Any, count: int, frames: Sequence[Buffer]) -> tuple[Column, ...]:
    """The columns, each of so many instances."""
    columns = tuple(_read_column(item, frames) for item in read_tuple(items, MAX_ARGUMENTS))
    if any(column_length(column) != count for column in columns):
        raise ValueError(f"a column does not hold {count} instances")
    return columns
