"""What comes of requests' bodies, within the windows that we grant (RFC 9113 §5.2 and §6.1)."""

from collections.abc import Sequence

from mindspore_serving.master.http2 import frames
from mindspore_serving.master.http2.errors import ConnectionFault, ErrorCode, StreamFault
from mindspore_serving.master.http2.events import DataReceived
from mindspore_serving.master.http2.frames import Piece
from mindspore_serving.master.http2.limits import Limits, Patience
from mindspore_serving.master.http2.outbox import Outbox
from mindspore_serving.master.http2.streams import Stream, Streams


class Bodies:
    """The connection's window is ours to renew, a stream's its owner's."""

    def __init__(self, limits: Limits, patience: Patience, streams: Streams, out: Outbox) -> None:
        self._window = limits.connection_window_bytes
        self._credit = limits.connection_window_bytes  # of it
        self._patience = patience
        self._streams = streams
        self._out = out

    def take(
        self, stream_id: int, pieces: Sequence[Piece], size: int, ended: bool, heads: int, padding: int = 0
    ) -> DataReceived | None:
        """The content of DATA frames, of which so many begin here. Raises StreamFault and ConnectionFault."""
        whole = size + padding
        self._credit -= whole
        if self._credit < self._window // 2:
            if self._credit < 0:
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "more bytes than the connection's window has")
            self._out.put(frames.window_frame(0, self._window - self._credit))
            self._credit = self._window
        stream = self._streams.open.get(stream_id)
        if stream is None or not stream.they_may_send:
            was_granted = self._streams.was_granted(stream_id, whole)
            if heads:  # what goes on was in time when it began
                self._streams.check_late(stream_id, "DATA")
                if not was_granted:
                    self._patience.spend("late", self._streams.now, heads)
            return None
        stream.credit -= whole
        if stream.credit < 0:
            raise StreamFault(ErrorCode.FLOW_CONTROL_ERROR, "more bytes than the stream's window has")
        if padding:  # nobody else would grant it again
            stream.credit += padding
            self._out.put(frames.window_frame(stream_id, padding))
        if not size and not ended:
            self._patience.spend("empty DATA", self._streams.now)
        return self.go_on(stream, pieces, size, ended)

    def go_on(self, stream: Stream, pieces: Sequence[Piece], size: int, ended: bool) -> DataReceived:
        """A body comes on, or ends. Raises StreamFault."""
        if stream.body_left is not None:
            stream.body_left -= size
            if stream.body_left < 0 or (ended and stream.body_left):
                raise StreamFault(ErrorCode.PROTOCOL_ERROR, "a body that is not as long as its content-length")
        if ended:
            stream.they_may_send = False
        return DataReceived(stream.id, pieces, size, ended)
