"""JSON bodies <-> the cluster's values. Pure. The texts of refusals are those of MindSpore Serving 2.0.2.

A JSON integer becomes int32, any other number float32; other types are sent as {"b64": ..., "type": ..., "shape": ...}.
Nested lists are checked level by level, each in one pass of C code: no Python runs per element.
"""

import array as arrays
import base64
import json
import math
import struct
from collections.abc import Sequence
from itertools import chain
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import orjson

from mindspore_serving.cluster.errors import Code, Failure, RequestRefused
from mindspore_serving.cluster.results import Results
from mindspore_serving.cluster.tensors import ITEM_BYTES, Buffer, Column, Stacked, Tensor, Value, nbytes
from mindspore_serving.master.json_containers import MOST_CONTAINERS, has_too_many_containers
from mindspore_serving.master.predict import Predictions, error_text, input_refused
from mindspore_serving.master.tensor_rules import (
    MOST_DIMS,
    MOST_EMPTY,
    TensorFault,
    check_text_shape,
    is_shape,
    to_text,
)

_SCALARS = {bool, int, float, str}
_INT32 = np.iinfo(np.int32)
# A float32 ends with its sign and seven bits of its exponent (IEEE 754): those of everything nearer to 0 than 2 ** 63.
_EXACT_ENDS = bytes(byte for byte in range(256) if byte & 0x7F < (63 + 127) >> 1)
_FEW = 64  # numbers up to here take less time without numpy
_DTYPES = {
    "bool": "|b1",
    "int8": "|i1",
    "uint8": "|u1",
    "int16": "<i2",
    "uint16": "<u2",
    "int32": "<i4",
    "uint32": "<u4",
    "int64": "<i8",
    "uint64": "<u8",
    "fp16": "<f2",
    "float16": "<f2",
    "fp32": "<f4",
    "float32": "<f4",
    "fp64": "<f8",
    "float64": "<f8",
}
_TEXT_TYPES = ("str", "bytes")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # before files of some editors, which the original read too
_MOST_QUOTED = 100  # characters of a client's own text in an error


# --- requests


def read_instances(body: bytes) -> list[dict[str, Value]]:
    """The instances that a request's body holds. Raises RequestRefused."""
    body = body.removeprefix(_BYTE_ORDER_MARK)
    if has_too_many_containers(body):
        _refuse(f"json has more than {MOST_CONTAINERS} arrays and objects: send large arrays as objects with 'b64'")
    try:
        document = orjson.loads(body)
    except ValueError as error:
        raise _illegal(str(error)) from error
    instances = _instances(document)
    if any(_may_have_been_an_integer(value) for instance in instances for value in instance.values()):
        try:
            document = json.loads(body)  # slower, and exact
        except (ValueError, RecursionError) as error:
            raise _illegal("a number is too long, or the nesting too deep") from error
        instances = _instances(document)
    return instances


def _instances(document: Any) -> list[dict[str, Value]]:
    if not isinstance(document, dict) or "instances" not in document:
        _refuse("key 'instances' expects to exist once, but actually 0 times")
    given = document["instances"]
    if isinstance(given, dict):
        if not given:
            _refuse("json object, value is empty")
        return [_instance(given)]
    if not isinstance(given, list):
        _refuse("instances no key mode is not supported")
    if not given:
        _refuse("instances value is array type, but no value")
    if not isinstance(given[0], dict):
        _refuse("instances no key mode is not supported")
    for items in given:
        if not isinstance(items, dict):
            _refuse("json array, instance is not object type")
        if not items:
            _refuse("json array, instance is object type, but no value")
    return [_instance(items) for items in given]


def _instance(items: dict[str, Any]) -> dict[str, Value]:
    values = {}
    for name, item in items.items():
        try:
            values[name] = _value(item)
        except TensorFault as fault:
            raise input_refused(name, fault) from fault
    return values


def _value(item: Any) -> Value:
    if isinstance(item, list):
        return _array(item)
    if isinstance(item, dict):
        return _encoded(item)
    if item is None:
        _refuse("json value is null, it is not supported")
    return item if isinstance(item, str) else _numbers([item], ())


