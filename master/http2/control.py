"""Frames about the connection rather than about a request: SETTINGS, PING, WINDOW_UPDATE, PRIORITY, GOAWAY."""

from mindspore_serving.master.http2 import frames
from mindspore_serving.master.http2.errors import ConnectionFault, ErrorCode, StreamFault
from mindspore_serving.master.http2.frames import ACK, Kind, Setting
from mindspore_serving.master.http2.header_blocks import self_dependency
from mindspore_serving.master.http2.limits import Limits, Patience
from mindspore_serving.master.http2.outbox import Outbox
from mindspore_serving.master.http2.streams import Stream, Streams

WIDENED_A_POINT = 16  # streams whose windows settings can change for a point of patience
LARGEST_FRAME_SENT = 64 << 10  # where the peer would take a larger one: streams take turns
_LAST_PING = b"goodbye!"
_GOODBYE = frames.goaway_frame(frames.LARGEST_STREAM_ID, ErrorCode.NO_ERROR) + frames.pack(Kind.PING, 0, 0, _LAST_PING)


class Control:
    """What the peer says with them holds for the outbox and its streams. All methods raise the faults of errors."""

    def __init__(self, limits: Limits, patience: Patience, streams: Streams, out: Outbox) -> None:
        self._limits = limits
        self._patience = patience
        self._streams = streams
        self._out = out
        self._is_introduced = False
        self._is_leaving = False
        self.peer_knows_end = False  # it has read what announce_end() said

    def introduce(self) -> None:
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
        self._is_introduced = True
        if self._is_leaving:
            self._out.put(_GOODBYE)

    def announce_end(self) -> None:
        """§6.8: asks the peer to open its next streams elsewhere, and by a ping whether it has heard that."""
        self._is_leaving = True
        if self._is_introduced:
            self._out.put(_GOODBYE)

    def priority(self, stream_id: int, _: int, payload: bytes) -> None:
        """§6.3. Priorities are not kept: no tree to attack."""
        if stream_id == 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PRIORITY on stream 0")
        self._patience.spend("PRIORITY", self._streams.now)
        if len(payload) != 5:
            fault: StreamFault | None = StreamFault(ErrorCode.FRAME_SIZE_ERROR, "PRIORITY not of 5 bytes")
        else:
            fault = self_dependency(stream_id, payload)
        if fault is not None:
            if stream_id > self._streams.newest:
                raise ConnectionFault(fault.code, str(fault))  # no RST_STREAM on an idle stream: §6.4
            raise fault

    def settings(self, stream_id: int, flags: int, payload: bytes) -> None:
        """§6.5."""
        if stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "SETTINGS on a stream")
        self._patience.spend("SETTINGS", self._streams.now)
        if flags & ACK:
            if payload:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS with ACK and content")
            return
        for name, value in frames.read_settings(payload):
            self._patience.spend("SETTINGS", self._streams.now)
            self._set(name, value)
        self._out.put(frames.pack(Kind.SETTINGS, ACK, 0))

    def _set(self, name: int, value: int) -> None:
        if name == Setting.INITIAL_WINDOW_SIZE:
            if value > frames.LARGEST_WINDOW:
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE too large")
            change = value - self._out.initial_window
            self._out.initial_window = value
            # One frame can have 2730 such settings, for 1000 streams each.
            self._patience.spend("SETTINGS", self._streams.now, len(self._streams.open) // WIDENED_A_POINT)
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

    def push_promise(self, _: int, __: int, ___: bytes) -> None:
        """§8.4."""
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PUSH_PROMISE of a client")

    def ping(self, stream_id: int, flags: int, payload: bytes) -> None:
        """§6.7."""
        if stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PING on a stream")
        if len(payload) != 8:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "PING not of 8 bytes")
        self._patience.spend("PING", self._streams.now)
        if not flags & ACK:
            self._out.put(frames.pack(Kind.PING, ACK, 0, payload))
        elif payload == _LAST_PING:
            self.peer_knows_end = self._is_leaving

    def goaway(self, stream_id: int, _: int, payload: bytes) -> None:
        """§6.8. The peer will close when its streams have ended."""
        if stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "GOAWAY on a stream")
        if len(payload) < 8:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "GOAWAY of less than 8 bytes")
        self._patience.spend("GOAWAY", self._streams.now)

    def window_update(self, stream_id: int, _: int, payload: bytes) -> None:
        """§6.9."""
        increment = frames.read_number(payload, "WINDOW_UPDATE") & frames.LARGEST_WINDOW
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
