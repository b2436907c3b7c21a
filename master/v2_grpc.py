"""inference.GRPCInferenceService: the messages of the Open Inference Protocol to and from what v2_infer speaks of."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from google.protobuf.json_format import ParseDict
from google.protobuf.message import DecodeError, Message

from mindspore_serving.master.client_memory import ClientMemory
from mindspore_serving.master.error_status import UNIMPLEMENTED, CallFault
from mindspore_serving.master.front_desk import FrontDesk
from mindspore_serving.master.message_fields import INFER, check_fields
from mindspore_serving.master.message_forms import Forms
from mindspore_serving.master.promise import Promise
from mindspore_serving.master.service_table import CallInfo, RpcFault, ServiceTable, Status, Streaming, Unary
from mindspore_serving.master.v2_about import (
    model_config,
    model_metadata,
    regions,
    repository_index,
    server_metadata,
    statistics,
    why_model_not_ready,
    why_not_ready,
)
from mindspore_serving.master.v2_forms import InferForm, infer_form
from mindspore_serving.master.v2_infer import infer
from mindspore_serving.master.v2_messages import read_request, write_response
from mindspore_serving.master.v2_stream import stream_infer
from mindspore_serving.master.v2_types import DEVICE_MEMORY_TEXT, REPOSITORY_TEXT, SETTINGS_TEXT
from mindspore_serving.proto import open_inference_pb2 as pb

SERVICE = "inference.GRPCInferenceService"

_NOT_HERE: Mapping[str, str] = {
    **dict.fromkeys(("RepositoryModelLoad", "RepositoryModelUnload"), REPOSITORY_TEXT),
    **{f"CudaSharedMemory{verb}": DEVICE_MEMORY_TEXT for verb in ("Status", "Register", "Unregister")},
    **dict.fromkeys(("TraceSetting", "LogSettings"), SETTINGS_TEXT),
}

T = TypeVar("T", bound=Message)
R = TypeVar("R", bound=Message)


def v2_service(desk: FrontDesk, memory: ClientMemory) -> ServiceTable:
    """The service of tritonclient, KServe's clients and others."""

    forms: Forms[InferForm] = Forms()

    def model_infer(body: bytes, info: CallInfo) -> Promise[bytes]:
        found = forms.find(body)
        if found is not None:
            form, pieces = found
            answer = form.infer(desk, memory, pieces, len(body), info.seconds_left)
            if answer is not None:
                return answer
        check_fields(body, INFER)
        asked, is_typed = read_request(_parse(pb.ModelInferRequest, body), len(body))
        forms.learn(body, lambda: infer_form(body, asked, is_typed))
        return infer(
            desk, memory, asked, info.seconds_left, lambda answer: write_response(answer, is_typed).SerializeToString()
        )

    methods: dict[str, Unary | Streaming] = {
        "ServerLive": _question(pb.ServerLiveRequest, lambda _: pb.ServerLiveResponse(live=True)),
        "ServerReady": _question(
            pb.ServerReadyRequest, lambda _: pb.ServerReadyResponse(ready=not why_not_ready(desk))
        ),
        "ModelReady": _question(pb.ModelReadyRequest, lambda asked: _model_ready(desk, asked)),
        "ServerMetadata": _question(
            pb.ServerMetadataRequest, lambda _: _message(server_metadata(memory), pb.ServerMetadataResponse())
        ),
        "ModelMetadata": _question(
            pb.ModelMetadataRequest,
            lambda asked: _message(model_metadata(desk, asked.name, asked.version), pb.ModelMetadataResponse()),
        ),
        "ModelConfig": _question(
            pb.ModelConfigRequest,
            lambda asked: _message({"config": model_config(desk, asked.name, asked.version)}, pb.ModelConfigResponse()),
        ),
        "ModelStatistics": _question(
            pb.ModelStatisticsRequest,
            lambda asked: _message(statistics(desk, asked.name, asked.version), pb.ModelStatisticsResponse()),
        ),
        "RepositoryIndex": _question(
            pb.RepositoryIndexRequest,
            lambda asked: _message({"models": repository_index(desk, asked.ready)}, pb.RepositoryIndexResponse()),
        ),
        "SystemSharedMemoryStatus": _question(
            pb.SystemSharedMemoryStatusRequest,
            lambda asked: _message(
                {"regions": {region["name"]: region for region in regions(memory, asked.name)}},
                pb.SystemSharedMemoryStatusResponse(),
            ),
        ),
        "SystemSharedMemoryRegister": _question(
            pb.SystemSharedMemoryRegisterRequest, lambda asked: _register(memory, asked)
        ),
        "SystemSharedMemoryUnregister": _question(
            pb.SystemSharedMemoryUnregisterRequest, lambda asked: _unregister(memory, asked)
        ),
        "ModelInfer": Unary(model_infer),
        "ModelStreamInfer": Streaming(lambda bodies, info: stream_infer(desk, memory, bodies, info.seconds_left)),
        **{name: Unary(_refusal(text)) for name, text in _NOT_HERE.items()},
    }
    return {SERVICE: methods}


def _question(kind: type[T], answer: Callable[[T], Message]) -> Unary:
    """A method that answers at once, also while the master stops."""

    async def handle(body: bytes, _: CallInfo) -> bytes:
        return answer(_parse(kind, body)).SerializeToString()

    return Unary(handle, serves_while_draining=True)


def _refusal(text: str) -> Callable[[bytes, CallInfo], Awaitable[bytes]]:
    async def handle(_body: bytes, _info: CallInfo) -> bytes:
        raise RpcFault(UNIMPLEMENTED.grpc, text)

    return handle


def _model_ready(desk: FrontDesk, asked: pb.ModelReadyRequest) -> pb.ModelReadyResponse:
    try:
        return pb.ModelReadyResponse(ready=not why_model_not_ready(desk, asked.name, asked.version))
    except CallFault:
        # Who waits for a model to come asks again and again: one that is not known yet is just not ready.
        return pb.ModelReadyResponse(ready=False)


def _register(
    memory: ClientMemory, asked: pb.SystemSharedMemoryRegisterRequest
) -> pb.SystemSharedMemoryRegisterResponse:
    memory.register(asked.name, asked.key, asked.offset, asked.byte_size)
    return pb.SystemSharedMemoryRegisterResponse()


def _unregister(
    memory: ClientMemory, asked: pb.SystemSharedMemoryUnregisterRequest
) -> pb.SystemSharedMemoryUnregisterResponse:
    memory.unregister(asked.name)
    return pb.SystemSharedMemoryUnregisterResponse()


def _parse(kind: type[T], body: bytes) -> T:
    try:
        return kind.FromString(body)
    except DecodeError as error:
        raise RpcFault(Status.INVALID_ARGUMENT, f"the request is no {kind.DESCRIPTOR.full_name}") from error


def _message(document: dict[str, Any], message: R) -> R:
    # What only JSON can say is left out.
    return ParseDict(document, message, ignore_unknown_fields=True)
