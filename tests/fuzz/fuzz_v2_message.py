"""Target: a message to inference.GRPCInferenceService, from the door to a worker and back; the first byte says to which
method. Only an RpcFault may come instead of a reply, and in a stream an error_message. The worker echoes: an inference
that is answered gives its values back, raw for raw and typed for typed.
"""

from collections.abc import AsyncIterator
from typing import Any

import numpy as np

from mindspore_serving.master.client_memory import ClientMemory
from mindspore_serving.master.service_table import OWN_FAULT_TEXT, CallInfo, RpcFault, Status, Unary
from mindspore_serving.master.v2_grpc import SERVICE, v2_service
from mindspore_serving.master.v2_types import DTYPES
from mindspore_serving.proto import open_inference_pb2 as pb
from tests.fuzz.echo_desk import EchoDesk

_desk: list[EchoDesk] = []

_NAMES = (
    *("ModelInfer", "ModelStreamInfer", "ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata"),
    *("ModelConfig", "ModelStatistics", "RepositoryIndex", "RepositoryModelLoad", "TraceSetting"),
)


def _input(datatype: str, *shape: int, **values: list[Any]) -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name="s", id="1")
    tensor = request.inputs.add(name="x", datatype=datatype, shape=shape)
    if raw := values.pop("raw", None):
        request.raw_input_contents.extend(raw)
    for name, items in values.items():
        getattr(tensor.contents, name).extend(items)
    return request


def _asking(request: pb.ModelInferRequest) -> pb.ModelInferRequest:
    request.model_version = "1"
    request.outputs.add(name="y").parameters["classification"].int64_param = 0
    request.parameters["batched"].bool_param = False
    request.parameters["mine"].string_param = "back"
    request.parameters["timeout"].int64_param = 10**7
    request.parameters["method"].string_param = "m"
    request.parameters["triton_enable_empty_final_response"].bool_param = True
    return request


_REQUESTS = [
    _input("FP32", 1, 2, fp32_contents=[1.0, -0.0]),
    _input("INT8", 2, 1, int_contents=[-128, 127]),
    _input("UINT64", 1, uint64_contents=[2**64 - 1]),
    _input("BOOL", 1, 2, bool_contents=[1, 0]),
    _input("BYTES", 2, bytes_contents=[b"", b"\xff"]),
    _input("FP16", 1, 2, raw=[b"\0\x3c\0\0"]),
    _input("BYTES", 1, raw=[b"\2\0\0\0ab"]),
    _input("INT64", 2**31, 0, raw=[b""]),
    _input("UINT8", 2**62, 4, 2**62, raw=[bytes(8)]),
    _input("BF16", 1, raw=[bytes(2)]),
    _asking(_input("INT32", 2, int_contents=[1, 2])),
]
SEEDS = [bytes([index % 2]) + request.SerializeToString() for index, request in enumerate(_REQUESTS * 2)]
SEEDS += [bytes([index]) + pb.ModelReadyRequest(name="s.m", version="1").SerializeToString() for index in range(12)]


def run(data: bytes) -> None:
    """Asks for a reply to these bytes, and reads it."""
    if not _desk:
        _desk.append(EchoDesk())
    name, body = _NAMES[(data[0] if data else 0) % len(_NAMES)], data[1:]
    how = v2_service(_desk[0].desk, ClientMemory())[SERVICE][name]
    try:
        if isinstance(how, Unary):
            reply = _desk[0].run(_one(how, body))
            if name == "ModelInfer":
                _check(pb.ModelInferRequest.FromString(body), pb.ModelInferResponse.FromString(reply))
            return
        (message,) = _desk[0].run(_all(how.handler(_once(body), CallInfo())))
    except RpcFault as fault:
        _check_text(str(fault), fault.status)
        return
    response = pb.ModelStreamInferResponse.FromString(message)
    if response.error_message:
        _check_text(response.error_message)
    else:
        _check(pb.ModelInferRequest.FromString(body), response.infer_response)


def _check_text(text: str, status: Status = Status.UNKNOWN) -> None:
    assert status is not Status.INTERNAL, text
    assert text != OWN_FAULT_TEXT
    assert 0 < len(text) < 2000
    assert "\n" not in text


def _check(request: pb.ModelInferRequest, response: pb.ModelInferResponse) -> None:
    assert response.id == request.id
    (given,), (back,) = request.inputs, response.outputs
    assert back.datatype == given.datatype
    raw_in, raw_out = request.raw_input_contents, response.raw_output_contents
    if given.datatype == "BYTES":
        assert bool(raw_in) or list(back.contents.bytes_contents) == list(given.contents.bytes_contents)
        assert not raw_in or raw_out == raw_in
        return
    assert back.shape == given.shape
    assert len(raw_out) == (1 if raw_in or given.datatype == "FP16" else 0)
    dtype = DTYPES[given.datatype]
    sent = np.frombuffer(raw_in[0], dtype) if raw_in else _typed(given.contents, dtype)
    came = np.frombuffer(raw_out[0], dtype) if raw_out else _typed(back.contents, dtype)
    assert came.tobytes() == sent.tobytes() if raw_in else np.array_equal(came, sent, equal_nan="f" in dtype)


def _typed(contents: pb.InferTensorContents, dtype: str) -> "np.ndarray[tuple[int], np.dtype[np.generic]]":
    (values,) = [values for _, values in contents.ListFields()] or [()]
    return np.array(values, dtype)


async def _one(how: Unary, body: bytes) -> bytes:
    return await how.handler(body, CallInfo())


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body


async def _all(replies: AsyncIterator[bytes]) -> list[bytes]:
    return [reply async for reply in replies]


def close() -> None:
    """Lets the desk go."""
    while _desk:
        _desk.pop().close()