def _array(outermost: list[Any]) -> Value:
    if not outermost:
        _refuse("json array, shape is empty")
    level, shape = outermost, [len(outermost)]
    while isinstance(first := level[0], list):
        if not first:
            _refuse("json array, data type is unknown")
        if len(shape) == MOST_DIMS:
            _refuse(f"json array, it has more than {MOST_DIMS} dimensions")
        if set(map(type, level)) != {list}:
            _refuse("invalid json array: json type is not array")
        if odd := set(map(len, level)) - {len(first)}:
            _refuse(f"invalid json array: json size is {min(odd)}, the dim {len(shape)} expected to be {len(first)}")
        shape.append(len(first))
        level = list(chain.from_iterable(level))
    return _elements(level, tuple(shape))


def _elements(elements: list[Any], shape: tuple[int, ...]) -> Value:
    first = elements[0]
    if first is None:
        _refuse("json array, data type is unknown")
    if isinstance(first, dict):
        text = _encoded(first)
        if isinstance(text, Tensor):
            _refuse("json array, item is object type, object only support string or bytes type")
        return _only_text(text, len(elements), shape)
    if isinstance(first, str):
        return _only_text(first, len(elements), shape)
    types = set(map(type, elements))
    if types - _SCALARS:
        _refuse("json array, data should be number, bool, string or bytes")
    if len(types) > 1:
        _refuse("json array, elements type is not equal")
    return _numbers(elements, shape)


def _only_text(text: str | bytes, count: int, shape: Sequence[int]) -> Value:
    if count > 1:
        _refuse("json array, string or bytes type only support one item")
    check_text_shape(shape)
    return text


def _numbers(numbers: list[Any], shape: tuple[int, ...]) -> Tensor:
    """Numbers of one type, or truth values."""
    if isinstance(numbers[0], bool):
        return Tensor("|b1", shape, bytes(numbers))
    if isinstance(numbers[0], float):
        return Tensor("<f4", shape, _floats(numbers))
    return Tensor("<i4", shape, _integers(numbers))


def _floats(numbers: list[float]) -> bytes:
    if len(numbers) <= _FEW:
        try:
            return struct.pack(f"<{len(numbers)}f", *numbers)
        except OverflowError:
            pass
    with np.errstate(over="ignore"):  # a number beyond float32 is infinite, as it was in the original
        return np.array(arrays.array("d", numbers)).astype("<f4").tobytes()  # in 0.7 of the time of numpy alone


def _integers(numbers: list[int]) -> bytes:
    if len(numbers) <= _FEW:
        try:
            return struct.pack(f"<{len(numbers)}i", *numbers)
        except struct.error:
            pass
    try:
        array = np.array(numbers, np.int64)
    except OverflowError:
        array = None
    if array is None or array.min() < _INT32.min or array.max() > _INT32.max:
        _refuse(
            f"json integer {max(numbers, key=abs)} is out of the range of int32 [{_INT32.min},{_INT32.max}]: "
            "send it as an object with 'b64' and 'type'"
        )
    return array.astype("<i4").tobytes()


def _may_have_been_an_integer(value: Value) -> bool:
    """Whether a float is 2 ** 63 or more, or as far below 0: orjson makes such a one of a larger integer."""
    if not isinstance(value, Tensor) or value.dtype != "<f4":
        return False
    return bool(bytes(value.data[3::4]).translate(None, _EXACT_ENDS))


# --- encoded tensors


def _encoded(item: dict[str, Any]) -> Value:
    """Raw little-endian values in base64. Without a type they are bytes, without a shape a scalar."""
    _check_keys(item)
    dtype, shape = item.get("type", "bytes"), tuple(item.get("shape", ()))
    if dtype in _TEXT_TYPES and shape not in ((), (1,)):
        _refuse("json object, only support scalar when data type is string or bytes, please check 'type' or 'shape'")
    raw = _decoded(item["b64"])
    if dtype in _TEXT_TYPES:
        return raw if dtype == "bytes" else to_text(raw)
    typestr = _DTYPES[dtype]
    if len(raw) != nbytes(typestr, shape):
        size, full_name = ITEM_BYTES[typestr], dtype.replace("fp", "float")
        _refuse(
            f"size is not matched, decode base64 size:{len(raw)}; "
            f"Given info: type:{full_name}; type size:{size}; element nums:{nbytes(typestr, shape) // size}"
        )
    return Tensor(typestr, shape, raw)


