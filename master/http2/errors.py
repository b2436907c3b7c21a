"""HTTP/2's error codes, and the two ways in which a peer's mistake ends something: its stream, or the connection."""

from enum import IntEnum

#   Http2Fault
#   ├── StreamFault      one stream ends by RST_STREAM, the others go on
#   └── ConnectionFault  the connection ends by GOAWAY


class ErrorCode(IntEnum):
    """RFC 9113 §7."""

    NO_ERROR = 0x0
    PROTOCOL_ERROR = 0x1
    INTERNAL_ERROR = 0x2
    FLOW_CONTROL_ERROR = 0x3
    SETTINGS_TIMEOUT = 0x4
    STREAM_CLOSED = 0x5
    FRAME_SIZE_ERROR = 0x6
    REFUSED_STREAM = 0x7
    CANCEL = 0x8
    COMPRESSION_ERROR = 0x9
    CONNECT_ERROR = 0xA
    ENHANCE_YOUR_CALM = 0xB
    INADEQUATE_SECURITY = 0xC
    HTTP_1_1_REQUIRED = 0xD


class Http2Fault(Exception):
    """The peer broke the protocol, or used up our patience."""

    def __init__(self, code: ErrorCode, text: str) -> None:
        super().__init__(text)
        self.code = code


class StreamFault(Http2Fault):
    """Ends one stream (RFC 9113 §5.4.2)."""


class ConnectionFault(Http2Fault):
    """Ends the connection (RFC 9113 §5.4.1)."""
