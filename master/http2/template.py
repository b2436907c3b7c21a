"""The frames of a whole response as two pieces with blanks: most responses differ in their stream and body alone."""

import struct

from mindspore_serving.master.http2.frames import DATA, END_HEADERS, END_STREAM, HEAD_BYTES, Kind, pack_head
from mindspore_serving.master.http2.headers import Fields

_ID_BYTES = 4  # at the end of a frame's head


class Template:
    """For these very fields and trailers, within one edition of the header writer."""

    __slots__ = ("_begin", "_end", "_first", "_first_head", "_last", "_last_head", "edition", "fields", "trailers")

    def __init__(self, fields: Fields, trailers: Fields, edition: int, first: bytes, last: bytes) -> None:
        self.fields = fields
        self.trailers = trailers
        self.edition = edition
        head_bytes = HEAD_BYTES - _ID_BYTES
        self._first = first
        self._first_head = pack_head(len(first), Kind.HEADERS, END_HEADERS, 0)[:head_bytes]
        self._begin = struct.Struct(f">{head_bytes}sL{len(first)}sHBBBL").pack
        self._last = last
        self._last_head = pack_head(len(last), Kind.HEADERS, END_HEADERS | END_STREAM, 0)[:head_bytes]
        self._end = struct.Struct(f">{head_bytes}sL{len(last)}s").pack

    def before(self, stream_id: int, size: int) -> bytes:
        """HEADERS, and the head of a DATA frame of this size."""
        return self._begin(self._first_head, stream_id, self._first, size >> 8, size & 0xFF, DATA, 0, stream_id)

    def after(self, stream_id: int) -> bytes:
        """HEADERS that end the stream."""
        return self._end(self._last_head, stream_id, self._last)
