"""Target: a message to inference.GRPCInferenceService, from the door to a worker and back; the first byte says to which
method. Only an RpcFault may come instead of a reply, and in a stream an error_message. The worker echoes: an inference
that is answered gives its values back, raw for raw and typed for typed.
"""

from collections.abc import AsyncIterator
from typing import Any

import numpy as np

from mindspore_serving.master.service_table import OWN_FAULT_TEXT, CallInfo, RpcFault, Status, Unary
from mindspore_serving.master.v2_grpc import SERVICE, v2_service
from mindspore_serving.master.v2_types import DTYPES, REGION
from mindspore_serving.proto import open_inference_pb2 as pb
from tests.fuzz.echo_desk import EchoDesk
from tests.master.posix_memory import PosixMemory, sharing

_NBYTES = 4096


class _Served:
    """The service, and a client's memory, which is the region 'r' at the start of every input."""

    def __init__(self) -> None:
        self.desk = EchoDesk()
        self.shm = PosixMemory(_NBYTES)
        self.memory = sharing()
        self.service = v2_service(self.desk.desk, self.memory)[SERVICE]

    def begin(self) -> None:
        self.shm.buffer[:] = bytes(_NBYTES)
        self.memory.unregister("")
        self.memory.register("r", self.shm.key, 0, _NBYTES)

    def close(self) -> None:
        self.desk.close()
        self.shm.__exit__(None, None, None)


_served: list[_Served] = []

_NAMES = (
    *("ModelInfer", "ModelStreamInfer", "ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata"),
    *("ModelConfig", "ModelStatistics", "RepositoryIndex", "RepositoryModelLoad", "TraceSetting"),
    *(f"SystemSharedMemory{verb}" for verb in ("Register", "Status", "Unregister")),
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
    request.parameters["timeout"].int64_param = 2**63 - 1
    request.parameters["method"].string_param = "m"
    request.parameters["triton_enable_empty_final_response"].bool_param = True
    return request


def _in_memory(request: pb.ModelInferRequest, nbytes: int) -> pb.ModelInferRequest:
    for tensor, offset in ((request.inputs[0], 0), (request.outputs.add(name="y"), 2048)):
        tensor.parameters["shared_memory_region"].string_param = "r"
        tensor.parameters["shared_memory_byte_size"].int64_param = nbytes
        tensor.parameters["shared_memory_offset"].int64_param = offset
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
    _in_memory(_input("FP32", 1, 2), 8),
    _in_memory(_input("BYTES", 2), 8),
]
SEEDS = [bytes([index % 2]) + request.SerializeToString() for index, request in enumerate(_REQUESTS * 2)]
SEEDS += [bytes([index]) + pb.ModelReadyRequest(name="s.m", version="1").SerializeToString() for index in range(15)]
SEEDS.append(b"\14" + pb.SystemSharedMemoryRegisterRequest(name="s", key="/x", byte_size=8).SerializeToString())


def run(data: bytes) -> None:
    """Asks for a reply to these bytes, and reads it."""
    if not _served:
        _served.append(_Served())
    served = _served[0]
    served.begin()
    name, body = _NAMES[(data[0] if data else 0) % len(_NAMES)], data[1:]
    how = served.service[name]
    try:
        if isinstance(how, Unary):
            reply = served.desk.run(_one(how, body))
            if name == "ModelInfer":
                _check(pb.ModelInferRequest.FromString(body), pb.ModelInferResponse.FromString(reply))
            return
        (message,) = served.desk.run(_all(how.handler(_once(body), CallInfo())))
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
    if REGION in given.parameters or REGION in back.parameters:
        return
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
    """Lets all go."""
    while _served:
        _served.pop().close()
