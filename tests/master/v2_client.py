"""A client of the Open Inference Protocol over gRPC, as plain as one can be."""

from typing import Any

import grpc
from google.protobuf.message import Message

from mindspore_serving.proto import open_inference_pb2 as pb
from tests.master.running_master import WAIT_SECONDS, RunningMaster


def infer_input(name: str, datatype: str, shape: list[int], **parameters: Any) -> pb.ModelInferRequest.InferInputTensor:
    tensor = pb.ModelInferRequest.InferInputTensor(name=name, datatype=datatype, shape=shape)
    set_parameters(tensor.parameters, parameters)
    return tensor


def infer_request(model: str, *inputs: pb.ModelInferRequest.InferInputTensor, raw: list[bytes]) -> pb.ModelInferRequest:
    return pb.ModelInferRequest(model_name=model, inputs=inputs, raw_input_contents=raw)


def bytes_request(*values: int, model: str = "add.echo") -> pb.ModelInferRequest:
    """A batch of single bytes."""
    return infer_request(model, infer_input("x", "UINT8", [len(values), 1]), raw=[bytes(values)])


def set_parameters(into: Any, parameters: dict[str, Any]) -> None:
    fields = {bool: "bool_param", int: "int64_param", str: "string_param", float: "double_param"}
    for name, value in parameters.items():
        setattr(into[name], fields[type(value)], value)


class V2Client:
    """Calls inference.GRPCInferenceService of a running master."""

    def __init__(self, master: RunningMaster) -> None:
        self._channel = master.channel

    def send(self, method: str, request: Message) -> Any:
        """A call on its way; its result is bytes."""
        call: Any = self._channel.unary_unary(f"/inference.GRPCInferenceService/{method}")
        return call.future(request.SerializeToString(), timeout=WAIT_SECONDS)

    def stream(self, requests: list[pb.ModelInferRequest]) -> list[bytes]:
        """What a call of ModelStreamInfer with these answers."""
        call: Any = self._channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")
        return list(call(iter([request.SerializeToString() for request in requests]), timeout=WAIT_SECONDS))

    def infer(self, request: pb.ModelInferRequest) -> pb.ModelInferResponse:
        return pb.ModelInferResponse.FromString(self.send("ModelInfer", request).result())

    def fault(self, request: Message, method: str = "ModelInfer") -> tuple[grpc.StatusCode, str]:
        """The status and the text of a call that fails."""
        error = self.send(method, request).exception()
        assert isinstance(error, grpc.Call), "nothing failed"
        return error.code(), str(error.details())
