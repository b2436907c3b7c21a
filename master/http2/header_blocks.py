"""HEADERS and CONTINUATION frames put together to header blocks (RFC 9113 §4.3, §6.2 and §6.10)."""

from typing import NamedTuple

from mindspore_serving.master.http2 import frames
from mindspore_serving.master.http2.errors import ConnectionFault, ErrorCode, StreamFault
from mindspore_serving.master.http2.frames import END_HEADERS, END_STREAM, PADDED, PRIORITISED
from mindspore_serving.master.http2.limits import Limits


class Block(NamedTuple):
    """A whole header block. `fault` ends its stream, after the block was read for the sake of the table."""

    stream_id: int
    content: bytes
    ended: bool
    fault: StreamFault | None


class BlockReader:
    """At most one block of a connection is incomplete at a time. Bounded in bytes and frames (CVE-2024-27316)."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._begun: Block | None = None
        self._fragments: list[bytes] = []
        self._begun_at = 0.0

    def begin(self, stream_id: int, flags: int, payload: bytes, now: float) -> Block | None:
        """A HEADERS frame: the block, if that is all of it. Raises ConnectionFault."""
        if not stream_id & 1:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"HEADERS on stream {stream_id}")
        fault: StreamFault | None = None
        if flags & (PADDED | PRIORITISED):
            if flags & PADDED:
                payload = frames.unpad(payload)
            if flags & PRIORITISED:
                if len(payload) < 5:
                    raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "HEADERS too short for its priority")
                fault = self_dependency(stream_id, payload)
                payload = payload[5:]
        block = Block(stream_id, payload, bool(flags & END_STREAM), fault)
        if flags & END_HEADERS:
            return block
        self._begun, self._fragments, self._begun_at = block, [payload], now
        return None

    def go_on(self, stream_id: int, flags: int, payload: bytes) -> Block | None:
        """A CONTINUATION frame: the block, if that completes it. Raises ConnectionFault."""
        begun = self._begun
        if begun is None or begun.stream_id != stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "CONTINUATION without HEADERS")
        self._fragments.append(payload)
        too_many = len(self._fragments) > self._limits.max_continuations + 1
        if too_many or sum(map(len, self._fragments)) > self._limits.max_header_bytes:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "a header block that does not end")
        if not flags & END_HEADERS:
            return None
        self._begun = None
        return begun._replace(content=b"".join(self._fragments))

    def is_overdue(self, now: float) -> bool:
        """Whether a block was begun and not completed in time."""
        return self._begun is not None and now - self._begun_at > self._limits.preface_seconds


def self_dependency(stream_id: int, priority: bytes) -> StreamFault | None:
    """The fault of a stream that depends on itself (RFC 7540 §5.3.1). Otherwise priorities mean nothing here."""
    if int.from_bytes(priority[:4], "big") & frames.LARGEST_STREAM_ID == stream_id:
        return StreamFault(ErrorCode.PROTOCOL_ERROR, "a stream that depends on itself")
    return None
