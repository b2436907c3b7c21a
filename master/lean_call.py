"""One gRPC call behind the lean door: its request put together, its handler run, its status sent exactly once."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Protocol

from mindspore_serving.master.grpc_head import CallHead
from mindspore_serving.master.grpc_messages import PREFIX_BYTES, MessageReader, Prefix, read_prefix
from mindspore_serving.master.http2.frames import Piece
from mindspore_serving.master.http2.limits import Limits, Pace
from mindspore_serving.master.promise import Promise
from mindspore_serving.master.service_table import OWN_FAULT_TEXT, CallInfo, RpcFault, Status, Streaming, Unary

logger = logging.getLogger("mindspore_serving.master")

SLACK_BYTES = 16_384  # of window behind a large message, so that what is wrong after it comes to light


class Link(Protocol):
    """What a call needs of its connection."""

    loop: asyncio.AbstractEventLoop
    largest_message: int

    def reply(self, stream_id: int, message: bytes) -> None:
        """The whole answer of a unary call, which ends it."""

    def begin_reply(self, stream_id: int) -> None:
        """The fields before replies."""

    def send_message(self, stream_id: int, message: bytes) -> None:
        """One reply of several."""

    def end_call(self, stream_id: int, begun: bool, fault: RpcFault | None) -> None:
        """The status, which ends the call. `begun`: after begin_reply()."""

    def grant(self, stream_id: int, count: int) -> None:
        """Lets the client send more."""

    def drained(self, stream_id: int) -> "asyncio.Future[None] | None":
        """What to wait for before more replies, if something."""

    def hold_bytes(self, change: int) -> None:
        """So many bytes more, or less, are kept for handlers. Raises RpcFault when too many are."""


class Call:
    """Made when the request's fields have come. It ends once: by a status, or by abandon()."""

    __slots__ = (
        "_arrival",
        "_begun",
        "_ended",
        "_granted",
        "_head",
        "_held",
        "_is_released",
        "_link",
        "_pace",
        "_reader",
        "_received",
        "_timer",
        "_window",
        "_work",
        "deadline",
        "stream_id",
    )

    def __init__(self, link: Link, stream_id: int, head: CallHead, now: float, window: int) -> None:
        self.stream_id = stream_id
        self.deadline: float | None = None
        self._link = link
        self._head = head
        self._reader: MessageReader | None = None
        self._ended = False  # the request is complete
        self._begun = False  # the reply
        self._window = window  # bytes that may come before anybody draws them
        self._granted = window  # bytes that may come in all
        self._received = 0
        self._held = 0  # bytes of the reader that hold_bytes() knows of
        self._is_released = False
        self._pace: Pace | None = Pace(now)  # while a message is awaited: for a streaming method, the rest of one
        self._work: asyncio.Future[Any] | Promise[bytes] | None = None  # what the handler is doing
        self._arrival: asyncio.Future[None] | None = None  # what the handler waits for
        self._timer: asyncio.TimerHandle | None = None
        if head.timeout_seconds is not None:
            self.deadline = now + head.timeout_seconds
            self._timer = link.loop.call_at(self.deadline, self._expire)

    def start_streaming(self) -> None:
        """Runs a streaming method's handler, which draws the requests itself."""
        self._pace = None
        self._reader = MessageReader(self._head.encoding, self._link.largest_message)
        self._work = self._link.loop.create_task(self._run_streaming())

    def receive(self, pieces: Sequence[Piece], size: int, ended: bool) -> None:
        """What has come of the request's body, in pieces that may change afterwards. Often it is all."""
        self._ended = ended
        if ended and self._reader is None and pieces and len(pieces[0]) >= PREFIX_BYTES:
            prefix: Prefix = read_prefix(pieces[0])
            is_compressed, length = prefix
            if not is_compressed and length == size - PREFIX_BYTES <= self._link.largest_message:
                message = pieces[0][PREFIX_BYTES:]
                if len(pieces) > 1:
                    message = b"".join([message, *pieces[1:]])
                self._start_unary(message if isinstance(message, bytes) else bytes(message))
                return
        try:
            self._collect(pieces, size)
        except RpcFault as fault:
            self.end(fault)

    def abandon(self) -> None:
        """Nobody waits for the reply any more."""
        self._release()
        work, self._work = self._work, None
        if work is not None:
            work.cancel()

    def is_too_slow(self, limits: Limits, now: float) -> bool:
        """Whether the request does not come on."""
        return self._pace is not None and self._pace.is_too_slow(limits, now)

    def _collect(self, pieces: Sequence[Piece], size: int) -> None:
        """A part of a body that comes in several. Raises RpcFault."""
        if self._reader is None:
            self._reader = MessageReader(self._head.encoding, self._link.largest_message)
        reader = self._reader
        reader.feed(pieces, size)
        self._received += size
        self._hold(reader.held)
        if self._pace is not None:
            self._pace.move(size)
        if isinstance(self._head.method, Streaming):
            self._wake()
            return
        if self._ended:
            message = reader.take()
            if message is None or reader.size:
                what = "no whole message" if message is None else "more than one message"
                raise RpcFault(Status.INTERNAL, f"the request of a unary call has {what}")
            self._hold(0)
            self._start_unary(message)
        elif missing := reader.missing:
            self._grant_up_to(self._received + missing + SLACK_BYTES)
        elif reader.size > self._window:
            raise RpcFault(Status.INTERNAL, "the request of a unary call has more than one message")

    def _grant_up_to(self, count: int) -> None:
        """A message that is larger than the window gets the rest at once, not piece by piece."""
        if count > self._granted:
            self._link.grant(self.stream_id, count - self._granted)
            self._granted = count

    def _start_unary(self, message: bytes) -> None:
        self._pace = None
        method = self._head.method
        assert isinstance(method, Unary)
        try:
            reply = method.handler(message, self._info())
        except Exception as error:
            self.end(_as_fault(error))
            return
        if isinstance(reply, Promise):
            self._work = reply
            reply.when_done(self._hear)
        else:
            self._work = asyncio.ensure_future(reply, loop=self._link.loop)
            self._work.add_done_callback(self._finish_unary)

    def _hear(self, work: "Promise[bytes]") -> None:
        if self._work is not work:
            return  # the call has ended before
        if work.error is not None:
            self.end(_as_fault(work.error))
        else:
            self._reply(work.result())

    def _finish_unary(self, work: "asyncio.Future[bytes]") -> None:
        error = RpcFault(Status.CANCELLED, "the call was cancelled") if work.cancelled() else work.exception()
        if self._work is not work:
            return
        if error is not None:
            self.end(_as_fault(error))
        else:
            self._reply(work.result())

    def _reply(self, message: bytes) -> None:
        if self.deadline is not None and self._link.loop.time() >= self.deadline:
            self._expire()
            return
        self._work = None
        self._release()
        self._link.reply(self.stream_id, message)

    async def _run_streaming(self) -> None:
        method = self._head.method
        assert isinstance(method, Streaming)
        replies = method.handler(_Requests(self), self._info())
        raised: BaseException | None = None
        try:
            async for reply in replies:
                if not self._begun:
                    self._begun = True
                    self._link.begin_reply(self.stream_id)
                self._link.send_message(self.stream_id, reply)
                if (drained := self._link.drained(self.stream_id)) is not None:
                    await drained
        except BaseException as error:
            raised = error
        # Not in a `finally`: mypyc leaves an exception behind in the thread if a coroutine waits while it handles it.
        if isinstance(replies, AsyncGenerator):
            await replies.aclose()
        if raised is None:
            self.end(None)
        elif isinstance(raised, Exception):
            self.end(_as_fault(raised))
        else:
            raise raised

    async def next_request(self) -> bytes | None:
        """The next request as a streaming handler draws it; None after the last. Raises RpcFault for a bad one."""
        reader = self._reader
        assert reader is not None
        while (message := reader.take()) is None:
            if self._ended:
                if reader.size:
                    raise RpcFault(Status.INTERNAL, "the request ends inside a message")
                return None
            missing = reader.missing
            self._pace = Pace(self._link.loop.time()) if missing else None
            self._grant_up_to(self._received + missing)
            self._arrival = self._link.loop.create_future()
            await self._arrival
        self._pace = None
        self._hold(reader.held)
        drawn = self._received - reader.size + self._window
        if drawn - self._granted >= self._window // 2:
            self._grant_up_to(drawn)
        return message

    def _wake(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    def _info(self) -> CallInfo:
        left = None if self.deadline is None else self.deadline - self._link.loop.time()
        return CallInfo(left, self._head.metadata)

    def _expire(self) -> None:
        # Both ends watch the deadline; whichever is first, the caller gets the same status.
        self.end(RpcFault(Status.DEADLINE_EXCEEDED, "Deadline Exceeded"))

    def end(self, fault: RpcFault | None) -> None:
        """Ends the call with this status, whatever its handler is doing."""
        work, self._work = self._work, None
        self._release()
        self._link.end_call(self.stream_id, self._begun, fault)
        if work is not None and fault is not None and work is not asyncio.current_task():
            work.cancel()

    def _hold(self, size: int) -> None:
        # A task of the handler's may still draw a request after the call's end: that would be counted for ever.
        if size != self._held and not self._is_released:
            change, self._held = size - self._held, size
            self._link.hold_bytes(change)

    def _release(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._hold(0)
        self._is_released = True


class _Requests:
    """The requests of a call as its handler sees them."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def __aiter__(self) -> "_Requests":
        return self

    async def __anext__(self) -> bytes:
        message = await self._call.next_request()
        if message is None:
            raise StopAsyncIteration
        return message


def _as_fault(error: BaseException) -> RpcFault:
    """An RpcFault is meant for the caller; anything else is a fault of ours."""
    if isinstance(error, RpcFault):
        return error
    logger.error("a fault of the master's own", exc_info=error)
    return RpcFault(Status.INTERNAL, OWN_FAULT_TEXT)
