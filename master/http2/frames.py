"""Frames as bytes (RFC 9113 §4 and §6). Pure functions; what they mean is said elsewhere."""

import struct
from collections.abc import Iterator, Mapping
from enum import IntEnum
from typing import Final, TypeAlias

from mindspore_serving.master.http2.errors import ConnectionFault, ErrorCode

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"  # §3.4
HEAD_BYTES: Final = 9
LARGEST_WINDOW: Final = 2**31 - 1  # §6.9.1
LARGEST_STREAM_ID: Final = 2**31 - 1
DEFAULT_WINDOW: Final = 65_535
DEFAULT_MAX_FRAME: Final = 16_384
LARGEST_MAX_FRAME: Final = 2**24 - 1

Piece: TypeAlias = bytes | memoryview  # of what the peer has sent
# Length // 256, length % 256, kind, flags, stream id with a reserved bit.
Head: TypeAlias = tuple[int, int, int, int, int]


class Kind(IntEnum):
    """Frame types."""

    DATA = 0x0
    HEADERS = 0x1
    PRIORITY = 0x2
    RST_STREAM = 0x3
    SETTINGS = 0x4
    PUSH_PROMISE = 0x5
    PING = 0x6
    GOAWAY = 0x7
    WINDOW_UPDATE = 0x8
    CONTINUATION = 0x9


# Kinds and flags, as plain numbers: they are looked at once for each frame.
DATA: Final = 0x0  # Kind.DATA
KINDS: Final = 10  # from 0 on
END_STREAM: Final = 0x1
ACK: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
PRIORITISED: Final = 0x20


class Setting(IntEnum):
    """§6.5.2."""

    HEADER_TABLE_SIZE = 0x1
    ENABLE_PUSH = 0x2
    MAX_CONCURRENT_STREAMS = 0x3
    INITIAL_WINDOW_SIZE = 0x4
    MAX_FRAME_SIZE = 0x5
    MAX_HEADER_LIST_SIZE = 0x6


_HEAD = struct.Struct(">HBBBL")  # the length has 24 bits
_SETTING = struct.Struct(">HL")
_NUMBER = struct.Struct(">L")
_GOAWAY = struct.Struct(">LL")

unpack_head: Final = _HEAD.unpack_from  # gives a Head


def pack_head(length: int, kind: int, flags: int, stream_id: int) -> bytes:
    """The nine bytes before a payload."""
    return _HEAD.pack(length >> 8, length & 0xFF, kind, flags, stream_id)


def pack(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    """A whole frame."""
    length = len(payload)
    return _HEAD.pack(length >> 8, length & 0xFF, kind, flags, stream_id) + payload


def settings_frame(settings: Mapping[Setting, int]) -> bytes:
    """A SETTINGS frame."""
    return pack(Kind.SETTINGS, 0, 0, b"".join(_SETTING.pack(name, value) for name, value in settings.items()))


def reset_frame(stream_id: int, code: int) -> bytes:
    """A RST_STREAM frame."""
    return pack(Kind.RST_STREAM, 0, stream_id, _NUMBER.pack(code))


def window_frame(stream_id: int, increment: int) -> bytes:
    """A WINDOW_UPDATE frame; stream 0 is the connection."""
    return pack(Kind.WINDOW_UPDATE, 0, stream_id, _NUMBER.pack(increment))


def goaway_frame(last_stream_id: int, code: int, text: str = "") -> bytes:
    """A GOAWAY frame, with its reason in words."""
    return pack(Kind.GOAWAY, 0, 0, _GOAWAY.pack(last_stream_id, code) + text.encode())


def read_settings(payload: bytes) -> Iterator[tuple[int, int]]:
    """The identifiers and values of a SETTINGS frame. Raises ConnectionFault."""
    if len(payload) % 6:
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS of a length that is no multiple of 6")
    return _SETTING.iter_unpack(payload)


def read_number(payload: bytes, kind: str) -> int:
    """The one number of RST_STREAM or WINDOW_UPDATE, with its reserved bit. Raises ConnectionFault."""
    if len(payload) != 4:
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"{kind} of {len(payload)} bytes instead of 4")
    number: int = _NUMBER.unpack(payload)[0]
    return number


def unpad(payload: bytes) -> bytes:
    """A padded frame's content (§6.1). Raises ConnectionFault."""
    if not payload or payload[0] >= len(payload):
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "more padding than frame")
    return payload[1 : len(payload) - payload[0]]
