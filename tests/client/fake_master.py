"""A real gRPC server that speaks MSService and answers what a test prepares; it can die, come back, and feel ill."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc

from mindspore_serving.proto import ms_service_pb2 as pb

Answer = Callable[[pb.PredictRequest, grpc.ServicerContext], pb.PredictReply | bytes]
# grpc.health.v1.HealthCheckResponse: field 1 is the status.
SERVING, NOT_SERVING = b"\x08\x01", b"\x08\x02"


def echo(request: pb.PredictRequest, _: grpc.ServicerContext) -> pb.PredictReply:
    """Every input comes back as an output."""
    return pb.PredictReply(servable_spec=request.servable_spec, instances=request.instances)


def serialized(reply: pb.PredictReply | bytes) -> bytes:
    """Bytes are sent as they are, whatever a client makes of them."""
    return reply if isinstance(reply, bytes) else reply.SerializeToString()


class Health:
    """grpc.health.v1.Health/Watch for the whole server."""

    def __init__(self) -> None:
        self._news = threading.Condition()
        self._state = SERVING
        self._is_over = False

    def set(self, state: bytes) -> None:
        with self._news:
            self._state = state
            self._news.notify_all()

    def end(self) -> None:
        with self._news:
            self._is_over = True
            self._news.notify_all()

    def watch(self, _: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        said = b""
        while not self._is_over:
            with self._news:
                while not self._is_over and self._state == said:
                    self._news.wait()
                said = self._state
            yield said


class FakeMaster:
    """Records requests and answers them with `answer`. Runs from its construction; address: HOST:PORT or unix:PATH."""

    def __init__(self, address: str = "127.0.0.1:0", with_health: bool = False) -> None:
        self.answer: Answer = echo
        self.requests: list[pb.PredictRequest] = []
        self.metadata: list[dict[str, str | bytes]] = []
        self._with_health = with_health
        self.port = 0
        self.address = address
        self.start()

    def start(self) -> None:
        """Serves, at the same address as before."""
        self.health = Health()
        handlers: dict[str, Any] = {
            "mindspore.serving.proto.MSService": {
                "Predict": grpc.unary_unary_rpc_method_handler(self._predict, pb.PredictRequest.FromString, serialized)
            }
        }
        if self._with_health:
            handlers["grpc.health.v1.Health"] = {"Watch": grpc.unary_stream_rpc_method_handler(self.health.watch)}
        self.server = grpc.server(
            ThreadPoolExecutor(16), options=[("grpc.max_receive_message_length", -1), ("grpc.so_reuseport", 0)]
        )
        for service, methods in handlers.items():
            self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, methods),))
        port = self.server.add_insecure_port(self.address)
        if not self.address.startswith("unix:"):
            self.port = port
            self.address = f"{self.address.rpartition(':')[0]}:{port}"
        self.server.start()

    def die(self) -> None:
        """Ends at once: calls on their way are torn off, connections break."""
        self.health.end()
        self.server.stop(None).wait()

    def _predict(self, request: pb.PredictRequest, context: grpc.ServicerContext) -> pb.PredictReply | bytes:
        self.metadata.append(dict(context.invocation_metadata()))
        self.requests.append(request)
        return self.answer(request, context)


class Failing:
    """Answers so many calls with a status, and echoes the others."""

    def __init__(self, times: int, code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE, pushback: str = "") -> None:
        self._left = times
        self._code = code
        self._trailing = (("grpc-retry-pushback-ms", pushback),) if pushback else ()

    def __call__(self, request: pb.PredictRequest, context: grpc.ServicerContext) -> pb.PredictReply:
        if self._left:
            self._left -= 1
            context.set_trailing_metadata(self._trailing)
            context.abort(self._code, "not now")
        return echo(request, context)


@contextmanager
def fake_master(address: str = "127.0.0.1:0", with_health: bool = False) -> Iterator[FakeMaster]:
    """Runs a FakeMaster."""
    master = FakeMaster(address, with_health)
    try:
        yield master
    finally:
        master.die()
