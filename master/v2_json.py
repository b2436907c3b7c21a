"""HTTP bodies of the Open Inference Protocol <-> what v2_infer speaks of: JSON, and binary tensors behind it. Pure.

Triton's docs/protocol/extension_binary_data.md: a body is JSON, then the raw values of those tensors whose parameters
have `binary_data_size`, in their order; the header Inference-Header-Content-Length tells where the JSON ends.
JSON has no NaN and no infinities (RFC 8259 §6): an output with such values is refused unless it is asked for as binary.
"""

import array as arrays
import math
import struct
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import orjson

from mindspore_serving.cluster.tensors import Buffer
from mindspore_serving.master.json_containers import MOST_CONTAINERS, has_too_many_containers
from mindspore_serving.master.v2_types import (
    BYTES,
    DTYPES,
    REGION,
    AskedOutput,
    InferRequest,
    InferResponse,
    Parameters,
    V2Tensor,
    check_input,
    quoted,
    raw_form,
    raw_tensor,
    refuse,
)

_FLOATS = ("FP16", "FP32", "FP64")
_MOST_PARAMETERS = 1024
_MOST_TENSORS = 1024
FEW = 64  # numbers up to here take less time without numpy
_FORMATS = {
    **dict(zip(("INT8", "INT16", "INT32", "INT64"), "bhiq", strict=True)),
    **dict(zip(("UINT8", "UINT16", "UINT32", "UINT64"), "BHIQ", strict=True)),
    **dict(zip(_FLOATS, "efd", strict=True)),
}  # of module struct
_TRUTHS, _INTEGERS, _REALS = {bool}, {int}, {int, float}


def read_document(body: Buffer) -> dict[str, Any]:
    """A body that is a JSON object; an empty one is an empty object. Raises CallFault."""
    text = bytes(body)
    if has_too_many_containers(text):
        refuse(f"the JSON has more than {MOST_CONTAINERS} arrays and objects: send large tensors flat, or as binary")
    try:
        document = orjson.loads(text) if text.strip() else {}
    except ValueError as error:
        refuse(f"the body is not JSON: {error}")
    if not isinstance(document, dict):
        refuse("the JSON is not an object")
    return document


def read_request(model: str, version: str, body: bytes, json_bytes: int | None) -> InferRequest:
    """The inference asked for. `json_bytes`: how much of the body is JSON; None: all of it. Raises CallFault."""
    json_bytes = len(body) if json_bytes is None else json_bytes
    if json_bytes > len(body):
        refuse(f"Inference-Header-Content-Length is {json_bytes}, but the body has {len(body)} bytes")
    document = read_document(memoryview(body)[:json_bytes])
    inputs, rest = [], memoryview(body)[json_bytes:]
    for item in _objects(document.get("inputs"), "inputs"):
        tensor, used = _input(item, rest)
        inputs.append(tensor)
        rest = rest[used:]
    if rest:
        refuse(f"{len(rest)} bytes follow the last binary tensor: the sum of binary_data_size is less than the body")
    outputs = [
        AskedOutput(_text(item, "name", "an output"), _parameters(item))
        for item in _objects(document.get("outputs", []), "outputs")
    ]
    request_id = _text(document, "id", "the request") if "id" in document else ""
    return InferRequest(model, version, request_id, _parameters(document), inputs, outputs, len(body))


def write_response(request: InferRequest, answer: InferResponse) -> tuple[bytes, int | None]:
    """The body, and how much of it is JSON; None when nothing binary follows. Raises CallFault."""
    by_default = request.parameters.get("binary_data_output") is True
    wanted = {item.name: item.parameters.get("binary_data", by_default) is True for item in request.outputs}
    blobs: list[Buffer] = []
    outputs = [_output(tensor, wanted.get(tensor.name, by_default), blobs) for tensor in answer.outputs]
    document: dict[str, Any] = {"model_name": answer.model, "model_version": answer.version}
    if answer.id:
        document["id"] = answer.id
    if answer.parameters:
        document["parameters"] = answer.parameters
    text = orjson.dumps({**document, "outputs": outputs}, option=orjson.OPT_SERIALIZE_NUMPY)
    return (b"".join((text, *blobs)), len(text)) if blobs else (text, None)


def write_document(document: Any) -> bytes:
    """Any other answer."""
    return orjson.dumps(document)


# --- requests


def _objects(items: Any, what: str) -> list[dict[str, Any]]:
    if not isinstance(items, list) or any(not isinstance(item, dict) for item in items):
        refuse(f"'{what}' should be an array of objects")
    if len(items) > _MOST_TENSORS:
        refuse(f"'{what}' has more than {_MOST_TENSORS} entries")
    return items


def _text(item: Mapping[str, Any], key: str, what: str) -> str:
    value = item.get(key)
    if not isinstance(value, str):
        refuse(f"'{key}' of {what} should be a string")
    return value


def _datatype(item: Mapping[str, Any], name: str) -> str:
    value = item.get("datatype")
    if not isinstance(value, str):
        refuse(f"'datatype' of input {quoted(name)} should be a string")
    return value


def _parameters(item: Mapping[str, Any]) -> Parameters:
    parameters = item.get("parameters", {})
    if not isinstance(parameters, dict) or len(parameters) > _MOST_PARAMETERS:
        refuse(f"'parameters' should be an object of at most {_MOST_PARAMETERS} entries")
    for name, value in parameters.items():
        if not isinstance(value, bool | int | float | str):
            refuse(f"parameter {quoted(name)} should be a string, a number, true or false")
    return parameters


