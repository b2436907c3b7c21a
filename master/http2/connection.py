"""The server's side of one HTTP/2 connection (RFC 9113) as a state machine: bytes in, events out, bytes to send.

It neither waits nor asks for the time. A peer's mistake ends its stream or the connection with the error code that the
RFC names, and never raises.
"""

from collections.abc import Callable
from enum import Enum, auto
from typing import Any

from mindspore_serving.master.http2 import frames
from mindspore_serving.master.http2.errors import ConnectionFault, ErrorCode, StreamFault
from mindspore_serving.master.http2.events import (
    ConnectionEnded,
    DataReceived,
    Event,
    ForeignProtocol,
    RequestReceived,
    StreamEnded,
)
from mindspore_serving.master.http2.frames import ACK, END_STREAM, PADDED, Kind, Setting
from mindspore_serving.master.http2.header_blocks import Block, BlockReader, self_dependency
from mindspore_serving.master.http2.headers import Field, Fields, HeaderReader
from mindspore_serving.master.http2.limits import Limits, Patience
from mindspore_serving.master.http2.outbox import Outbox
from mindspore_serving.master.http2.streams import Stream, Streams

LARGEST_FRAME_SENT = 64 << 10  # where the peer would take a larger one: streams take turns


class Phase(Enum):
    """What has to come next."""

    PREFACE = auto()
    FIRST_SETTINGS = auto()
    FRAMES = auto()
    CONTINUATION = auto()
    NOTHING = auto()


