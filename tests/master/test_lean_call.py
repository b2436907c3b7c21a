"""A call by itself, with a link that only listens."""

import asyncio
from collections.abc import AsyncIterator

from mindspore_serving.master.grpc_head import CallHead
from mindspore_serving.master.lean_call import Call
from mindspore_serving.master.service_table import CallInfo, RpcFault, Streaming


class Quiet:
    """Does nothing of what a call tells it."""

    largest_message = 1000

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop

    def reply(self, stream_id: int, message: bytes) -> None:
        pass

    def begin_reply(self, stream_id: int) -> None:
        pass

    def send_message(self, stream_id: int, message: bytes) -> None:
        pass

    def end_call(self, stream_id: int, begun: bool, fault: RpcFault | None) -> None:
        pass

    def grant(self, stream_id: int, count: int) -> None:
        pass

    def drained(self, stream_id: int) -> "asyncio.Future[None] | None":
        return self.loop.create_future() if stream_id == 3 else None

    def hold_bytes(self, change: int) -> None:
        pass


def test_abandoned_streams_leave_no_exception_behind() -> None:
    """mypyc may: it stays in the thread, and so does each one after it. No test of sources can fail here."""
    closed = []

    async def handler(_bodies: AsyncIterator[bytes], _info: CallInfo) -> AsyncIterator[bytes]:
        try:
            yield b"one"
            await asyncio.sleep(60)
        finally:
            closed.append(True)

    async def abandon() -> BaseException | None:
        for stream_id in (1, 3):  # whose handler waits, and whose client does not read
            call = Call(
                Quiet(asyncio.get_running_loop()), stream_id, CallHead(Streaming(handler), None, b"identity", ()), 0, 9
            )
            call.start_streaming()
            await asyncio.sleep(0)
            call.abandon()
            for _ in range(5):
                await asyncio.sleep(0)
        try:
            raise ValueError
        except ValueError as error:
            return error.__context__

    assert asyncio.run(abandon()) is None
    assert closed == [True, True]
