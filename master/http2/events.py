"""What a connection tells its owner."""

from typing import Any, NamedTuple, TypeAlias

from mindspore_serving.master.http2.errors import ErrorCode


class RequestReceived(NamedTuple):
    """A stream begins. `head` is what `interpret` made of the request's fields."""

    stream_id: int
    head: Any
    ended: bool


class DataReceived(NamedTuple):
    """A piece of the request's body; `ended`: the last, which may be empty."""

    stream_id: int
    data: bytes
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
