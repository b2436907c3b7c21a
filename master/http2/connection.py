"""The server's side of one HTTP/2 connection (RFC 9113) as a state machine: bytes in, events out, bytes to send.

It neither waits nor asks for the time. A peer's mistake ends its stream or the connection with the error code that the
RFC names, and never raises.
"""

from collections.abc import Callable
from typing import Any, Final

from mindspore_serving.master.http2 import frames
from mindspore_serving.master.http2.bodies import Bodies
from mindspore_serving.master.http2.control import Control
from mindspore_serving.master.http2.errors import ConnectionFault, ErrorCode, StreamFault
from mindspore_serving.master.http2.events import (
    ConnectionEnded,
    Event,
    ForeignProtocol,
    RequestReceived,
    StreamEnded,
)
from mindspore_serving.master.http2.frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEAD_BYTES,
    KINDS,
    PADDED,
    Head,
    Piece,
    unpack_head,
)
from mindspore_serving.master.http2.header_blocks import Block, BlockReader
from mindspore_serving.master.http2.headers import Fields, HeaderReader
from mindspore_serving.master.http2.limits import Limits, Patience
from mindspore_serving.master.http2.openings import Openings
from mindspore_serving.master.http2.outbox import Outbox
from mindspore_serving.master.http2.phases import Phase, check_frame
from mindspore_serving.master.http2.responses import Responses
from mindspore_serving.master.http2.runs import Begun, read_run
from mindspore_serving.master.http2.streams import Stream, Streams

# Looked at for each frame: on Python 3.11 an Enum's attribute costs as much as to read a frame's head.
_FRAMES: Final = Phase.FRAMES
_WHOLE_REQUEST: Final = END_HEADERS | END_STREAM


