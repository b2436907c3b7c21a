"""A gRPC door in an event loop of its own, with a service that does whatever a client of a test needs to see."""

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

from mindspore_serving.cluster.addresses import Address, Endpoint
from mindspore_serving.master.grpc_api import GrpcDoor
from mindspore_serving.master.http2.limits import Limits
from mindspore_serving.master.lean_door import LeanDoor
from mindspore_serving.master.service_table import CallInfo, RpcFault, ServiceTable, Status, Streaming, Unary
from mindspore_serving.master.tls import Tls

WAIT_SECONDS = 60
T = TypeVar("T")


class RunningDoor:
    """Its handlers tell what happened to them: `entered` and `cancelled` are counted up, `go_on` lets them answer."""

    def __init__(
        self,
        engine: str = "lean",
        address: Endpoint = Address("127.0.0.1", 0),  # noqa: B008  (a NamedTuple)
        tls: Tls | None = None,
        limits: Limits | None = None,
        max_message_mb: int = 1,
    ) -> None:
        self.loop = asyncio.new_event_loop()
        self.entered, self.cancelled = threading.Semaphore(0), threading.Semaphore(0)
        self.info: CallInfo | None = None
        self.drawn = 0
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        self._is_stopped = False
        try:
            self.address = self.run(self._open(engine, address, tls, limits, max_message_mb))
        except BaseException:
            self._end_loop()  # nobody will close what was never made
            raise
        self.target = str(self.address)

    async def _open(
        self, engine: str, address: Endpoint, tls: Tls | None, limits: Limits | None, max_message_mb: int
    ) -> Endpoint:
        self.go_on = asyncio.Event()
        table: ServiceTable = {
            "Echo": {
                "Say": Unary(self._say),
                "Wait": Unary(self._wait),
                "WaitLonger": Unary(self._wait, serves_while_draining=True),
                "Fail": Unary(self._fail),
                "Break": Unary(self._break),
                "Stream": Streaming(self._stream),
                "Flood": Streaming(self._flood),
                "Ignore": Streaming(self._ignore),
                "FailLate": Streaming(self._fail_late),
            }
        }
        if engine == "lean":
            self.door: LeanDoor | GrpcDoor = LeanDoor(table, max_message_mb, limits)
        else:
            self.door = GrpcDoor(table, max_message_mb)
        real = self.door.bind(address, tls)
        await self.door.start()
        return real

    async def _say(self, body: bytes, info: CallInfo) -> bytes:
        self.info = info
        return body

    async def _wait(self, body: bytes, _: CallInfo) -> bytes:
        self.entered.release()
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled.release()
            raise
        return body

    async def _fail(self, body: bytes, _: CallInfo) -> bytes:
        raise RpcFault(Status.ABORTED, body.decode(), (("why", "because"), ("why-bin", b"\0\xff")))

    async def _break(self, _: bytes, __: CallInfo) -> bytes:
        raise ZeroDivisionError("no client should read this")

    async def _stream(self, bodies: AsyncIterator[bytes], info: CallInfo) -> AsyncIterator[bytes]:
        self.info = info
        async for body in bodies:
            yield body

    async def _flood(self, bodies: AsyncIterator[bytes], _: CallInfo) -> AsyncIterator[bytes]:
        """So many replies as the request says, of 100 kB."""
        async for body in bodies:
            for _number in range(int(body)):
                yield bytes(100_000)
                self.drawn += 1

    async def _ignore(self, _: AsyncIterator[bytes], __: CallInfo) -> AsyncIterator[bytes]:
        """Draws no request until it may go on, and answers none."""
        yield await self._wait(b"done", CallInfo())

    async def _fail_late(self, _: AsyncIterator[bytes], __: CallInfo) -> AsyncIterator[bytes]:
        yield b"one"
        raise RpcFault(Status.DATA_LOSS, "lost: ü%\n")

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(WAIT_SECONDS)

    def let_go_on(self) -> None:
        self.loop.call_soon_threadsafe(self.go_on.set)

    def stop(self) -> None:
        if not self._is_stopped:
            self._is_stopped = True
            self.run(self.door.stop())

    def close(self) -> None:
        self.stop()
        self._end_loop()

    def _end_loop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()
