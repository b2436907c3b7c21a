"""DATA frames of one stream that follow each other: a body is cut into many small ones, and they are handled as one.

A frame of which only the beginning has come counts as a frame, and what comes later as another: so nothing of a body
has to be kept here.
"""

from typing import NamedTuple

from mindspore_serving.master.http2.frames import DATA, END_STREAM, HEAD_BYTES, Head, Piece, unpack_head


class Begun(NamedTuple):
    """A DATA frame without padding, of whose content so many bytes are still to come."""

    stream_id: int
    flags: int
    left: int


class Run:
    """The content of frames, of which so many begin behind the first."""

    __slots__ = ("after", "begun", "ended", "heads", "pieces", "size")

    def __init__(
        self, pieces: list[Piece], size: int, heads: int, ended: bool, after: int, begun: Begun | None
    ) -> None:
        self.pieces = pieces
        self.size = size
        self.heads = heads
        self.ended = ended
        self.after = after  # where the next frame begins
        self.begun = begun  # the last one, if it is not complete


def read_run(buffer: Piece, at: int, frame: Begun, largest: int) -> Run:
    """From the content of this frame on, which begins here, as far as frames go on with it.

    A frame that is empty, padded, or larger than it may be ends the run: those are looked at singly.
    """
    stream_id, flags, left = frame
    end = len(buffer)
    pieces: list[Piece] = []
    heads = 0
    begin = at
    stop = at + left
    while stop <= end:
        pieces.append(buffer[at:stop])
        at = stop
        if flags or end - at < HEAD_BYTES:
            return Run(pieces, at - begin - heads * HEAD_BYTES, heads, flags == END_STREAM, at, None)
        head: Head = unpack_head(buffer, at)
        high, low, kind, next_flags, next_id = head
        length = high << 8 | low
        if kind != DATA or next_flags > END_STREAM or next_id != stream_id or not 0 < length <= largest:
            return Run(pieces, at - begin - heads * HEAD_BYTES, heads, False, at, None)
        heads += 1
        flags = next_flags
        at += HEAD_BYTES
        stop = at + length
    if at < end:
        pieces.append(buffer[at:])
    size = end - begin - heads * HEAD_BYTES
    return Run(pieces, size, heads, False, end, Begun(stream_id, flags, stop - end))
