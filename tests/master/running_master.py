"""A real master in an event loop of its own, for the workers and clients of a test."""

import asyncio
import concurrent.futures
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

import grpc
import zmq

from mindspore_serving.cluster.addresses import Address
from mindspore_serving.cluster.dispatch_events import Limits
from mindspore_serving.cluster.messages import MethodSpec
from mindspore_serving.master.client_memory import ClientMemory
from mindspore_serving.master.config import DEFAULT_GRPC_ENGINE
from mindspore_serving.master.server import MasterServer
from mindspore_serving.proto import ms_service_pb2 as pb
from tests.master.fake_worker import METHODS, FakeWorker

WAIT_SECONDS = 60
T = TypeVar("T")

PREDICT = "/mindspore.serving.proto.MSService/Predict"


class RunningMaster:
    """A MasterServer in an event loop of its own, a worker, and a client."""

    def __init__(
        self, limits: Limits, grpc_engine: str = DEFAULT_GRPC_ENGINE, memory: ClientMemory | None = None
    ) -> None:
        self._memory = memory
        self.context = zmq.Context[zmq.Socket[bytes]]()
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        try:
            self.grpc, self.ctrl = self.run(self._open(limits, grpc_engine))
        except BaseException:
            self._end_loop()
            raise
        self.workers: list[FakeWorker] = []
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self.grpc.port}")
        self._predict: Any = self.channel.unary_unary(PREDICT)

    async def _open(self, limits: Limits, grpc_engine: str) -> tuple[Address, Address]:
        self.server = MasterServer(limits, self.context, memory=self._memory)
        address = self.server.bind_grpc(Address("127.0.0.1", 0), max_message_mb=1, engine=grpc_engine)
        control = self.server.open_control(Address("127.0.0.1", 0))
        assert isinstance(address, Address) and isinstance(control, Address)
        await self.server.start_grpc(address)
        return address, control

    def open_rest(self) -> Address:
        """Opens the RESTful door too."""
        return self.run(self._open_rest())

    async def _open_rest(self) -> Address:
        address = self.server.bind_rest(Address("127.0.0.1", 0), max_message_mb=1)
        await self.server.start_rest(address)
        return address

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.later(work).result(WAIT_SECONDS)

    def later(self, work: Coroutine[Any, Any, T]) -> "concurrent.futures.Future[T]":
        """Starts the work in the master's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def worker(self, version: int = 1, methods: tuple[MethodSpec, ...] = METHODS) -> FakeWorker:
        self.workers.append(FakeWorker(self.context, self.ctrl.port, version, methods))
        return self.workers[-1]

    def send(self, request: pb.PredictRequest | bytes, timeout: float = WAIT_SECONDS) -> Any:
        """A call on its way."""
        body = request if isinstance(request, bytes) else request.SerializeToString()
        return self._predict.future(body, timeout=timeout)

    def ask(self, request: pb.PredictRequest | bytes) -> pb.PredictReply:
        return pb.PredictReply.FromString(self.send(request).result())

    def close(self) -> None:
        self.channel.close()
        for worker in self.workers:
            worker.socket.close(0)
        self.run(self.server.stop(0.0))
        self._end_loop()
        self.context.term()

    def _end_loop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()
