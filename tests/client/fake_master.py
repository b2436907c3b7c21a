"""A real gRPC server that speaks MSService and answers what a test prepares."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc

from mindspore_serving.proto import ms_service_pb2 as pb

Answer = Callable[[pb.PredictRequest, grpc.ServicerContext], pb.PredictReply]


def echo(request: pb.PredictRequest, _: grpc.ServicerContext) -> pb.PredictReply:
    """Every input comes back as an output."""
    return pb.PredictReply(servable_spec=request.servable_spec, instances=request.instances)


class FakeMaster:
    """Records requests and answers them with `answer`."""

    def __init__(self) -> None:
        self.answer: Answer = echo
        self.requests: list[pb.PredictRequest] = []
        handler: Any = grpc.unary_unary_rpc_method_handler(
            self._predict, pb.PredictRequest.FromString, pb.PredictReply.SerializeToString
        )
        service = grpc.method_handlers_generic_handler("mindspore.serving.proto.MSService", {"Predict": handler})
        self.server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.max_receive_message_length", -1)])
        self.server.add_generic_rpc_handlers((service,))
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def _predict(self, request: pb.PredictRequest, context: grpc.ServicerContext) -> pb.PredictReply:
        self.requests.append(request)
        return self.answer(request, context)


@contextmanager
def fake_master() -> Iterator[FakeMaster]:
    """Runs a FakeMaster."""
    master = FakeMaster()
    try:
        yield master
    finally:
        master.server.stop(None).wait()