def _input(item: dict[str, Any], rest: memoryview) -> tuple[V2Tensor, int]:
    """A tensor, and how much of the rest of the body it took."""
    name = _text(item, "name", "an input")
    datatype = _datatype(item, name)
    shape = _shape(name, item.get("shape"))
    parameters = _parameters(item)
    check_input(name, datatype, shape)
    if REGION in parameters:
        if "data" in item or "binary_data_size" in parameters:
            refuse(f"input {quoted(name)} has both {REGION} and data or binary_data_size")
        return V2Tensor(name, datatype, shape, b"", parameters), 0
    size = parameters.get("binary_data_size")
    if size is None:
        data = _elements(name, datatype, shape, item.get("data"))
        return V2Tensor(name, datatype, shape, data, parameters), 0
    if "data" in item:
        refuse(f"input {quoted(name)} has both data and binary_data_size")
    if type(size) is not int or not 0 <= size <= len(rest):
        refuse(
            f"input {quoted(name)}: binary_data_size is {str(size)[:20]}, but {len(rest)} bytes are left in the body"
        )
    return raw_tensor(name, datatype, shape, rest[:size], parameters), size


def _shape(name: str, shape: Any) -> tuple[int, ...]:
    if not isinstance(shape, list) or any(type(size) is not int for size in shape):
        refuse(f"input {quoted(name)}: 'shape' should be an array of whole numbers")
    return tuple(shape)


def _elements(name: str, datatype: str, shape: Sequence[int], given: Any) -> bytes | list[bytes]:
    if not isinstance(given, list):
        refuse(f"input {quoted(name)}: 'data' should be an array, or the parameter binary_data_size a number")
    flat, sizes = given, [len(given)]
    while flat and isinstance(flat[0], list):
        if set(map(type, flat)) != {list}:
            refuse(f"input {quoted(name)}: 'data' has arrays beside values")
        if len(lengths := set(map(len, flat))) > 1:
            refuse(
                f"input {quoted(name)}: 'data' has arrays of {min(lengths)} and of {max(lengths)} values at one level"
            )
        sizes += lengths
        flat = list(chain.from_iterable(flat))
    if len(sizes) == len(shape) > 1 and sizes != list(shape):
        refuse(f"input {quoted(name)}: {datatype} of shape {list(shape)} is given as arrays of shape {sizes}")
    if len(flat) != math.prod(shape):
        refuse(
            f"input {quoted(name)}: {datatype} of shape {list(shape)} has {math.prod(shape)} values, given {len(flat)}"
        )
    types = set(map(type, flat))
    if datatype == BYTES:
        if types - {str}:
            refuse(f"input {quoted(name)}: the values of BYTES should be strings")
        return [text.encode() for text in flat]
    return _numbers(name, datatype, flat, types)


def _numbers(name: str, datatype: str, flat: list[Any], types: set[type]) -> bytes:
    if datatype == "BOOL":
        if types - _TRUTHS:
            refuse(f"input {quoted(name)}: the values of BOOL should be true or false")
        return bytes(flat)
    if datatype in _FLOATS:
        if types - _REALS:
            refuse(f"input {quoted(name)}: the values of {datatype} should be numbers")
    elif types - _INTEGERS:
        refuse(f"input {quoted(name)}: the values of {datatype} should be whole numbers")
    packed = _packed(datatype, flat) if len(flat) <= FEW else None
    return _array_of(name, datatype, flat) if packed is None else packed


def _packed(datatype: str, flat: list[Any]) -> bytes | None:
    """The values' bytes; None: one of them is out of range."""
    if datatype in _FLOATS and not all(map(math.isfinite, flat)):
        return None
    try:
        return struct.pack(f"<{len(flat)}{_FORMATS[datatype]}", *flat)
    except (struct.error, OverflowError):
        return None


def _array_of(name: str, datatype: str, flat: list[Any]) -> bytes:
    dtype = np.dtype(DTYPES[datatype])
    if datatype in _FLOATS:
        with np.errstate(over="ignore"):
            array = np.array(arrays.array("d", flat)).astype(dtype)
        if not np.isfinite(array).all():
            refuse(f"input {quoted(name)}: a value is too large for {datatype}")
        return array.tobytes()
    limits = np.iinfo(dtype)
    if flat and (min(flat) < limits.min or max(flat) > limits.max):
        refuse(f"input {quoted(name)}: a value is not from {limits.min} to {limits.max}, as {datatype} has to be")
    return np.array(flat, dtype).tobytes()


# --- answers


def _output(tensor: V2Tensor, binary: bool, blobs: list[Buffer]) -> dict[str, Any]:
    item: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
    # Without parameters, as Triton has it: its client looks for binary_data_size in whatever parameters there are.
    if REGION in tensor.parameters:
        return item
    if tensor.parameters:
        item["parameters"] = dict(tensor.parameters)
    if binary:
        blobs.append(raw_form(tensor))
        item.setdefault("parameters", {})["binary_data_size"] = len(blobs[-1])
        return item
    item["data"] = _texts(tensor) if tensor.datatype == BYTES else _array(tensor)
    return item


def _texts(tensor: V2Tensor) -> list[str]:
    try:
        return [element.decode() for element in tensor.elements]
    except UnicodeDecodeError:
        refuse(f"output {tensor.name} is not UTF-8 text: ask for it with the output's parameter binary_data true")


def _array(tensor: V2Tensor) -> Any:
    array = np.frombuffer(tensor.raw, DTYPES[tensor.datatype])
    if not array.flags.aligned:  # orjson takes no other
        array = array.copy()
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        refuse(
            f"output {tensor.name} has NaN or infinities, which JSON cannot say: "
            "ask for it with the output's parameter binary_data true"
        )
    return array
