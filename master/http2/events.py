"""What a connection tells its owner."""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

from mindspore_serving.master.http2.errors import ErrorCode
from mindspore_serving.master.http2.frames import Piece


class RequestReceived(NamedTuple):
    """A stream begins. `head` is what `interpret` made of the request's fields."""

    stream_id: int
    head: Any
    ended: bool


class DataReceived(NamedTuple):
    """What has come of the request's body, `size` bytes; `ended`: the last of it, which may be empty.

    The pieces may lie in the buffer that was received: copy them before it is used again.
    """

    stream_id: int
    pieces: Sequence[Piece]
    size: int
    ended: bool


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
