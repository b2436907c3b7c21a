"""What has to come next on a connection, and what may not (RFC 9113 §3.4 and §6.10)."""

from enum import Enum, auto

from mindspore_serving.master.http2.errors import ConnectionFault, ErrorCode
from mindspore_serving.master.http2.frames import ACK, Kind


class Phase(Enum):
    """What has to come next."""

    PREFACE = auto()
    FIRST_SETTINGS = auto()
    FRAMES = auto()
    CONTINUATION = auto()
    NOTHING = auto()


def check_frame(phase: Phase, kind: int, flags: int) -> None:
    """Raises ConnectionFault for a frame that cannot come now."""
    if phase is Phase.FIRST_SETTINGS and (kind != Kind.SETTINGS or flags & ACK):
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "the first frame is not SETTINGS")
    if phase is Phase.CONTINUATION and kind != Kind.CONTINUATION:
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a frame inside a header block")