class Connection:
    """`interpret` makes of a request's fields what RequestReceived.head is; its results are kept for repetitions.

    What is sent on streams, and what windows are granted, is told to the methods of Responses, which are here too.
    openings: of all connections with the same `interpret` and limits.
    """

    def __init__(
        self, interpret: Callable[[Fields], Any], limits: Limits, now: float, openings: Openings | None = None
    ) -> None:
        openings = openings or Openings()
        self._limits = limits
        self._patience = Patience(limits, now)
        self._headers = HeaderReader(interpret, limits, openings.reading)
        self._blocks = BlockReader(limits)
        self._out = Outbox(self._patience, openings.writing)
        self._streams = Streams(now, limits.window_bytes)
        self._control = control = Control(limits, self._patience, self._streams, self._out)
        self._responses = responses = Responses(self._patience, self._streams, self._out)
        self._last_served = frames.LARGEST_STREAM_ID
        self._bodies = Bodies(limits, self._patience, self._streams, self._out)
        self._phase = Phase.PREFACE
        self._partial = b""  # of a frame
        self._begun: Begun | None = None  # a frame of DATA, whose content is handed out as it comes
        self._events: list[Event] = []
        self.send_response = responses.send_response
        self.send_headers = responses.send_headers
        self.send_body = responses.send_body
        self.send_trailers = responses.send_trailers
        self.grant = responses.grant
        self.unsent = responses.unsent
        self.data_to_send = responses.data_to_send
        self._handlers: tuple[Callable[[int, int, bytes], None], ...] = (
            self._data,
            self._headers_frame,
            control.priority,
            self._reset,
            self._settings,
            control.push_promise,
            control.ping,
            control.goaway,
            control.window_update,
            self._continuation,
        )

    def close(self) -> None:
        """Nothing comes in any more. Without this, a connection would be there until Python looks for garbage."""
        self._handlers = ()

    # What comes in.

    def receive(self, data: Piece, now: float) -> list[Event]:
        """What these bytes of the peer's, which may begin and end anywhere, mean.

        A memoryview has to be unchanged until the events have been dealt with.
        """
        self._streams.now = now
        events: list[Event] = []
        self._events = events
        buffer = self._partial + data if self._partial else data
        try:
            if self._phase is not _FRAMES:
                at = self._read_first(bytes(buffer))
            else:
                at = 0 if self._begun is None or not data else self._read_run(buffer, 0, self._begun, False)
                at = self._read_frames(buffer, at)
        except ConnectionFault as fault:
            self._fail(fault)
        else:
            self._partial = bytes(buffer[at:])
        return events

    def _read_first(self, buffer: bytes) -> int:
        """Handles what comes when not just any frame may. Returns where what is left begins. Raises ConnectionFault."""
        at = self._skip_preface(buffer) if self._phase is Phase.PREFACE else 0
        if self._phase is Phase.NOTHING:
            return len(buffer)
        return at if self._phase is Phase.PREFACE else self._read_frames(buffer, at)

    def _read_frames(self, buffer: Piece, at: int) -> int:
        """Handles the whole frames from here on. Returns where the next begins. Raises ConnectionFault."""
        end = len(buffer)
        largest = self._limits.max_frame_bytes
        handlers = self._handlers
        while end - at >= HEAD_BYTES:
            head: Head = unpack_head(buffer, at)
            high, low, kind, flags, stream_id = head
            start = at + HEAD_BYTES
            after = start + (high << 8 | low)
            if after - start > largest:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"a frame of more than {largest} bytes")
            if self._phase is not _FRAMES:
                check_frame(self._phase, kind, flags)
            stream_id &= frames.LARGEST_STREAM_ID
            if kind == DATA and start < min(after, end) and (flags == 0 or (flags == END_STREAM and after > end)):
                at = self._read_run(buffer, start, Begun(stream_id, flags, after - start), True)
                continue
            if after > end:
                break
            try:
                if kind < KINDS:
                    handlers[kind](stream_id, flags, bytes(buffer[start:after]))
                else:
                    self._patience.spend("unknown", self._streams.now)  # §4.1: ignored
            except StreamFault as fault:
                self._fail_stream(stream_id, fault)
            at = after
        return at

    def _read_run(self, buffer: Piece, at: int, frame: Begun, is_new: bool) -> int:
        """Handles frames of one body. Returns where the next frame begins. Raises ConnectionFault."""
        run = read_run(buffer, at, frame, self._limits.max_frame_bytes)
        self._begun = run.begun
        try:
            event = self._bodies.take(frame.stream_id, run.pieces, run.size, run.ended, run.heads + is_new)
            if event is not None:
                self._events.append(event)
        except StreamFault as fault:
            self._fail_stream(frame.stream_id, fault)
        return run.after

    def _skip_preface(self, buffer: bytes) -> int:
        have = buffer[: len(frames.PREFACE)]
        if not frames.PREFACE.startswith(have):
            self._phase = Phase.NOTHING
            self._events.append(ForeignProtocol(have))
        elif len(have) == len(frames.PREFACE):
            self._phase = Phase.FIRST_SETTINGS
            self._control.introduce()
            return len(have)
        return 0

    def _data(self, stream_id: int, flags: int, payload: bytes) -> None:
        """§6.1: a frame that is looked at singly."""
        content = frames.unpad(payload) if flags & PADDED else payload
        size = len(content)
        event = self._bodies.take(stream_id, (content,), size, bool(flags & END_STREAM), 1, len(payload) - size)
        if event is not None:
            self._events.append(event)

    def _headers_frame(self, stream_id: int, flags: int, payload: bytes) -> None:
        """§6.2."""
        streams = self._streams
        if flags | END_STREAM == _WHOLE_REQUEST and stream_id > streams.newest and stream_id & 1:
            request = self._headers.recall(payload)
            if request is not None:
                streams.newest = stream_id
                self._open(stream_id, request.head, request.content_length, bool(flags & END_STREAM))
                return
        block = self._blocks.begin(stream_id, flags, payload, self._streams.now)
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
                self._events.append(self._bodies.go_on(stream, (), 0, True))
        else:
            self._headers.skip(content)
            self._streams.check_late(stream_id, "HEADERS")
            self._patience.spend("late", self._streams.now)
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

    def _reset(self, stream_id: int, _: int, payload: bytes) -> None:
        """§6.4."""
        frames.read_number(payload, "RST_STREAM")
        self._streams.check_not_idle(stream_id, "RST_STREAM")
        if stream_id in self._streams.open:
            self._patience.spend("RST_STREAM", self._streams.now)
            self._responses.forget(stream_id, False)
            self._events.append(StreamEnded(stream_id))

    def _settings(self, stream_id: int, flags: int, payload: bytes) -> None:
        """§6.5."""
        self._control.settings(stream_id, flags, payload)
        if self._phase is Phase.FIRST_SETTINGS:
            self._phase = Phase.FRAMES

    # What goes out, besides what `responses` sends.

    def hold(self, held: bool) -> None:
        """While held, bodies wait here: the transport has enough."""
        self._out.held = held

    @property
    def has_data_to_send(self) -> bool:
        """Whether it makes sense to ask for data_to_send()."""
        return self._out.has_data

    @property
    def is_idle(self) -> bool:
        """Whether no stream is open."""
        return not self._streams.open

    @property
    def idle_since(self) -> float:
        """When the last stream ended; makes sense while the connection is idle."""
        return self._streams.idle_since

    def announce_end(self) -> None:
        """Asks the peer to open its next streams elsewhere; those on their way are served (§6.8)."""
        self._control.announce_end()

    @property
    def peer_knows_end(self) -> bool:
        """Whether nothing is on its way any more that the peer has sent before it read announce_end()."""
        return self._control.peer_knows_end or self._phase is Phase.NOTHING

    def end(self, text: str) -> None:
        """No stream is served any more beyond those that were."""
        if self._phase is not Phase.NOTHING:
            self._last_served = self._streams.newest
            self._out.put(frames.goaway_frame(self._last_served, ErrorCode.NO_ERROR, text))

    def tick(self, now: float) -> list[Event]:
        """To be called every second or so: what took too long ends."""
        self._streams.now = now
        events: list[Event] = []
        self._events = events
        limits = self._limits
        try:
            if (
                self._phase in (Phase.PREFACE, Phase.FIRST_SETTINGS)
                and now - self._streams.idle_since > limits.preface_seconds
            ):
                raise ConnectionFault(ErrorCode.SETTINGS_TIMEOUT, "no HTTP/2 preface and settings in time")
            if self._blocks.is_overdue(now):
                raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "a header block that was not complete in time")
            if self.is_idle and now - self._streams.idle_since > limits.idle_seconds:
                raise ConnectionFault(ErrorCode.NO_ERROR, "idle")
        except ConnectionFault as fault:
            self._fail(fault)
            return events
        for stream in list(self._streams.open.values()):
            if stream.pace is not None and stream.pace.is_too_slow(limits, now):
                self._end_stream(stream.id, ErrorCode.CANCEL)
        return events

    def _fail_stream(self, stream_id: int, fault: StreamFault) -> None:
        self._patience.spend("faulty", self._streams.now)
        self._end_stream(stream_id, fault.code)

    def _end_stream(self, stream_id: int, code: ErrorCode) -> None:
        """A stream's fault: of an open one, or of one that would have been."""
        self._out.put(frames.reset_frame(stream_id, code))
        if stream_id in self._streams.open:
            self._events.append(StreamEnded(stream_id))
        self._responses.forget(stream_id, True)

    def _fail(self, fault: ConnectionFault) -> None:
        self._phase = Phase.NOTHING
        self._partial = b""
        self._out.put(frames.goaway_frame(self._streams.newest, fault.code, str(fault)))
        self._events.append(ConnectionEnded(fault.code, str(fault)))
