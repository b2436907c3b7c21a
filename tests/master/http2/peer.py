"""A client of the HTTP/2 state machine that says whatever a test wants, frame by frame, by the hyperframe library."""

from typing import Any, TypeVar

import hpack
from hyperframe.frame import Frame, GoAwayFrame, HeadersFrame, RstStreamFrame, SettingsFrame

from mindspore_serving.master.http2.connection import Connection
from mindspore_serving.master.http2.errors import ErrorCode
from mindspore_serving.master.http2.events import DataReceived, Event, RequestReceived, StreamEnded
from mindspore_serving.master.http2.frames import PREFACE
from mindspore_serving.master.http2.headers import Field
from mindspore_serving.master.http2.limits import Limits
from mindspore_serving.master.http2.openings import Openings

F = TypeVar("F", bound=Frame)

REQUEST: list[Field] = [
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/Echo/Say"),
    (b":authority", b"here"),
    (b"te", b"trailers"),
    (b"content-type", b"application/grpc"),
]


class Peer:
    """A connection under test, its clock, and what it has said."""

    def __init__(
        self,
        limits: Limits | None = None,
        greet: bool = True,
        interpret: Any = tuple,
        openings: Openings | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self.now = 1000.0
        self.connection = Connection(interpret, self.limits, self.now, openings)
        self.encoder = hpack.Encoder()
        self.said: list[Frame] = []
        self.raw = b""
        if greet:
            self.feed(PREFACE + SettingsFrame(0).serialize())
            self.said.clear()

    def feed(self, content: bytes) -> list[Event]:
        """The events of these bytes; what the connection answers is added to `said`."""
        events = self.connection.receive(content, self.now)
        self.listen()
        return events

    def send(self, *frames: Frame) -> list[Event]:
        """The same for frames."""
        return self.feed(b"".join(frame.serialize() for frame in frames))

    def tick(self, seconds: float) -> list[Event]:
        """Lets time pass."""
        self.now += seconds
        events = self.connection.tick(self.now)
        self.listen()
        return events

    def listen(self) -> None:
        while sent := self.connection.data_to_send():
            self.raw += sent
        while len(self.raw) >= 9:
            frame, length = Frame.parse_frame_header(memoryview(self.raw[:9]))
            frame.parse_body(memoryview(self.raw[9 : 9 + length]))
            self.said.append(frame)
            self.raw = self.raw[9 + length :]

    def headers(self, stream_id: int, fields: list[Field] | None = None, *flags: str) -> HeadersFrame:
        """A HEADERS frame; END_HEADERS unless flags are given."""
        block = self.encoder.encode(REQUEST if fields is None else fields)
        return HeadersFrame(stream_id, block, flags=list(flags or ("END_HEADERS",)))

    def heard(self, kind: type[F]) -> list[F]:
        return [frame for frame in self.said if isinstance(frame, kind)]

    @property
    def goaway(self) -> ErrorCode | None:
        """The code with which the connection ended, if it did."""
        found = self.heard(GoAwayFrame)
        return ErrorCode(found[-1].error_code) if found else None

    @property
    def resets(self) -> dict[int, ErrorCode]:
        """The streams that were reset."""
        return {frame.stream_id: ErrorCode(frame.error_code) for frame in self.heard(RstStreamFrame)}


def kinds(events: list[Event]) -> list[type]:
    """What happened, without the details."""
    return [type(event) for event in events]


def bodies(events: list[Event]) -> dict[int, bytes]:
    """The request bodies of streams."""
    found: dict[int, bytes] = {}
    for event in events:
        if isinstance(event, RequestReceived):
            found[event.stream_id] = b""
        elif isinstance(event, DataReceived):
            found[event.stream_id] += b"".join(event.pieces)
        elif isinstance(event, StreamEnded):
            del found[event.stream_id]
    return found
