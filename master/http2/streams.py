"""The streams of a connection (RFC 9113 §5.1): who may still send, how much, and what waits to be sent."""

from collections import deque

from mindspore_serving.master.http2.errors import ConnectionFault, ErrorCode
from mindspore_serving.master.http2.headers import Field, Fields
from mindspore_serving.master.http2.limits import Pace

REMEMBERED_STREAMS = 1000  # closed ones of each kind, to tell late frames from wrong ones


class Stream:
    """Open, or half closed on one side."""

    __slots__ = (
        "body_left",
        "credit",
        "id",
        "pace",
        "queue",
        "they_may_send",
        "trailers",
        "unsent",
        "we_may_send",
        "window",
    )

    def __init__(self, stream_id: int, window: int, credit: int, body_left: int | None, they_may_send: bool) -> None:
        self.id = stream_id
        self.window = window  # bytes that the peer lets us send; settings can make it negative
        self.credit = credit  # bytes that we let the peer send
        self.body_left = body_left  # what its content-length promises still to come
        self.they_may_send = they_may_send
        self.we_may_send = True
        self.queue: deque[memoryview] | None = None  # what waits for a window
        self.unsent = 0  # its bytes
        self.trailers: tuple[Fields, tuple[Field, ...]] | None = None  # that follow it
        self.pace: Pace | None = None  # at which it is fetched


class Streams:
    """The open ones, and enough of the closed ones."""

    def __init__(self, now: float, window: int) -> None:
        self._window = window  # of a new one
        self.now = now  # when the peer or the clock was heard last
        self.idle_since = now  # makes sense while none is open
        self.open: dict[int, Stream] = {}
        self.newest = 0  # of the peer's; ours there are none
        self._closed: deque[int] = deque(maxlen=REMEMBERED_STREAMS)
        self._cut: dict[int, int] = {}  # those of which frames may be on their way, so many bytes

    def close(self, stream_id: int, more_may_come: bool) -> None:
        """Both sides are through with it; the peer may not know yet."""
        stream = self.open.pop(stream_id, None)
        if more_may_come:
            self._cut[stream_id] = self._window if stream is None else stream.credit
            if len(self._cut) > REMEMBERED_STREAMS:
                del self._cut[next(iter(self._cut))]
        else:
            self._closed.append(stream_id)
        if not self.open:
            self.idle_since = self.now

    def was_granted(self, stream_id: int, size: int) -> bool:
        """Whether the peer may have sent so many bytes, not none, before it knew that we have ended the stream."""
        credit = self._cut.get(stream_id, 0) - size
        if credit < 0 or not size:
            return False
        self._cut[stream_id] = credit
        return True

    def check_not_idle(self, stream_id: int, what: str) -> None:
        """Raises ConnectionFault if the peer has not opened it yet (§5.1, "idle"), or cannot."""
        if stream_id > self.newest or not stream_id & 1:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"{what} on stream {stream_id}, which is not open")

    def check_late(self, stream_id: int, what: str) -> None:
        """A frame after the peer's end of a stream: raises ConnectionFault, unless it was on its way when we ended it.

        §5.1 makes it the stream's error where only one side is closed; §5.4 lets it be the connection's.
        """
        self.check_not_idle(stream_id, what)
        if stream_id in self._cut:
            return
        if stream_id in self.open or stream_id in self._closed:
            raise ConnectionFault(ErrorCode.STREAM_CLOSED, f"{what} on stream {stream_id} after its end")
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"{what} on stream {stream_id}, long closed or skipped")
