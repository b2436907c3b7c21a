"""Tensors as the cluster carries them: a dtype, a shape, raw bytes. Needs no numpy: the master only joins and slices.

An instance is one value per input; a batch is columnar: per input one Column, stacked when the instances agree.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

# numpy's array-interface typestr (little-endian) -> bytes per element. Nothing else travels: no object, no structure.
ITEM_BYTES = {
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


class Tensor(NamedTuple):
    """One array: `data` holds the values little-endian in C order, product(shape) * item bytes long."""

    dtype: str
    shape: tuple[int, ...]
    data: Buffer


Value: TypeAlias = Tensor | str | bytes
Instance: TypeAlias = tuple[Value, ...]  # one value per input (or output) of a method, in its declared order


class Stacked(NamedTuple):
    """A column whose instances agree in dtype and shape: shape[0] is the number of instances."""

    dtype: str
    shape: tuple[int, ...]
    data: Buffer


Column: TypeAlias = Stacked | tuple[Value, ...]


def nbytes(dtype: str, shape: Sequence[int]) -> int:
    """Bytes that an array of this dtype and shape occupies."""
    return math.prod(shape) * ITEM_BYTES[dtype]


def value_bytes(value: Value) -> int:
    """What one value weighs in a queue."""
    return len(value.data) if isinstance(value, Tensor) else len(value)


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


def from_column(column: Column) -> Sequence[Value]:
    """The values of a column, one per instance. Slices share the column's memory."""
    if not isinstance(column, Stacked):
        return column
    dtype, (count, *rest), data = column
    shape = tuple(rest)
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
