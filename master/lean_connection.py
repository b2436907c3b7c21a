"""One client's connection to the lean door: the transport on one side, HTTP/2 in the middle, calls on the other."""

import asyncio
import contextlib
import logging
from typing import Final, Protocol, cast

from mindspore_serving.master.grpc_head import CallHead, RefusedHead
from mindspore_serving.master.grpc_messages import (
    ACCEPT_ENCODING,
    encode_metadata,
    message_prefix,
    percent_encode,
    short_text,
)
from mindspore_serving.master.http2.connection import Connection
from mindspore_serving.master.http2.errors import ErrorCode
from mindspore_serving.master.http2.events import (
    ConnectionEnded,
    DataReceived,
    Event,
    ForeignProtocol,
    RequestReceived,
    StreamEnded,
)
from mindspore_serving.master.http2.headers import Fields
from mindspore_serving.master.http2.limits import Limits
from mindspore_serving.master.lean_call import Call
from mindspore_serving.master.service_table import STOPPING_TEXT, RpcFault, Status, Streaming

logger = logging.getLogger("mindspore_serving.master")

LINGER_SECONDS = 1.0  # for the peer to read our last words and close
BURST_BYTES: Final = 256 << 10  # of replies that may wait for the end of a turn of the loop
COPIED_BYTES: Final = 4 << 10  # received at once, up to which copying is cheaper than views
DRAINED_BYTES: Final = 64 << 10  # of replies that may wait for a window while more are made

_BEGIN: Final[Fields] = ((b":status", b"200"), (b"content-type", b"application/grpc"), ACCEPT_ENCODING)
_GOOD: Final[Fields] = ((b"grpc-status", b"0"),)
_HTTP_1_TEXT = b"this port speaks gRPC, which needs HTTP/2: for HTTP/1 use the port that --rest names\n"
_HTTP_1_REFUSAL = (
    b"HTTP/1.1 505 HTTP Version Not Supported\r\ncontent-type: text/plain\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%s" % (len(_HTTP_1_TEXT), _HTTP_1_TEXT)
)


class Wire(Protocol):
    """What a connection needs of its transport, which is a SocketTransport or a SecureTransport."""

    def set_write_buffer_limits(self, high: int) -> None:
        """The connection is told when more than that is unsent."""

    def resume_reading(self) -> None:
        """From now on the connection gets what comes."""

    def pause_reading(self) -> None:
        """Until resume_reading() it does not."""

    def write(self, data: bytes) -> None:
        """Sends this."""

    def can_write_eof(self) -> bool:
        """Whether write_eof() can be called."""

    def write_eof(self) -> None:
        """The peer sees the end when it has read all. Raises OSError."""

    def is_closing(self) -> bool:
        """Whether it is closed, or will be."""

    def close(self) -> None:
        """Closes when all is sent."""

    def abort(self) -> None:
        """Closes at once."""


class Door(Protocol):
    """What a connection needs of its door."""

    loop: asyncio.AbstractEventLoop
    limits: Limits
    largest_message: int
    draining: bool
    inbox: memoryview  # where connections receive; what lies there is dealt with before another one receives

    def make_http2(self) -> Connection:
        """The state machine of a new connection."""

    def admit(self, connection: "LeanConnection") -> bool:
        """A new connection: whether it may stay."""

    def leave(self, connection: "LeanConnection") -> None:
        """A connection is closed."""

    def hold_bytes(self, change: int) -> None:
        """So many bytes more, or less, are kept for handlers. Raises RpcFault when too many are."""


