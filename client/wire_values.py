"""Python values <-> the protobuf tensors of ms_service.proto. Refusals are RuntimeErrors with the original's texts."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from google.protobuf.internal.containers import RepeatedCompositeFieldContainer

from mindspore_serving.proto import ms_service_pb2 as pb

_NUMBERS = {
    np.dtype(name).name: number
    for name, number in (
        ("bool", pb.MS_BOOL),
        ("int8", pb.MS_INT8),
        ("uint8", pb.MS_UINT8),
        ("int16", pb.MS_INT16),
        ("uint16", pb.MS_UINT16),
        ("int32", pb.MS_INT32),
        ("uint32", pb.MS_UINT32),
        ("int64", pb.MS_INT64),
        ("uint64", pb.MS_UINT64),
        ("float16", pb.MS_FLOAT16),
        ("float32", pb.MS_FLOAT32),
        ("float64", pb.MS_FLOAT64),
    )
}
_LARGEST_TENSOR_BYTES = (1 << 31) - 1  # of protobuf; gRPC stops at 512 MB, by an error of the call
_DTYPES: dict[int, "np.dtype[Any]"] = {number: np.dtype(name).newbyteorder("<") for name, number in _NUMBERS.items()}


def request_bytes(servable: str, method: str, version: int, instances: Any, is_1_2: bool = False) -> bytes:
    """A PredictRequest with one instance (a dict) or several (a list or tuple of dicts). Raises RuntimeError.

    is_1_2: numbered as in 1.2.
    """
    request = pb.PredictRequest()
    request.servable_spec.name = servable
    request.servable_spec.method_name = method
    request.servable_spec.version_number = version
    _fill_request(request.instances_of_1_2 if is_1_2 else request.instances, instances)
    return request.SerializeToString()


def _fill_request(field: RepeatedCompositeFieldContainer[pb.Instance], instances: Any) -> None:
    for number, instance in enumerate(instances if isinstance(instances, list | tuple) else (instances,)):
        if not isinstance(instance, Mapping):
            raise RuntimeError(f"instance should be a map, but instance {number} is {type(instance)}")
        items = field.add().items
        for name, value in instance.items():
            if not isinstance(name, str):
                raise RuntimeError(f"the name of an input should be str, but actually {type(name)}")
            encode_text(name)
            try:
                _fill_tensor(items[name], value)
            except RuntimeError as error:
                raise RuntimeError(f"{error} (input '{name}' of instance {number})") from None


def encode_text(text: str) -> bytes:
    """In UTF-8. Raises RuntimeError for halves of pairs, as of file names that were not decoded, which it has not."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        shown = text[: error.start + 10]
        raise RuntimeError(f"the text {shown!r} cannot be sent: its character {error.start} is no character") from None


def read_reply(reply: pb.PredictReply) -> list[dict[str, Any]] | dict[str, Any]:
    """A result or an error for each instance; one {"error": text} if the whole request failed. Raises RuntimeError."""
    errors = reply.error_msg
    if len(errors) == 1 and errors[0].error_code:
        return _error(errors[0])
    if errors and len(errors) != len(reply.instances):
        raise RuntimeError(f"the reply has {len(reply.instances)} instances and {len(errors)} errors")
    return [
        _error(errors[index])
        if errors and errors[index].error_code
        else {name: _read_tensor(name, tensor) for name, tensor in instance.items.items()}
        for index, instance in enumerate(reply.instances)
    ]


def _error(error: pb.ErrorMsg) -> dict[str, Any]:
    return {"error": error.error_msg.decode(errors="replace")}


def _fill_tensor(tensor: pb.Tensor, value: Any) -> None:
    if isinstance(value, str | bytes):
        tensor.shape.dims.append(1)
        tensor.dtype = pb.MS_STRING if isinstance(value, str) else pb.MS_BYTES
        tensor.bytes_val.append(encode_text(value) if isinstance(value, str) else value)
        return
    if isinstance(value, np.ndarray | np.number | np.bool_):  # first: a float64 is a float, too
        if isinstance(value, np.ma.MaskedArray) and np.any(value.mask):
            raise RuntimeError("a masked array has values that nobody may see: give array.filled(VALUE)")
        array = np.asarray(value)
    elif isinstance(value, bool | int | float):
        array = _number_array(value)
    else:
        raise RuntimeError(f"Not support value type {type(value)}")
    if array.nbytes > _LARGEST_TENSOR_BYTES:
        raise RuntimeError(f"{array.nbytes} bytes are more than a message can hold")
    number = _NUMBERS.get(array.dtype.name)
    if number is None:
        raise RuntimeError(f"Unknown data type {array.dtype.name}")
    tensor.shape.dims.extend(array.shape)
    tensor.shape.SetInParent()
    tensor.dtype = number
    tensor.data = array.astype(_DTYPES[number], copy=False).tobytes()  # little-endian, in C order


def _number_array(value: bool | int | float) -> "np.ndarray[Any, Any]":
    """A Python number as the original sent it: shape [1]; bool, int64, float64, or uint64 where int64 is too small."""
    try:
        if isinstance(value, bool | float):
            return np.array([value], np.bool_ if isinstance(value, bool) else np.float64)
        return np.array([value], np.int64 if value < 1 << 63 else np.uint64)
    except OverflowError:
        raise RuntimeError(f"the int {value} does not fit into 64 bits: give it as a numpy value") from None


def _text(name: str, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise RuntimeError(f"output {name} of the reply is no text: {error}") from error


def _read_tensor(name: str, tensor: pb.Tensor) -> Any:
    if tensor.dtype in (pb.MS_STRING, pb.MS_BYTES):
        if len(tensor.bytes_val) != 1:
            raise RuntimeError(f"output {name} of the reply has {len(tensor.bytes_val)} texts, expected one")
        (value,) = tensor.bytes_val
        return value if tensor.dtype == pb.MS_BYTES else _text(name, value)
    dtype = _DTYPES.get(tensor.dtype)
    if dtype is None:
        raise RuntimeError(f"output {name} of the reply has the unknown data type {tensor.dtype}")
    shape: Sequence[int] = tuple(tensor.shape.dims)
    if min(shape, default=0) < 0 or len(tensor.data) != math.prod(shape) * dtype.itemsize:
        raise RuntimeError(
            f"output {name} of the reply has {len(tensor.data)} bytes, which is not shape {list(shape)} of {dtype.name}"
        )
    try:
        return np.frombuffer(tensor.data, dtype).reshape(shape)
    except ValueError as error:  # more dimensions than numpy has, or larger ones beside a 0
        raise RuntimeError(f"output {name} of the reply cannot be read: {error}") from error
