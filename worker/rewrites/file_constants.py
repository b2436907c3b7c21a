"""Constants as mind_ir.proto holds them: in an AttributeProto, and the numbers of a TensorProto."""

import math
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

FLOAT32, UINT8, INT8, INT32, INT64, BOOL, FLOAT16 = 1, 2, 3, 6, 7, 9, 10  # TensorProto.DataType
# MindSpore's enumeration of types, as operators are told of them.
TOLD_INT32, TOLD_INT64, TOLD_FLOAT16, TOLD_FLOAT32, TOLD_BFLOAT16 = 34, 35, 42, 43, 45
_LAYOUTS = {FLOAT32: "<f", INT32: "<i", INT64: "<q", BOOL: "<?"}  # of what they hold, as struct and numpy call it
# AttributeProto.AttributeType
TENSORS, TUPLE, SCALAR = 19, 20, 39
_FLOAT, _WHOLE, _STRING, _BOOL, _UMONAD, _IOMONAD, _NONE = 1, 7, 8, 9, 23, 24, 25


class Unknown:
    """A constant that no rewriting reads."""


UNKNOWN = Unknown()


def read(attribute: Any) -> Any:
    """None, a bool, a number, or a tuple of integers; a number may be a tensor without dimensions. Or UNKNOWN."""
    if attribute.type == TUPLE:
        are_whole = all(part.type == _WHOLE and len(part.ints) == 1 for part in attribute.values)
        return tuple(part.ints[0] for part in attribute.values) if are_whole else UNKNOWN
    if attribute.type == TENSORS:
        numbers = [_number(tensor) for tensor in attribute.tensors]
        return UNKNOWN if len(numbers) != 1 or numbers[0] is None else numbers[0]
    readers = {_NONE: None, _BOOL: bool(attribute.i), _WHOLE: attribute.i, _FLOAT: attribute.f}
    return readers.get(attribute.type, UNKNOWN)


def write(
    attribute: Any, constant: bool | int | float | str | tuple[int, ...] | npt.NDArray[np.float32] | None
) -> None:
    """A float becomes a tensor without dimensions."""
    if isinstance(constant, tuple):
        attribute.type = TUPLE
        for number in constant:
            attribute.values.add(type=_WHOLE, ints=[number])
    elif isinstance(constant, float | np.ndarray):
        array = np.asarray(constant, "<f4")
        attribute.type = TENSORS
        attribute.tensors.add(data_type=FLOAT32, name="value0", dims=array.shape, raw_data=array.tobytes())
    elif constant is None:
        attribute.type = _NONE
    elif isinstance(constant, str):
        attribute.type, attribute.s = _STRING, constant.encode()
    else:
        attribute.type = _BOOL if isinstance(constant, bool) else _WHOLE
        attribute.i = int(constant)


def is_state(attribute: Any) -> bool:
    """Whether it is no value, but stands for what has happened before."""
    return attribute.type in (_UMONAD, _IOMONAD)


def numbers_of(attribute: Any) -> Iterator[int]:
    """Whole numbers, those of tuples in tuples one behind the other."""
    if attribute.values:
        for part in attribute.values:
            yield from numbers_of(part)
    else:
        yield from attribute.ints or [attribute.i]


def read_array(tensor: Any) -> npt.NDArray[Any] | None:
    """Of float32, int32, int64 or bool; None for another type, or if some are missing."""
    layout, shape = _LAYOUTS.get(tensor.data_type), tuple(tensor.dims)
    if layout is None or len(tensor.raw_data) != struct.calcsize(layout) * math.prod(shape):
        return None
    return np.frombuffer(tensor.raw_data, layout).reshape(shape)


def _number(tensor: Any) -> int | float | None:
    array = None if tensor.dims or tensor.data_type == BOOL else read_array(tensor)
    return None if array is None else array.item()
