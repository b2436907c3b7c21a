"""A real front desk whose one worker answers every batch with its first input, at once and without a socket."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from mindspore_serving.cluster.codec import decode, encode
from mindspore_serving.cluster.dispatch_events import Limits
from mindspore_serving.cluster.messages import BatchDone, FromMaster, FromWorker, MethodSpec, Register, RunBatch
from mindspore_serving.master.front_desk import FrontDesk

WORKER = "w"
WAIT_SECONDS = 20.0
T = TypeVar("T")


class EchoDesk:
    """Lives as long as the process; every call to run() is one request. `respond`: what the worker makes of a batch."""

    def __init__(
        self,
        methods: tuple[MethodSpec, ...] = (MethodSpec("m", ("x",), ("y",), 4),),
        respond: Callable[[RunBatch], BatchDone] = lambda batch: BatchDone(batch.batch_id, batch.columns),
    ) -> None:
        self._methods = methods
        self._respond = respond
        self.loop = asyncio.new_event_loop()
        self.desk = self.loop.run_until_complete(self._open())

    def run(self, work: Awaitable[T]) -> T:
        """The answer; a request that gets none is a fault."""
        return self.loop.run_until_complete(asyncio.wait_for(work, WAIT_SECONDS))

    def close(self) -> None:
        self.desk.close()
        self.loop.close()

    async def _open(self) -> FrontDesk:
        desk = FrontDesk(Limits(lease_seconds=1e6), self._send)
        desk.receive(WORKER, Register(1, "s", 1, self._methods, "CPU:0", "here", 1))
        return desk

    def _send(self, worker_id: str, message: FromMaster) -> bool:
        if isinstance(message, RunBatch):
            sent = decode(encode(message))
            assert isinstance(sent, RunBatch)
            done = decode(encode(self._respond(sent)))
            assert isinstance(done, FromWorker)
            self.loop.call_soon(self.desk.receive, WORKER, done)
        return True
