"""Tensors as the cluster carries them: a dtype, a shape, raw bytes. Needs no numpy: the master only joins and slices.

An instance is one value per input; a batch is columnar: per input one Column, stacked when the instances agree.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

# numpy's array-interface typestr (little-endian) -> bytes per element. Nothing else travels: no object, no structure.
ITEM_BYTES: Final = {
    "|b1": 1,
    "|i1": 1,
    "|u1": 1,
    "<i2": 2,
    "<u2": 2,
    "<i4": 4,
    "<u4": 4,
    "<i8": 8,
    "<u8": 8,
    "<f2": 2,
    "<f4": 4,
    "<f8": 8,
}

Buffer: TypeAlias = bytes | bytearray | memoryview

# Measured: below this a copy into a message's header is cheaper than a frame of its own.
INLINE_BYTES: Final = 64 * 1024
# Smaller ones are joined faster at once than one by one later, and copied faster than shared.
_PIECE_BYTES: Final = 4096


class Borrowed(ABC):
    """Bytes that somebody else keeps. They are copied when they are wanted, and straight to where they are wanted."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def read_into(self, room: memoryview) -> None:
        """Fills the room, which is as long as this."""

    @abstractmethod
    def joined(self) -> bytes:
        """As one buffer."""


class Pieces:
    """Bytes that follow each other. Whoever copies them anyway need not join them first."""

    __slots__ = ("_nbytes", "parts")

    def __init__(self, parts: Sequence[Buffer | Borrowed]) -> None:
        self.parts = parts
        self._nbytes = sum([len(part) for part in parts])

    def __len__(self) -> int:
        return self._nbytes

    def joined(self) -> bytes:
        """As one buffer."""
        return b"".join([as_buffer(part) for part in self.parts])


Frame: TypeAlias = Buffer | Pieces | Borrowed


def as_buffer(frame: Frame) -> Buffer:
    """The frame, as one buffer here."""
    if isinstance(frame, bytes):  # of these questions, compiled, the first two cost nothing
        return frame
    if isinstance(frame, Pieces):
        return frame.joined()
    return frame if isinstance(frame, memoryview | bytearray) else frame.joined()


class Tensor(NamedTuple):
    """One array: `data` holds the values little-endian in C order, product(shape) * item bytes long."""

    dtype: str
    shape: tuple[int, ...]
    data: Buffer


Value: TypeAlias = Tensor | str | bytes
Instance: TypeAlias = tuple[Value, ...]  # one value per input (or output) of a method, in its declared order


class Stacked:
    """A column whose instances agree in dtype and shape: shape[0] is the number of instances. It does not change.

    Not a named tuple: several are made for each request, and compiled this is made in a third of the time.
    """

    __slots__ = ("_frame", "dtype", "shape")

    def __init__(self, dtype: str, shape: tuple[int, ...], frame: Frame) -> None:
        self.dtype = dtype
        self.shape = shape
        self._frame: Frame = frame

    @property
    def frame(self) -> Frame:
        """The values, as they came in: in pieces, or elsewhere."""
        return self._frame

    @property
    def data(self) -> Buffer:
        """The values, as one buffer."""
        data = self._frame = as_buffer(self._frame)
        return data

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Stacked):
            return NotImplemented
        return (self.dtype, self.shape, self.data) == (other.dtype, other.shape, other.data)

    def __hash__(self) -> int:
        return hash((self.dtype, self.shape))

    def __repr__(self) -> str:
        return f"Stacked({self.dtype!r}, {self.shape!r}, {len(self._frame)} bytes)"


Column: TypeAlias = Stacked | tuple[Value, ...]


def nbytes(dtype: str, shape: Sequence[int]) -> int:
    """Bytes that an array of this dtype and shape occupies."""
    return math.prod(shape) * ITEM_BYTES[dtype]


def to_column(values: Sequence[Value]) -> Column:
    """One input's values of all instances: one joined buffer when they agree, else as they are."""
    first = values[0]
    if not isinstance(first, Tensor):
        return tuple(values)
    dtype, shape, data = first
    if len(values) == 1:
        return Stacked(dtype, (1, *shape), data)
    buffers = []
    for value in values:
        if not isinstance(value, Tensor) or value[0] != dtype or value[1] != shape:
            return tuple(values)
        buffers.append(value[2])
    return Stacked(dtype, (len(values), *shape), b"".join(buffers))


def to_columns(instances: Sequence[Instance]) -> tuple[Column, ...]:
    """A column for each input."""
    return tuple([to_column(values) for values in zip(*instances, strict=True)])


def join_columns(parts: Sequence[Column]) -> Column:
    """The instances of all parts, in order: one joined buffer when they agree in dtype and shape, else as they are."""
    first = parts[0]
    if len(parts) == 1:
        return first
    if isinstance(first, Stacked):
        dtype, count, shape = first.dtype, first.shape[0], first.shape[1:]
        joined = [_undivided(first)]
        for part in parts[1:]:
            if not isinstance(part, Stacked) or part.dtype != dtype or part.shape[1:] != shape:
                break
            count += part.shape[0]
            joined.append(_undivided(part))
        else:
            pieces = Pieces(joined)
            is_large = len(pieces) >= max(INLINE_BYTES, _PIECE_BYTES * len(joined))
            return Stacked(dtype, (count, *shape), pieces if is_large else pieces.joined())
    return to_column([value for part in parts for value in from_column(part)])


def _undivided(column: Stacked) -> Buffer | Borrowed:
    frame = column.frame
    return column.data if isinstance(frame, Pieces) else frame


def cut_column(column: Column, start: int, stop: int) -> Column:
    """Some of its instances. A large slice of a buffer shares its memory."""
    if start == 0 and stop == column_length(column):
        return column
    if not isinstance(column, Stacked):
        return to_column(column[start:stop])
    data = column.data
    step = len(data) // column.shape[0]
    count = stop - start
    rows = data if count * step <= _PIECE_BYTES else memoryview(data)
    return Stacked(column.dtype, _with_count(count, column.shape), rows[start * step : stop * step])


def _with_count(count: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of another number of instances."""
    return (count,) + shape[1:]  # compiled, to unpack it makes a list first


def row_bytes(column: Column, index: int) -> int:
    """What one instance of it weighs."""
    if isinstance(column, Stacked):
        return len(column.frame) // column.shape[0]
    value = column[index]
    return len(value.data) if isinstance(value, Tensor) else len(value)


def from_column(column: Column) -> Sequence[Value]:
    """The values of a column, one per instance. Slices share the column's memory."""
    if not isinstance(column, Stacked):
        return column
    dtype, count, shape, data = column.dtype, column.shape[0], column.shape[1:], column.data
    if count == 1:
        return (Tensor(dtype, shape, data),)
    step = nbytes(dtype, shape)
    view = memoryview(data)
    return (
        [Tensor(dtype, shape, view[start : start + step]) for start in range(0, count * step, step)]
        if step
        else [Tensor(dtype, shape, b"") for _ in range(count)]
    )


def column_length(column: Column) -> int:
    """How many instances a column holds."""
    return column.shape[0] if isinstance(column, Stacked) else len(column)
