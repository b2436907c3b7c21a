"""A call by itself, with a link that only listens."""

import asyncio
import gzip
from collections.abc import AsyncIterator

import pytest

from mindspore_serving.master.grpc_head import CallHead
from mindspore_serving.master.lean_call import Call
from mindspore_serving.master.promise import Promise
from mindspore_serving.master.service_table import CallInfo, RpcFault, Status, Streaming, Unary


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


class Listening(Quiet):
    """Keeps the status of its call."""

    status: Status | None = None

    def end_call(self, stream_id: int, begun: bool, fault: RpcFault | None) -> None:
        assert fault is not None
        self.status = fault.status


BODY = b"\0\0\0\0\x0babcdefghijk"
PACKED = gzip.compress(b"abcdefghijk")


@pytest.mark.parametrize(
    ("receipts", "expected"),
    [
        ([[BODY]], b"abcdefghijk"),
        ([[memoryview(BODY)]], b"abcdefghijk"),
        ([[BODY[:5], BODY[5:9], memoryview(BODY)[9:]]], b"abcdefghijk"),
        ([[BODY[:7], BODY[7:]]], b"abcdefghijk"),
        ([[BODY[:4], BODY[4:]]], b"abcdefghijk"),  # the prefix itself is cut
        ([[BODY[:8]], [BODY[8:]]], b"abcdefghijk"),  # and not all has come at once
        ([[BODY], []], b"abcdefghijk"),
        ([[b"\0\0\0\0\0"]], b""),
        ([[b"\1\0\0\0" + bytes((len(PACKED),)), PACKED]], b"abcdefghijk"),
        ([[]], Status.INTERNAL),
        ([[BODY[:4]]], Status.INTERNAL),
        ([[BODY[:9], BODY[9:-1]]], Status.INTERNAL),  # less than it says
        ([[BODY[:9], BODY[9:] + b"x"]], Status.INTERNAL),  # and more
        ([[b"\2" + BODY[1:9], BODY[9:]]], Status.INTERNAL),
        ([[b"\0\0\0\3\xe8", bytes(1000)]], bytes(1000)),
        ([[b"\0\0\0\3\xe9", bytes(1001)]], Status.RESOURCE_EXHAUSTED),
    ],
)
def test_a_request_comes_in_whatever_pieces(receipts: list[list[bytes]], expected: bytes | Status) -> None:
    handled: list[bytes] = []

    def handler(body: bytes, _info: CallInfo) -> Promise[bytes]:
        assert type(body) is bytes
        handled.append(body)
        return Promise()

    async def receive() -> Status | None:
        link = Listening(asyncio.get_running_loop())
        call = Call(link, 1, CallHead(Unary(handler), None, b"gzip", ()), 0, 9999)
        for number, pieces in enumerate(receipts, 1):
            call.receive(pieces, sum(map(len, pieces)), number == len(receipts))
        call.abandon()
        return link.status

    status = asyncio.run(receive())
    assert (handled, status) == (([expected], None) if isinstance(expected, bytes) else ([], expected))
