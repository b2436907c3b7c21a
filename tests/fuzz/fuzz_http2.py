"""Target: what a gRPC client's connection says, from its first byte through HTTP/2 and gRPC to the services and back.

The first byte of an input is the size of the pieces in which the rest comes. Nothing raises; what goes back is frames
that a client can read, with one end for each stream; and when the client is gone, nothing is left of its calls.
"""

import asyncio
from typing import Any

import hpack

from mindspore_serving.master.client_memory import ClientMemory
from mindspore_serving.master.http2.frames import END_HEADERS, END_STREAM, HEAD_BYTES, PREFACE, Kind, pack, unpack_head
from mindspore_serving.master.http2.limits import Limits
from mindspore_serving.master.lean_connection import LeanConnection
from mindspore_serving.master.lean_door import LeanDoor
from mindspore_serving.master.service_table import OWN_FAULT_TEXT
from mindspore_serving.master.services import services
from tests.fuzz.echo_desk import EchoDesk
from tests.fuzz.fuzz_predict_request import SEEDS as PREDICTIONS
from tests.fuzz.fuzz_v2_message import SEEDS as V2_MESSAGES

_LIMITS = Limits(window_bytes=70_000, connection_window_bytes=140_000, max_streams=8)
_TURNS = 12  # of the loop, in which every call that can be answered is: by way of the desk and its worker
_MUCH_LATER = 10_000.0  # seconds
V2 = "/inference.GRPCInferenceService/"

_made: list[tuple[EchoDesk, LeanDoor]] = []
_raised: list[dict[str, Any]] = []


def call(stream_id: int, path: str, *messages: bytes, **fields: str) -> bytes:
    """A whole call, in a header block that is not compressed against any other."""
    head = [(":method", "POST"), (":scheme", "http"), (":path", path), ("te", "trailers")]
    more = [(name.replace("_", "-"), value) for name, value in fields.items()]
    block = hpack.Encoder().encode([*head, ("content-type", "application/grpc"), *more])
    body = b"".join(b"\0" + len(message).to_bytes(4, "big") + message for message in messages)
    return pack(Kind.HEADERS, END_HEADERS, stream_id, block) + pack(Kind.DATA, END_STREAM, stream_id, body)


_HEALTH = call(1, "/grpc.health.v1.Health/Watch", b"", grpc_timeout="1S") + pack(Kind.RST_STREAM, 0, 1, bytes(4))
_REFLECTION = call(5, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", b"\x3a\1*", b"\x22\5a.b.c")
_SPLIT = hpack.Encoder().encode([(":method", "POST"), (":path", "/x"), (":scheme", "http"), ("x-bin", "AAE=,/w")])

SEEDS = [
    bytes([200]) + rest
    for rest in (
        call(1, V2 + "ModelInfer", V2_MESSAGES[0][1:]),
        call(1, V2 + "ModelStreamInfer", V2_MESSAGES[0][1:], V2_MESSAGES[5][1:], b"\xff"),
        call(1, "/mindspore.serving.proto.MSService/Predict", PREDICTIONS[0], grpc_encoding="gzip"),
        call(1, V2 + "ServerLive", b"", grpc_timeout="1n") + call(3, "/a/b") + _REFLECTION,
        _HEALTH + pack(Kind.PING, 0, 0, bytes(8)) + pack(Kind.GOAWAY, 0, 0, bytes(8)),
        pack(Kind.SETTINGS, 0, 0, b"\0\4\0\0\0\1\0\1\0\0\0\0\0\5\0\0\x40\0") + call(1, V2 + "ServerMetadata", b""),
        pack(Kind.WINDOW_UPDATE, 0, 0, b"\x7f\xff\0\0") + pack(Kind.PRIORITY, 0, 3, b"\0\0\0\3\1"),
        pack(Kind.HEADERS, END_STREAM, 1, _SPLIT[:9]) + pack(Kind.CONTINUATION, END_HEADERS, 1, _SPLIT[9:]),
        pack(Kind.HEADERS, END_HEADERS | 0x28, 1, b"\2\0\0\0\0\x10" + _SPLIT + b"\0\0") + pack(99, 255, 7, b"x"),
    )
]


class _Client(asyncio.Transport):
    """Takes what the connection writes, and reads it as a client does."""

    def __init__(self) -> None:
        super().__init__()
        self.received = b""
        self.is_over = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.received += data

    def write_eof(self) -> None:
        self.is_over = True

    def can_write_eof(self) -> bool:
        return True

    def close(self) -> None:
        self.is_over = True

    abort = close

    def is_closing(self) -> bool:
        return self.is_over

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


def run(data: bytes) -> None:
    """Says it, waits for the answers, lets time pass, and hangs up."""
    if not _made:
        desk = EchoDesk()
        desk.loop.set_exception_handler(lambda _, context: _raised.append(context))
        _made.append((desk, desk.run(_door(desk))))
    desk, door = _made[0]
    said = PREFACE + pack(Kind.SETTINGS, 0, 0) + data[1:]
    client = _Client()
    desk.run(_converse(door, client, said, (data[0] if data else 0) or len(said)))
    assert not _raised, _raised
    _check(client.received)


async def _door(desk: EchoDesk) -> LeanDoor:
    return LeanDoor(services(desk.desk, ClientMemory()), 1, _LIMITS)


async def _converse(door: LeanDoor, client: _Client, said: bytes, size: int) -> None:
    before = asyncio.all_tasks()
    connection = LeanConnection(door)
    connection.connection_made(client)
    for start in range(0, len(said), size):
        if not client.is_over:
            _hand_over(connection, said[start : start + size])
            await asyncio.sleep(0)
    await _turns()
    connection.tick(door.loop.time() + _MUCH_LATER)
    connection.connection_lost(None)
    await _turns()
    assert not connection._calls
    assert asyncio.all_tasks() == before
    assert door._held == 0


def _hand_over(connection: LeanConnection, received: bytes) -> None:
    connection.get_buffer(-1)[: len(received)] = received
    connection.buffer_updated(len(received))


async def _turns() -> None:
    for _ in range(_TURNS):
        await asyncio.sleep(0)


def _check(received: bytes) -> None:
    """Whole frames, header blocks that can be decoded in their order, nothing behind the end of a stream."""
    if received.startswith(b"HTTP/1.1 505"):
        return
    decoder, ended, at = hpack.Decoder(), set[int](), 0
    while at < len(received):
        high, low, kind, flags, stream_id = unpack_head(received, at)
        payload = received[at + HEAD_BYTES : at + HEAD_BYTES + (high << 8 | low)]
        at += HEAD_BYTES + (high << 8 | low)
        assert at <= len(received)
        if kind in (Kind.HEADERS, Kind.CONTINUATION, Kind.DATA):
            assert stream_id not in ended
            assert kind != Kind.HEADERS or flags & END_HEADERS
        if kind == Kind.HEADERS:
            fields = decoder.decode(payload, raw=True)
            assert (b"grpc-message", OWN_FAULT_TEXT.encode()) not in [tuple(field) for field in fields]
        if (kind in (Kind.HEADERS, Kind.DATA) and flags & END_STREAM) or kind == Kind.RST_STREAM:
            ended.add(stream_id)


def close() -> None:
    """Lets the desk go."""
    while _made:
        desk, _ = _made.pop()
        desk.close()