def _check_keys(item: dict[str, Any]) -> None:
    if not item:
        _refuse("json object, value is empty")
    if len(item) > 3:
        _refuse("json object, items size is more than 3, only support specified ['b64', 'type', 'shape']")
    for key, value in sorted(item.items()):
        if key == "type":
            if not isinstance(value, str):
                _refuse("json object, key is 'type', value should be string type")
            if value not in _DTYPES and value not in _TEXT_TYPES:
                _refuse(f"json object, specified type:'{value[:_MOST_QUOTED]}' is illegal")
        elif key == "shape":
            _check_shape(value)
        elif key != "b64":
            _refuse(f"json object, key is not ['b64', 'type', 'shape'], fail key:{key[:_MOST_QUOTED]}")
    if "b64" not in item:
        _refuse("json object, 'b64' should be specified only one time")
    if not isinstance(item["b64"], str):
        _refuse("get scalar data failed, type is string, but json is not string type")


def _check_shape(shape: Any) -> None:
    if not isinstance(shape, list):
        _refuse("json object, key is 'shape', value should be array type")
    if any(type(size) is not int or size < 0 for size in shape):
        _refuse("json object, key is 'shape', array value should be unsigned integer")
    if not is_shape(shape):
        quoted = ",".join(map(str, shape))[:_MOST_QUOTED]
        _refuse(f"json object, key is 'shape', invalid shape value [{quoted}]")


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        _refuse(f"'{text[:_MOST_QUOTED]}' is illegal b64 encode string")


# --- replies


def write_reply(predicted: Predictions | Failure) -> bytes:
    """The body that answers a request. Keys are in alphabetical order; NaN and infinities are null."""
    if isinstance(predicted, Failure):
        return write_error(error_text(predicted))
    results = predicted.results
    if sum(map(_empty_arrays, results.columns)) > MOST_EMPTY:
        # orjson would write each of them, or end the process when memory does not do.
        return write_error(f"Failed to construct the response: more than {MOST_EMPTY} empty arrays")
    try:
        return orjson.dumps(
            {"instances": _reply_instances(predicted.outputs, results)},
            option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_SORT_KEYS,
        )
    except TypeError as error:
        return write_error(f"Failed to construct the response: {error}")


def _empty_arrays(column: Column) -> int:
    """How many `[]` the reply has to hold: no data of it says so."""
    shapes = [column.shape] if isinstance(column, Stacked) else [v.shape for v in column if isinstance(v, Tensor)]
    return sum(math.prod(shape[: shape.index(0)]) for shape in shapes if 0 in shape)


def write_error(text: str) -> bytes:
    """The body that says why a request has no results."""
    return orjson.dumps({"error_msg": text})


def _reply_instances(outputs: Sequence[str], results: Results) -> list[dict[str, Any]]:
    if results.columns:
        good = [dict(zip(outputs, row, strict=True)) for row in zip(*map(_rows, results.columns), strict=True)]
    else:
        good = [{} for _ in range(results.count - len(results.failures))]
    if not results.failures:
        return good
    next_good = iter(good)
    return [
        {"error_msg": error_text(results.failures[index])} if index in results.failures else next(next_good)
        for index in range(results.count)
    ]


def _rows(column: Column) -> Sequence[Any]:
    """Each instance's value, as orjson takes it."""
    if isinstance(column, Stacked):
        return list(_array_of(column.data, column.dtype, column.shape))
    return [_reply_value(value) for value in column]


def _reply_value(value: Value) -> Any:
    if isinstance(value, str):
        return value
    if not isinstance(value, Tensor):
        return {"b64": base64.b64encode(value).decode()}
    array = _array_of(value.data, value.dtype, value.shape)
    return array if value.shape else array[()]


def _array_of(data: Buffer, dtype: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    array = np.frombuffer(data, dtype).reshape(shape)
    return array if array.flags.aligned else array.copy()  # orjson reads it as it lies


# --- refusals


def _refuse(text: str) -> NoReturn:
    raise RequestRefused(Code.INVALID_INPUTS, f"Parser request failed, {text}")


def _illegal(detail: str) -> RequestRefused:
    return RequestRefused(Code.INVALID_INPUTS, f"Illegal JSON format.[json.exception.parse_error.101] {detail}")