class LeanConnection(asyncio.BufferedProtocol):
    """Answers what a turn of the event loop brought, or finished, with one write."""

    def __init__(self, door: Door) -> None:
        self.loop = door.loop
        self.largest_message = door.largest_message
        self.hold_bytes = door.hold_bytes
        self.closed: asyncio.Future[None] = door.loop.create_future()
        self.without_calls: asyncio.Future[None] | None = None  # somebody waits for that
        self._door = door
        self._limits = door.limits
        self._http2 = door.make_http2()
        self._calls: dict[int, Call] = {}
        self._blocked: dict[int, asyncio.Future[None]] = {}  # streaming calls whose replies are not fetched
        self._transport: Wire
        self._is_receiving = False
        self._flush_is_due = False
        self._burst_bytes = 0
        self._held_since: float | None = None
        self._said_last: float | None = None  # the last words, when

    # What the transport tells.

    def connection_made(self, transport: asyncio.BaseTransport | Wire) -> None:
        self._transport = transport = cast(Wire, transport)
        transport.set_write_buffer_limits(high=BURST_BYTES)
        if not self._door.admit(self):
            transport.abort()

    def get_buffer(self, _: int) -> memoryview:
        return self._door.inbox

    def buffer_updated(self, count: int) -> None:
        data = self._door.inbox[:count]
        now = self.loop.time()
        self._is_receiving = True
        self._handle(self._http2.receive(data if count > COPIED_BYTES else data.tobytes(), now), now)
        self._is_receiving = False
        self.flush()

    def pause_writing(self) -> None:
        # Who does not read is not read from: it can neither make us answer nor work any more.
        self._held_since = self.loop.time()
        self._http2.hold(True)
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._held_since = None
        self._http2.hold(False)
        self._transport.resume_reading()
        self.flush()

    def connection_lost(self, _: Exception | None) -> None:
        self._abandon_calls()
        self._http2.close()
        self._door.leave(self)
        if not self.closed.done():
            self.closed.set_result(None)

    # What the door tells.

    @property
    def idle_since(self) -> float | None:
        """Since when no stream is open, if none is, and the last words are not said yet."""
        return self._http2.idle_since if self._http2.is_idle and self._said_last is None else None

    @property
    def knows_end(self) -> bool:
        """Whether all has come that the client has sent before it knew of announce_end()."""
        return self._http2.peer_knows_end

    def tick(self, now: float) -> None:
        """What took too long ends."""
        if self._said_last is None and self._transport.is_closing():
            self._said_last = now  # the peer has left, and has not read all
        stuck_since = self._held_since if self._said_last is None else self._said_last + LINGER_SECONDS
        if stuck_since is not None and now - stuck_since > self._limits.grace_seconds:
            self._transport.abort()
            return
        self._handle(self._http2.tick(now), now)
        for call in [call for call in self._calls.values() if call.is_too_slow(self._limits, now)]:
            call.end(RpcFault(Status.DEADLINE_EXCEEDED, "the request came too slowly"))
        self.flush()

    def announce_end(self) -> None:
        """The client should open its next streams elsewhere. Once."""
        self.without_calls = self.loop.create_future()
        self._note_calls()
        self._http2.announce_end()
        self.flush()

    def end(self, text: str) -> None:
        """Ends what is still open, then the connection."""
        for call in list(self._calls.values()):
            call.end(RpcFault(Status.UNAVAILABLE, text))
        self._http2.end(text)
        self.flush()
        self._linger()

    def abort(self) -> None:
        """Closes at once."""
        self._transport.abort()

    # What calls tell.

    def reply(self, stream_id: int, message: bytes) -> None:
        if self._calls.pop(stream_id, None) is not None:
            self._http2.send_response(stream_id, _BEGIN, message_prefix(message), message, _GOOD)
            if self._calls or self._is_receiving:
                self._count(len(message))
            else:
                self.flush()  # nothing else can come with it
            self._note_calls()

    def begin_reply(self, stream_id: int) -> None:
        self._http2.send_headers(stream_id, _BEGIN)

    def send_message(self, stream_id: int, message: bytes) -> None:
        self._http2.send_body(stream_id, message_prefix(message), message)
        self._count(len(message))

    def end_call(self, stream_id: int, begun: bool, fault: RpcFault | None) -> None:
        if self._calls.pop(stream_id, None) is not None:
            self._send_status(stream_id, begun, fault)
            self._note_calls()

    def grant(self, stream_id: int, count: int) -> None:
        self._http2.grant(stream_id, count)
        self._count(0)

    def drained(self, stream_id: int) -> "asyncio.Future[None] | None":
        if self._http2.unsent(stream_id) <= DRAINED_BYTES:
            return None
        blocked = self._blocked[stream_id] = self.loop.create_future()
        return blocked

    # The rest.

    def flush(self) -> None:
        """Writes what may leave."""
        self._flush_is_due = False
        self._burst_bytes = 0
        while self._http2.has_data_to_send:
            data = self._http2.data_to_send()
            if data and self._said_last is None:
                self._transport.write(data)
        if self._blocked:
            for stream_id in [i for i in self._blocked if self._http2.unsent(i) <= DRAINED_BYTES]:
                blocked = self._blocked.pop(stream_id)
                if not blocked.done():
                    blocked.set_result(None)

    def _count(self, size: int) -> None:
        self._burst_bytes += size
        if self._burst_bytes > BURST_BYTES:
            self.flush()
        elif not self._flush_is_due:
            self._flush_is_due = True
            self.loop.call_soon(self.flush)

    def _handle(self, events: list[Event], now: float) -> None:
        for event in events:
            if isinstance(event, RequestReceived):
                self._open(event.stream_id, event.head, event.ended, now)
            elif isinstance(event, DataReceived):
                if (call := self._calls.get(event.stream_id)) is not None:
                    call.receive(event.pieces, event.size, event.ended)
            elif isinstance(event, StreamEnded):
                if (call := self._calls.pop(event.stream_id, None)) is not None:
                    call.abandon()
                    self._note_calls()
            elif isinstance(event, ConnectionEnded):
                if event.code is not ErrorCode.NO_ERROR:
                    logger.info("a gRPC client's connection ends by %s: %s", event.code.name, event.text)
                self._abandon_calls()
                self.loop.call_soon(self._linger)
            elif isinstance(event, ForeignProtocol):
                if event.first[:1].isalpha():
                    self._transport.write(_HTTP_1_REFUSAL)
                self.loop.call_soon(self._linger)

    def _open(self, stream_id: int, head: CallHead | RefusedHead, ended: bool, now: float) -> None:
        if isinstance(head, RefusedHead):
            self._send_status(stream_id, False, head.fault, head.http_status)
            return
        method = head.method
        if self._door.draining and not method.serves_while_draining:
            self._send_status(stream_id, False, RpcFault(Status.UNAVAILABLE, STOPPING_TEXT))
            return
        call = Call(self, stream_id, head, now, self._limits.window_bytes)
        self._calls[stream_id] = call
        if isinstance(method, Streaming):
            call.start_streaming()
        if ended:
            call.receive((), 0, True)

    def _send_status(self, stream_id: int, begun: bool, fault: RpcFault | None, http_status: bytes = b"200") -> None:
        status: Fields = _GOOD if fault is None else ((b"grpc-status", b"%d" % fault.status),)
        passing: Fields = ()
        if fault is not None:
            text = percent_encode(short_text(str(fault)))
            passing = ((b"grpc-message", text), *encode_metadata(fault.trailing_metadata))
        if begun:
            self._http2.send_trailers(stream_id, status, passing)
        else:
            fields = ((b":status", http_status), *_BEGIN[1:], *status)
            self._http2.send_headers(stream_id, fields, passing, end=True)
        self._count(0)

    def _abandon_calls(self) -> None:
        calls = list(self._calls.values())
        self._calls.clear()
        for call in calls:
            call.abandon()
        self._note_calls()

    def _note_calls(self) -> None:
        if self.without_calls is not None and not self._calls and not self.without_calls.done():
            self.without_calls.set_result(None)

    def _linger(self) -> None:
        """Closes when the peer has, or soon: what it has still sent would else destroy our last words."""
        if self._said_last is not None or self._transport.is_closing():
            return
        self._said_last = self.loop.time()
        if self._transport.can_write_eof():
            with contextlib.suppress(OSError):  # the peer is gone already
                self._transport.write_eof()
        self.loop.call_later(LINGER_SECONDS, self._transport.close)
