"""The cluster's columns <-> numpy arrays, in msgpack-numpy's coding; and what a stage's function sees and returns.

Stacked columns, which are most of all, are made and read here: msgpack-numpy takes four times as long for the same.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias, cast

import msgpack_numpy
import numpy as np
import numpy.typing as npt

from mindspore_serving.cluster.tensors import INLINE_BYTES, ITEM_BYTES, Column, Stacked, Tensor
from mindspore_serving.cluster.tensors import Value as WireValue
from mindspore_serving.worker.illegal_result import IllegalResult

Array = npt.NDArray[Any]
Value: TypeAlias = Array | str | bytes  # one instance's value
# All instances': stacked, or one by one (None: that instance has failed).
Values: TypeAlias = Array | list[Value | None]

_DTYPES = {name: np.dtype(name) for name in ITEM_BYTES}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}  # numpy spells it out at each look
_KINDS = {
    "b1": "Bool",
    "i1": "Int8",
    "u1": "Uint8",
    "i2": "Int16",
    "u2": "Uint16",
    "i4": "Int32",
    "u4": "Uint32",
    "i8": "Int64",
    "u8": "Uint64",
    "f2": "Float16",
    "f4": "Float32",
    "f8": "Float64",
}


_MOST_AXES = 32  # of numpy's arrays: one is the batch's


def from_column(column: Column) -> Values:
    """All instances' values. Arrays share the column's memory and are read-only."""
    if isinstance(column, Stacked):
        # The codec has checked that they fit each other.
        return np.ndarray(column.shape, _DTYPES[column.dtype], column.data)
    return [_from_wire_value(value) for value in column]


def to_column(values: Array | Sequence[Value]) -> Column:
    """One output of the instances that succeeded, stacked when they agree. `values` may be a stacked array itself."""
    if isinstance(values, np.ndarray):
        return _stacked(values)
    first = values[0]
    if (
        isinstance(first, np.ndarray)
        and first.ndim < _MOST_AXES
        and all(
            isinstance(value, np.ndarray) and value.dtype == first.dtype and value.shape == first.shape
            for value in values
        )
    ):
        return _stacked(np.stack(cast("Sequence[Array]", values)))
    return tuple(_to_wire_value(value) for value in values)


def for_function(value: Value) -> Array | str:
    """What a stage's function sees: str, bytes as a 1-D uint8 array, everything else as it is."""
    return np.frombuffer(value, np.uint8).copy() if isinstance(value, bytes) else value


def from_function(result: Any, is_ours: bool) -> Value:
    """A function's result as a value. Raises IllegalResult.

    is_ours: whoever made the array does not hold it any more. An array that he may still write into is copied.
    """
    if isinstance(result, bytes):
        return result
    if isinstance(result, str):
        if not result.isascii():
            _check_text(result)
        return result
    if hasattr(result, "asnumpy"):
        result, is_ours = result.asnumpy(), False
    if isinstance(result, bool | int | float | np.generic | np.ndarray):
        try:
            array = np.asarray(result)
        except OverflowError:
            array = np.asarray(None)
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        if array.dtype.str in ITEM_BYTES:
            is_theirs = array is result and not (is_ours and array.flags.owndata)
            return array.copy() if is_theirs else array
        raise IllegalResult(f"Get illegal result data with type {type(result)}, dtype {array.dtype}")
    raise IllegalResult(
        f"Get illegal result data with type {type(result)}, a result can only be a numpy array or number, "
        "bool, int, float, str, bytes or an object with asnumpy()"
    )


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise IllegalResult(
            f"Get illegal result data with type {type(text)}: character {error.start}, {text[error.start]!r}, is half "
            "of a pair, which UTF-8 cannot carry"
        ) from error


def kind(value: Value | Array) -> str:
    """How the original's texts name a value's type, such as kMSI_Float32."""
    if isinstance(value, np.ndarray):
        return kind_of(value.dtype)
    return "kMSI_String" if isinstance(value, str) else "kMSI_Bytes"


def kind_of(dtype: "np.dtype[Any]") -> str:
    """How the original's texts name a number type, such as kMSI_Float32."""
    return "kMSI_" + _KINDS[dtype.str[1:]]


def _stacked(array: Array) -> Stacked:
    name = _NAMES.get(array.dtype) or array.dtype.str
    if name not in ITEM_BYTES:
        raise IllegalResult(f"values of dtype {array.dtype} cannot be sent")
    if array.nbytes < INLINE_BYTES:
        return Stacked(name, array.shape, array.tobytes())  # it is copied into the header anyway
    return Stacked(name, array.shape, np.ascontiguousarray(array).data.cast("B"))


def _from_wire_value(value: WireValue) -> Value:
    if not isinstance(value, Tensor):
        return value
    # The codec has checked the dtype: no object array reaches msgpack-numpy, which would unpickle it.
    coded = {b"nd": True, b"type": value.dtype, b"kind": b"", b"shape": value.shape, b"data": value.data}
    return cast(Array, msgpack_numpy.decode(coded))


def _to_wire_value(value: Value) -> WireValue:
    if not isinstance(value, np.ndarray):
        return value
    coded = msgpack_numpy.encode(np.ascontiguousarray(value).reshape(value.shape))
    data = coded[b"data"]
    if isinstance(data, memoryview):
        data = data.cast("B") if value.size and value.ndim else data.tobytes()
    return Tensor(coded[b"type"], tuple(coded[b"shape"]), data)
