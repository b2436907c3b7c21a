"""What a connection tells its owner. Plain classes where there is one for every call: those are made soonest."""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

from mindspore_serving.master.http2.errors import ErrorCode
from mindspore_serving.master.http2.frames import Piece


class RequestReceived:
    """A stream begins. `head` is what `interpret` made of the request's fields."""

    __slots__ = ("ended", "head", "stream_id")

    def __init__(self, stream_id: int, head: Any, ended: bool) -> None:
        self.stream_id = stream_id
        self.head = head
        self.ended = ended


class DataReceived:
    """What has come of the request's body, `size` bytes; `ended`: the last of it, which may be empty.

    The pieces may lie in the buffer that was received: copy them before it is used again.
    """

    __slots__ = ("ended", "pieces", "size", "stream_id")

    def __init__(self, stream_id: int, pieces: Sequence[Piece], size: int, ended: bool) -> None:
        self.stream_id = stream_id
        self.pieces = pieces
        self.size = size
        self.ended = ended


class StreamEnded(NamedTuple):
    """The stream is gone before both sides were through: nothing more can be said on it."""

    stream_id: int


class ConnectionEnded(NamedTuple):
    """Send what is left and close."""

    code: ErrorCode
    text: str


class ForeignProtocol(NamedTuple):
    """The peer speaks no HTTP/2; these are its first bytes."""

    first: bytes


Event: TypeAlias = ForeignProtocol | RequestReceived | DataReceived | StreamEnded | ConnectionEnded
