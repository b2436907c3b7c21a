"""Protobuf tensors <-> the cluster's values. The texts of refusals are those of MindSpore Serving 2.0.2."""

import math

from mindspore_serving.cluster.tensors import ITEM_BYTES, Tensor, Value
from mindspore_serving.master.tensor_rules import TensorFault, check_text_shape, is_shape, to_text
from mindspore_serving.proto import ms_service_pb2 as pb

DTYPES: dict[int, str] = {
    pb.MS_BOOL: "|b1",
    pb.MS_INT8: "|i1",
    pb.MS_UINT8: "|u1",
    pb.MS_INT16: "<i2",
    pb.MS_UINT16: "<u2",
    pb.MS_INT32: "<i4",
    pb.MS_UINT32: "<u4",
    pb.MS_INT64: "<i8",
    pb.MS_UINT64: "<u8",
    pb.MS_FLOAT16: "<f2",
    pb.MS_FLOAT32: "<f4",
    pb.MS_FLOAT64: "<f8",
}
_NUMBERS = {dtype: number for number, dtype in DTYPES.items()}


def from_wire(tensor: pb.Tensor) -> Value:
    """The value a client sent. Raises TensorFault."""
    if tensor.dtype in (pb.MS_STRING, pb.MS_BYTES):
        return _text_from_wire(tensor)
    dtype = DTYPES.get(tensor.dtype)
    if dtype is None:
        raise TensorFault("Tensor check failed: input data type proto::MS_UNKNOWN invalid")
    shape = tuple(tensor.shape.dims)
    if not is_shape(shape):
        raise TensorFault(f"Tensor check failed: input  shape {list(shape)} invalid")
    data = tensor.data
    if len(data) != math.prod(shape) * ITEM_BYTES[dtype]:
        raise TensorFault(f"Tensor check failed: input data size {len(data)} invalid")
    return Tensor(dtype, shape, data)


def _text_from_wire(tensor: pb.Tensor) -> str | bytes:
    if len(tensor.bytes_val) != 1:
        raise TensorFault("Instance tensor check failed: bytes or string type shape batch size can only be 1")
    check_text_shape(tensor.shape.dims)
    (value,) = tensor.bytes_val
    return value if tensor.dtype == pb.MS_BYTES else to_text(value)


def to_wire(value: Value, tensor: pb.Tensor) -> None:
    """Writes a result into a reply's tensor."""
    if isinstance(value, Tensor):
        tensor.dtype = _NUMBERS[value.dtype]  # type: ignore[assignment]
        tensor.shape.dims.extend(value.shape)
        tensor.data = bytes(value.data)
        return
    tensor.shape.SetInParent()  # an empty shape, but present: as the original wrote scalars
    if isinstance(value, str):
        tensor.dtype = pb.MS_STRING
        tensor.bytes_val.append(value.encode())
    else:
        tensor.dtype = pb.MS_BYTES
        tensor.bytes_val.append(value)
