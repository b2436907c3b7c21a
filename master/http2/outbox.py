"""Frames on their way out: at once where the peer's windows have room, in turns where streams wait (RFC 9113 §5.2)."""

from collections import deque

from mindspore_serving.master.http2.frames import (
    DEFAULT_MAX_FRAME,
    DEFAULT_WINDOW,
    END_HEADERS,
    END_STREAM,
    Kind,
    pack,
    pack_head,
)
from mindspore_serving.master.http2.headers import Field, Fields, HeaderWriter
from mindspore_serving.master.http2.limits import Pace, Patience
from mindspore_serving.master.http2.openings import Opening
from mindspore_serving.master.http2.streams import Stream
from mindspore_serving.master.http2.template import Template

TURN_BYTES = 256 << 10  # of queued bodies, taken at once


class Outbox:
    """What leaves a connection. Header blocks are made in the order in which they leave: their table depends on it."""

    def __init__(self, patience: Patience, opening: Opening) -> None:
        self.headers = HeaderWriter(opening)
        self.window = DEFAULT_WINDOW  # bytes of bodies that the peer lets the connection send
        self.initial_window = DEFAULT_WINDOW  # and a new stream
        self.max_frame = DEFAULT_MAX_FRAME
        self.held = False  # the transport is full: bodies wait
        self.unsent = 0  # bytes of bodies that wait
        self._patience = patience
        self._ready: list[bytes | memoryview] = []
        self._template: Template | None = None
        self._turns: dict[int, Stream] = {}  # streams with a queue and a window; the first is next

    def put(self, frame: bytes) -> None:
        """A frame that waits for nothing."""
        self._ready.append(frame)

    def put_headers(self, stream: Stream, fields: Fields, passing: tuple[Field, ...], end: bool) -> None:
        """The fields before a body, or instead of one."""
        self._put_block(stream.id, self.headers.write(fields, passing), end)

    def put_body(self, stream: Stream, prefix: bytes, body: bytes, now: float) -> None:
        """Two pieces of a body, of which the second may be large."""
        size = len(prefix) + len(body)
        room = min(stream.window, self.window, self.max_frame)
        if size <= room and stream.queue is None and not self.held and not self._turns:
            stream.window -= size
            self.window -= size
            self._ready += (pack_head(size, Kind.DATA, 0, stream.id), prefix, body)
            self._patience.earn()
            return
        if stream.queue is None:
            stream.queue = deque()
            stream.pace = Pace(now)
        stream.queue += [memoryview(piece) for piece in (prefix, body) if piece]  # nothing would wait for a window, too
        stream.unsent += size
        self.unsent += size
        self.resume(stream)

    def put_response(self, stream: Stream, fields: Fields, prefix: bytes, body: bytes, trailers: Fields) -> bool:
        """All of a response, if nothing has to wait and its header blocks are known. Returns whether it has left."""
        template = self._template
        if (
            template is None
            or template.fields is not fields
            or template.trailers is not trailers
            or template.edition != self.headers.edition
        ):
            first, last = self.headers.recall(fields), self.headers.recall(trailers)
            if first is None or last is None or len(first) + len(last) > DEFAULT_MAX_FRAME:
                return False
            template = self._template = Template(fields, trailers, self.headers.edition, first, last)
        size = len(prefix) + len(body)
        if size > stream.window or size > self.window or size > self.max_frame or self.held or self._turns:
            return False
        self.window -= size
        stream_id = stream.id
        self._ready += (template.before(stream_id, size), prefix, body, template.after(stream_id))
        return True

    def put_trailers(self, stream: Stream, fields: Fields, passing: tuple[Field, ...]) -> bool:
        """The fields after a body. Returns whether they have left, or wait for it."""
        if stream.queue is not None:
            stream.trailers = (fields, passing)
            return False
        self._put_block(stream.id, self.headers.write(fields, passing), True)
        return True

    def resume(self, stream: Stream) -> None:
        """The stream's window may have grown."""
        if stream.queue is not None and stream.window > 0:
            self._turns[stream.id] = stream

    def drop(self, stream: Stream) -> None:
        """What the stream still had to send is not wanted any more."""
        self._turns.pop(stream.id, None)
        self.unsent -= stream.unsent
        stream.queue, stream.unsent, stream.trailers = None, 0, None

    @property
    def has_data(self) -> bool:
        """Whether something may leave now."""
        return bool(self._ready) or (bool(self._turns) and not self.held and self.window > 0)

    def take(self) -> tuple[bytes, list[Stream]]:
        """The bytes that may leave now, and the streams whose trailers are among them after they had to wait."""
        ended: list[Stream] = []
        if self._turns and not self.held:
            self._take_turns(ended)
        ready = self._ready
        if not ready:
            return b"", ended
        taken = b"".join(ready)
        ready.clear()
        return taken, ended

    def _put_block(self, stream_id: int, block: bytes, end: bool) -> None:
        flag = END_STREAM if end else 0
        if len(block) <= self.max_frame:
            self._ready += (pack_head(len(block), Kind.HEADERS, END_HEADERS | flag, stream_id), block)
            return
        parts = [block[at : at + self.max_frame] for at in range(0, len(block), self.max_frame)]
        self._ready.append(pack(Kind.HEADERS, flag, stream_id, parts[0]))
        for part in parts[1:-1]:
            self._ready.append(pack(Kind.CONTINUATION, 0, stream_id, part))
        self._ready.append(pack(Kind.CONTINUATION, END_HEADERS, stream_id, parts[-1]))

    def _take_turns(self, ended: list[Stream]) -> None:
        left = TURN_BYTES
        while self._turns and self.window > 0 and left > 0:
            stream = next(iter(self._turns.values()))
            del self._turns[stream.id]
            if stream.window <= 0:
                continue  # settings have taken it back
            left -= self._put_piece(stream)
            if stream.queue:
                self.resume(stream)  # behind the others
                continue
            stream.queue = stream.pace = None
            if stream.trailers is not None:
                self._put_block(stream.id, self.headers.write(*stream.trailers), True)
                ended.append(stream)

    def _put_piece(self, stream: Stream) -> int:
        """One frame of what the stream has queued. Returns its size."""
        assert stream.queue is not None and stream.pace is not None
        room = min(stream.window, self.window, self.max_frame)
        pieces: list[memoryview] = []
        size = 0
        while stream.queue and size < room:
            piece = stream.queue.popleft()
            if len(piece) > room - size:
                stream.queue.appendleft(piece[room - size :])
                piece = piece[: room - size]
            pieces.append(piece)
            size += len(piece)
        self._ready += (pack_head(size, Kind.DATA, 0, stream.id), *pieces)
        stream.window -= size
        self.window -= size
        stream.unsent -= size
        self.unsent -= size
        stream.pace.move(size)
        self._patience.earn()
        return size
