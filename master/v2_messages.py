"""ModelInferRequest and ModelInferResponse <-> what v2_infer speaks of. Pure.

A request's values are raw or typed, as a whole, but for those in clients' memory (see v2_memory). The answer is raw,
unless the request was typed and every output has a typed field (FP16 has none).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mindspore_serving.cluster.tensors import Buffer
from mindspore_serving.master.v2_types import (
    BYTES,
    DTYPES,
    REGION,
    AskedOutput,
    InferRequest,
    InferResponse,
    Parameter,
    Parameters,
    V2Tensor,
    check_input,
    quoted,
    raw_form,
    raw_tensor,
    refuse,
)
from mindspore_serving.master.wire_spans import LENGTH_DELIMITED, varint, varints
from mindspore_serving.proto import open_inference_pb2 as pb

_FIELDS = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    BYTES: "bytes_contents",
}
_FIELD_TYPES = {"int_contents": np.int32, "uint_contents": np.uint32}  # of values of several datatypes


def read_request(request: pb.ModelInferRequest, nbytes: int) -> tuple[InferRequest, bool]:
    """The inference asked for, and whether its values are typed. Raises CallFault."""
    raw = request.raw_input_contents
    inputs = _raw_inputs(request.inputs, raw) if raw else [_typed_input(tensor) for tensor in request.inputs]
    is_typed = not raw and not all(REGION in tensor.parameters for tensor in inputs)
    asked = InferRequest(
        model=request.model_name,
        version=request.model_version,
        id=request.id,
        parameters=read_parameters(request.parameters),
        inputs=inputs,
        outputs=[AskedOutput(output.name, read_parameters(output.parameters)) for output in request.outputs],
        nbytes=nbytes,
    )
    return asked, is_typed


def write_response(answer: InferResponse, is_typed: bool) -> pb.ModelInferResponse:
    """The answer; typed where that was asked for and is possible."""
    response = pb.ModelInferResponse(model_name=answer.model, model_version=answer.version, id=answer.id)
    _write_parameters(answer.parameters, response.parameters)
    is_typed = is_typed and all(output.datatype in _FIELDS for output in answer.outputs)
    for output in answer.outputs:
        tensor = response.outputs.add(name=output.name, datatype=output.datatype, shape=output.shape)
        _write_parameters(output.parameters, tensor.parameters)
        if REGION in output.parameters:
            if not is_typed:
                response.raw_output_contents.append(b"")
        elif is_typed:
            tensor.contents.SetInParent()
            _write_values(output, tensor.contents)
        else:
            response.raw_output_contents.append(bytes(raw_form(output)))
    return response


def read_parameters(parameters: Mapping[str, pb.InferParameter]) -> Parameters:
    """Raises CallFault for one without a value."""
    return {name: _read_parameter(name, parameter) for name, parameter in parameters.items()}


def _read_parameter(name: str, parameter: pb.InferParameter) -> Parameter:
    choice = parameter.WhichOneof("parameter_choice")
    if choice is None:
        refuse(f"parameter {quoted(name)} has no value")
    value: Parameter = getattr(parameter, choice)
    return value


def _write_parameters(parameters: Parameters, into: Any) -> None:
    for name, value in parameters.items():
        if isinstance(value, bool):
            into[name].bool_param = value
        elif isinstance(value, int):
            setattr(into[name], "int64_param" if value < 1 << 63 else "uint64_param", value)
        elif isinstance(value, float):
            into[name].double_param = value
        else:
            into[name].string_param = value


def _raw_inputs(inputs: Sequence[pb.ModelInferRequest.InferInputTensor], raw: Sequence[bytes]) -> list[V2Tensor]:
    for tensor in inputs:
        if tensor.HasField("contents"):
            refuse(
                f"contents field must not be specified when using raw_input_contents for input {quoted(tensor.name)}"
            )
    here = sum([REGION not in tensor.parameters for tensor in inputs])
    if len(raw) != here:
        refuse(f"raw_input_contents has {len(raw)} entries for {here} inputs: one for each is needed")
    data = iter(raw)
    return [_elsewhere(tensor) or _raw_input(tensor, next(data)) for tensor in inputs]


def _elsewhere(tensor: pb.ModelInferRequest.InferInputTensor) -> V2Tensor | None:
    """An input that is not in the message; None: it is."""
    if REGION not in tensor.parameters:
        return None
    shape = tuple(tensor.shape)
    check_input(tensor.name, tensor.datatype, shape)
    if tensor.HasField("contents"):
        refuse(f"input {quoted(tensor.name)} has both contents and {REGION}")
    return V2Tensor(tensor.name, tensor.datatype, shape, b"", read_parameters(tensor.parameters))


def _raw_input(tensor: pb.ModelInferRequest.InferInputTensor, data: bytes) -> V2Tensor:
    return raw_tensor(tensor.name, tensor.datatype, tuple(tensor.shape), data, read_parameters(tensor.parameters))


def _typed_input(tensor: pb.ModelInferRequest.InferInputTensor) -> V2Tensor:
    if elsewhere := _elsewhere(tensor):
        return elsewhere
    name, datatype, shape = tensor.name, tensor.datatype, tuple(tensor.shape)
    check_input(name, datatype, shape)
    count = math.prod(shape)
    parameters = read_parameters(tensor.parameters)
    if datatype not in _FIELDS:
        if count or tensor.contents.ListFields():
            refuse(f"input {quoted(name)}: {datatype} has no typed contents, send it in raw_input_contents")
        return V2Tensor(name, datatype, shape, b"", parameters)
    filled = {field.name: values for field, values in tensor.contents.ListFields()}
    values = filled.pop(_FIELDS[datatype], ())
    if filled:
        refuse(f"input {quoted(name)}: the values of {datatype} belong into {_FIELDS[datatype]}, not {min(filled)}")
    if len(values) != count:
        refuse(f"input {quoted(name)}: {datatype} of shape {list(shape)} has {count} values, given {len(values)}")
    return V2Tensor(name, datatype, shape, _data(name, datatype, values), parameters)


def _data(name: str, datatype: str, values: Sequence[Any]) -> bytes | list[bytes]:
    if datatype == BYTES:
        return list(values)
    dtype = np.dtype(DTYPES[datatype])
    given = np.array(values, _FIELD_TYPES.get(_FIELDS[datatype], dtype))
    if given.dtype != dtype and given.size:
        limits = np.iinfo(dtype)
        if given.min() < limits.min or given.max() > limits.max:
            refuse(f"input {quoted(name)}: a value is not from {limits.min} to {limits.max}, as {datatype} has to be")
    return given.astype(dtype, copy=False).tobytes()


def _write_values(tensor: V2Tensor, into: pb.InferTensorContents) -> None:
    """As protobuf writes them: it takes a hundred times as long to be told one value after the other."""
    field = _FIELDS[tensor.datatype]
    if tensor.datatype == BYTES:
        into.bytes_contents.extend(tensor.elements)
        return
    packed: Buffer = tensor.raw
    if tensor.datatype == "BOOL":
        packed = (np.frombuffer(packed, np.uint8) != 0).tobytes()  # a function may have made them of any bytes
    elif tensor.datatype not in ("FP32", "FP64"):
        packed = varints(np.frombuffer(packed, DTYPES[tensor.datatype]))
    number = into.DESCRIPTOR.fields_by_name[field].number
    into.MergeFromString(b"".join((varint(number << 3 | LENGTH_DELIMITED), varint(len(packed)), packed)))