class Connection:
    """`interpret` makes of a request's fields what RequestReceived.head is; its results are kept for repetitions."""

    def __init__(self, interpret: Callable[[Fields], Any], limits: Limits, now: float) -> None:
        self._limits = limits
        self._patience = Patience(limits, now)
        self._headers = HeaderReader(interpret, limits)
        self._blocks = BlockReader(limits)
        self._out = Outbox(self._patience)
        self._streams = Streams()
        self._last_served = frames.LARGEST_STREAM_ID
        self._credit = limits.connection_window_bytes
        self._phase = Phase.PREFACE
        self._partial = b""
        self._events: list[Event] = []
        self._now = now
        self._idle_since = now
        self._handlers: tuple[Callable[[int, int, bytes], None], ...] = (
            self._data,
            self._headers_frame,
            self._priority,
            self._reset,
            self._settings,
            self._push_promise,
            self._ping,
            self._goaway,
            self._window_update,
            self._continuation,
        )

    # What comes in.

    def receive(self, data: bytes, now: float) -> list[Event]:
        """What these bytes of the peer's, which may begin and end anywhere, mean."""
        self._now = now
        events: list[Event] = []
        self._events = events
        if self._phase is Phase.NOTHING:
            return events
        buffer = self._partial + data if self._partial else data
        at = 0
        try:
            if self._phase is Phase.PREFACE:
                at = self._skip_preface(buffer)
            if at or self._phase not in (Phase.PREFACE, Phase.NOTHING):
                at = self._read_frames(buffer, at)
        except ConnectionFault as fault:
            self._fail(fault)
        else:
            self._partial = buffer[at:]
        return events

    def _read_frames(self, buffer: bytes, at: int) -> int:
        """Handles the whole frames from here on. Returns where the next begins. Raises ConnectionFault."""
        end = len(buffer)
        largest = self._limits.max_frame_bytes
        handlers = self._handlers
        while end - at >= 9:
            high, low, kind, flags, stream_id = frames.unpack_head(buffer, at)
            start = at + 9
            after = start + (high << 8 | low)
            if after - start > largest:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"a frame of more than {largest} bytes")
            if self._phase is not Phase.FRAMES:
                self._check_phase(kind, flags)
            if after > end:
                break
            stream_id &= frames.LARGEST_STREAM_ID
            try:
                if kind <= Kind.CONTINUATION:
                    handlers[kind](stream_id, flags, buffer[start:after])
                else:
                    self._patience.spend("unknown", self._now)  # §4.1: ignored
            except StreamFault as fault:
                self._patience.spend("faulty", self._now)
                self._end_stream(stream_id, fault.code)
            at = after
        return at

    def _skip_preface(self, buffer: bytes) -> int:
        have = buffer[: len(frames.PREFACE)]
        if not frames.PREFACE.startswith(have):
            self._phase = Phase.NOTHING
            self._events.append(ForeignProtocol(have))
        elif len(have) == len(frames.PREFACE):
            self._phase = Phase.FIRST_SETTINGS
            self._introduce()
            return len(have)
        return 0

    def _introduce(self) -> None:
        """§3.4. Not before the peer's preface: another protocol's client would not understand it."""
        limits = self._limits
        self._out.put(
            frames.settings_frame(
                {
                    Setting.MAX_CONCURRENT_STREAMS: limits.max_streams,
                    Setting.INITIAL_WINDOW_SIZE: limits.window_bytes,
                    Setting.MAX_FRAME_SIZE: limits.max_frame_bytes,
                    Setting.MAX_HEADER_LIST_SIZE: limits.advertised_header_bytes,
                }
            )
            + frames.window_frame(0, limits.connection_window_bytes - frames.DEFAULT_WINDOW)
        )

    def _check_phase(self, kind: int, flags: int) -> None:
        if self._phase is Phase.FIRST_SETTINGS and (kind != Kind.SETTINGS or flags & ACK):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "the first frame is not SETTINGS")
        if self._phase is Phase.CONTINUATION and kind != Kind.CONTINUATION:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a frame inside a header block")

    def _data(self, stream_id: int, flags: int, payload: bytes) -> None:
        """§6.1."""
        size = len(payload)
        self._credit -= size
        if self._credit < 0:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "more bytes than the connection's window has")
        if self._credit < self._limits.connection_window_bytes // 2:
            self._out.put(frames.window_frame(0, self._limits.connection_window_bytes - self._credit))
            self._credit = self._limits.connection_window_bytes
        stream = self._streams.open.get(stream_id)
        if stream is None or not stream.they_may_send:
            self._streams.check_late(stream_id, "DATA")
            self._patience.spend("late", self._now)
            return
        stream.credit -= size
        if stream.credit < 0:
            raise StreamFault(ErrorCode.FLOW_CONTROL_ERROR, "more bytes than the stream's window has")
        if flags & PADDED:
            payload = frames.unpad(payload)
            self.grant(stream_id, size - len(payload))
        ended = bool(flags & END_STREAM)
        if not payload and not ended:
            self._patience.spend("empty DATA", self._now)
        self._take_body(stream, payload, ended)

    def _headers_frame(self, stream_id: int, flags: int, payload: bytes) -> None:
        """§6.2."""
        block = self._blocks.begin(stream_id, flags, payload, self._now)
        if block is None:
            self._phase = Phase.CONTINUATION
        else:
            self._take_block(block)

    def _continuation(self, stream_id: int, flags: int, payload: bytes) -> None:
        """§6.10."""
        block = self._blocks.go_on(stream_id, flags, payload)
        if block is not None:
            self._phase = Phase.FRAMES
            self._take_block(block)

    def _take_block(self, block: Block) -> None:
        """A request's fields, or those after its body."""
        stream_id, content, ended, fault = block
        stream = self._streams.open.get(stream_id)
        if stream_id > self._streams.newest:
            self._streams.newest = stream_id
            request = self._headers.read_request(content)
            if fault is None:
                self._open(stream_id, request.head, request.content_length, ended)
        elif stream is not None and stream.they_may_send:
            self._headers.read_trailers(content)
            if not ended:
                raise StreamFault(ErrorCode.PROTOCOL_ERROR, "fields in the middle of a body")
            if fault is None:
                self._take_body(stream, b"", True)
        else:
            self._headers.skip(content)
            self._streams.check_late(stream_id, "HEADERS")
            self._patience.spend("late", self._now)
        if fault is not None:
            raise fault

    def _open(self, stream_id: int, head: Any, content_length: int | None, ended: bool) -> None:
        streams = self._streams.open
        too_many = len(streams) >= self._limits.max_streams or self._out.unsent > self._limits.max_unsent_bytes
        if too_many or stream_id > self._last_served:
            raise StreamFault(ErrorCode.REFUSED_STREAM, "too many streams")
        if ended and content_length:
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, "a content-length without content")
        window, credit = self._out.initial_window, self._limits.window_bytes
        streams[stream_id] = Stream(stream_id, window, credit, content_length, not ended)
        self._events.append(RequestReceived(stream_id, head, ended))

    def _take_body(self, stream: Stream, data: bytes, ended: bool) -> None:
        if stream.body_left is not None:
            stream.body_left -= len(data)
            if stream.body_left < 0 or (ended and stream.body_left):
                raise StreamFault(ErrorCode.PROTOCOL_ERROR, "a body that is not as long as its content-length")
        if ended:
            stream.they_may_send = False
        self._events.append(DataReceived(stream.id, data, ended))

    def _priority(self, stream_id: int, _: int, payload: bytes) -> None:
        """§6.3. Priorities are not kept: no tree to attack."""
        if stream_id == 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PRIORITY on stream 0")
        self._patience.spend("PRIORITY", self._now)
        if len(payload) != 5:
            fault: StreamFault | None = StreamFault(ErrorCode.FRAME_SIZE_ERROR, "PRIORITY not of 5 bytes")
        else:
            fault = self_dependency(stream_id, payload)
        if fault is not None:
            if stream_id > self._streams.newest:
                raise ConnectionFault(fault.code, str(fault))  # no RST_STREAM on an idle stream: §6.4
            raise fault

    def _reset(self, stream_id: int, _: int, payload: bytes) -> None:
        """§6.4."""
        frames.read_number(payload, Kind.RST_STREAM)
        self._streams.check_not_idle(stream_id, "RST_STREAM")
        if stream_id in self._streams.open:
            self._patience.spend("RST_STREAM", self._now)
            self._forget(stream_id, False)
            self._events.append(StreamEnded(stream_id))

    def _settings(self, stream_id: int, flags: int, payload: bytes) -> None:
        """§6.5."""
        if stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "SETTINGS on a stream")
        self._patience.spend("SETTINGS", self._now)
        if flags & ACK:
            if payload:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS with ACK and content")
            return
        for name, value in frames.read_settings(payload):
            self._set(name, value)
        if self._phase is Phase.FIRST_SETTINGS:
            self._phase = Phase.FRAMES
        self._out.put(frames.pack(Kind.SETTINGS, ACK, 0))

    def _set(self, name: int, value: int) -> None:
        if name == Setting.INITIAL_WINDOW_SIZE:
            if value > frames.LARGEST_WINDOW:
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE too large")
            change = value - self._out.initial_window
            self._out.initial_window = value
            for stream in self._streams.open.values():  # §6.9.2
                self._widen(stream, change, ConnectionFault)
        elif name == Setting.MAX_FRAME_SIZE:
            if not frames.DEFAULT_MAX_FRAME <= value <= frames.LARGEST_MAX_FRAME:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "MAX_FRAME_SIZE out of range")
            self._out.max_frame = min(value, LARGEST_FRAME_SENT)
        elif name == Setting.HEADER_TABLE_SIZE:
            self._out.headers.set_table_size(value)
        elif name == Setting.ENABLE_PUSH and value > 1:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "ENABLE_PUSH is neither 0 nor 1")

    def _widen(self, stream: Stream, increment: int, fault: type[ConnectionFault] | type[StreamFault]) -> None:
        stream.window += increment
        if stream.window > frames.LARGEST_WINDOW:
            raise fault(ErrorCode.FLOW_CONTROL_ERROR, "a stream's window too large")
        self._out.resume(stream)

    def _push_promise(self, _: int, __: int, ___: bytes) -> None:
        """§8.4."""
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PUSH_PROMISE of a client")

    def _ping(self, stream_id: int, flags: int, payload: bytes) -> None:
        """§6.7."""
        if stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PING on a stream")
        if len(payload) != 8:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "PING not of 8 bytes")
        self._patience.spend("PING", self._now)
        if not flags & ACK:
            self._out.put(frames.pack(Kind.PING, ACK, 0, payload))

    def _goaway(self, stream_id: int, _: int, payload: bytes) -> None:
        """§6.8. The peer will close when its streams have ended."""
        if stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "GOAWAY on a stream")
        if len(payload) < 8:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "GOAWAY of less than 8 bytes")
        self._patience.spend("GOAWAY", self._now)

    def _window_update(self, stream_id: int, _: int, payload: bytes) -> None:
        """§6.9."""
        increment = frames.read_number(payload, Kind.WINDOW_UPDATE) & frames.LARGEST_WINDOW
        if stream_id == 0:
            self._out.window += increment
            if increment == 0:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE by 0")
            if self._out.window > frames.LARGEST_WINDOW:
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "the connection's window too large")
            return
        self._streams.check_not_idle(stream_id, "WINDOW_UPDATE")
        stream = self._streams.open.get(stream_id)
        if stream is not None:
            if increment == 0:
                raise StreamFault(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE by 0")
            self._widen(stream, increment, StreamFault)

    # What goes out. On a stream that is gone, nothing does.

    def send_headers(self, stream_id: int, fields: Fields, passing: tuple[Field, ...] = (), end: bool = False) -> None:
        """The fields of the response; `passing` ones are not expected to recur. `end`: nothing follows."""
        stream = self._streams.open.get(stream_id)
        if stream is not None and stream.we_may_send:
            self._out.put_headers(stream, fields, passing, end)
            if end:
                stream.we_may_send = False
                self._through(stream)

    def send_body(self, stream_id: int, prefix: bytes, body: bytes) -> None:
        """Two pieces of the response's body, in one frame where they fit. They wait for the peer's windows."""
        stream = self._streams.open.get(stream_id)
        if stream is not None and stream.we_may_send:
            self._out.put_body(stream, prefix, body, self._now)

    def send_trailers(self, stream_id: int, fields: Fields, passing: tuple[Field, ...] = ()) -> None:
        """The fields after the body, which end the response."""
        stream = self._streams.open.get(stream_id)
        if stream is not None and stream.we_may_send:
            stream.we_may_send = False
            if self._out.put_trailers(stream, fields, passing):
                self._through(stream)

    def reset(self, stream_id: int, code: ErrorCode) -> None:
        """Ends a stream at once."""
        if stream_id in self._streams.open:
            self._out.put(frames.reset_frame(stream_id, code))
            self._forget(stream_id, True)

    def grant(self, stream_id: int, count: int) -> None:
        """Lets the peer send so many bytes more of the request's body."""
        stream = self._streams.open.get(stream_id)
        if stream is not None and stream.they_may_send and count > 0:
            stream.credit += count
            self._out.put(frames.window_frame(stream_id, count))

    def hold(self, held: bool) -> None:
        """While held, bodies wait here: the transport has enough."""
        self._out.held = held

    def unsent(self, stream_id: int) -> int:
        """The bytes of a response's body that still wait."""
        stream = self._streams.open.get(stream_id)
        return 0 if stream is None else stream.unsent

    def data_to_send(self) -> bytes:
        """What may leave now; more may follow when that has left, see has_more."""
        data, ended = self._out.take()
        for stream in ended:
            self._through(stream)
        return data

    @property
    def has_more(self) -> bool:
        """Whether data_to_send() has something."""
        return self._out.has_more

    @property
    def is_idle(self) -> bool:
        """Whether no stream is open."""
        return not self._streams.open

    @property
    def idle_since(self) -> float:
        """When the last stream ended; makes sense while the connection is idle."""
        return self._idle_since

    def announce_end(self) -> None:
        """Asks the peer to open its next streams elsewhere; those on their way are served (§6.8)."""
        self._out.put(frames.goaway_frame(frames.LARGEST_STREAM_ID, ErrorCode.NO_ERROR))

    def end(self, text: str) -> None:
        """No stream is served any more beyond those that were."""
        if self._phase is not Phase.NOTHING:
            self._last_served = self._streams.newest
            self._out.put(frames.goaway_frame(self._last_served, ErrorCode.NO_ERROR, text))

    def tick(self, now: float) -> list[Event]:
        """To be called every second or so: what took too long ends."""
        self._now = now
        events: list[Event] = []
        self._events = events
        limits = self._limits
        try:
            if self._phase in (Phase.PREFACE, Phase.FIRST_SETTINGS) and now - self._idle_since > limits.preface_seconds:
                raise ConnectionFault(ErrorCode.SETTINGS_TIMEOUT, "no HTTP/2 preface and settings in time")
            if self._blocks.is_overdue(now):
                raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "a header block that was not complete in time")
            if self.is_idle and now - self._idle_since > limits.idle_seconds:
                raise ConnectionFault(ErrorCode.NO_ERROR, "idle")
        except ConnectionFault as fault:
            self._fail(fault)
            return events
        for stream in list(self._streams.open.values()):
            if stream.pace is not None and stream.pace.is_too_slow(limits, now):
                self._end_stream(stream.id, ErrorCode.CANCEL)
        return events

    def _through(self, stream: Stream) -> None:
        """The response is complete. A peer that still sends its request need not go on (§8.1)."""
        self._patience.earn()
        if stream.they_may_send:
            self._out.put(frames.reset_frame(stream.id, ErrorCode.NO_ERROR))
        self._forget(stream.id, stream.they_may_send)

    def _end_stream(self, stream_id: int, code: ErrorCode) -> None:
        """A stream's fault: of an open one, or of one that would have been."""
        self._out.put(frames.reset_frame(stream_id, code))
        if stream_id in self._streams.open:
            self._events.append(StreamEnded(stream_id))
        self._forget(stream_id, True)

    def _forget(self, stream_id: int, more_may_come: bool) -> None:
        stream = self._streams.open.get(stream_id)
        if stream is not None and stream.queue is not None:
            self._out.drop(stream)
        self._streams.close(stream_id, more_may_come)
        if not self._streams.open:
            self._idle_since = self._now

    def _fail(self, fault: ConnectionFault) -> None:
        self._phase = Phase.NOTHING
        self._partial = b""
        self._out.put(frames.goaway_frame(self._streams.newest, fault.code, str(fault)))
        self._events.append(ConnectionEnded(fault.code, str(fault)))
