"""The named attacks on HTTP/2 servers: each ends early, with the code that tells why, and costs bounded memory."""

import sys

import hpack
import pytest
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    ExtensionFrame,
    Frame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from mindspore_serving.master.http2.errors import ErrorCode
from mindspore_serving.master.http2.events import ConnectionEnded, RequestReceived, StreamEnded
from mindspore_serving.master.http2.frames import PREFACE, Kind, pack
from mindspore_serving.master.http2.limits import Limits
from tests.master.http2.peer import REQUEST, Peer, kinds

CALM = ErrorCode.ENHANCE_YOUR_CALM
LIMITS = Limits(patience=50, patience_per_second=10.0)


@pytest.mark.parametrize(
    "frame",
    [
        PingFrame(0),
        SettingsFrame(0),
        SettingsFrame(0, flags=["ACK"]),
        PriorityFrame(7, depends_on=3),
        DataFrame(1, b""),
        ExtensionFrame(0x77, 0, body=b""),
    ],
)
def test_a_flood_of_frames_that_do_nothing_ends(frame: Frame) -> None:
    peer = Peer(LIMITS)
    peer.send(peer.headers(1))
    for _ in range(40):
        peer.send(frame)
    assert peer.goaway is None
    peer.now += 1.0
    for _ in range(18):
        peer.send(frame)
    assert peer.goaway is None
    for _ in range(10):
        peer.send(frame)
    assert peer.goaway is CALM
    assert len(peer.said) < 80


def test_rapid_reset_ends() -> None:
    peer = Peer(LIMITS)
    for number in range(60):
        peer.send(peer.headers(2 * number + 1), RstStreamFrame(2 * number + 1, 8))
    assert peer.goaway is CALM


def test_resets_that_the_peer_makes_us_send_end_as_well() -> None:
    peer = Peer(LIMITS)
    for number in range(60):
        stream_id = 2 * number + 1
        peer.send(peer.headers(stream_id), WindowUpdateFrame(stream_id, 0))
    assert peer.goaway is CALM


def test_a_client_that_cancels_every_other_call_is_served() -> None:
    peer = Peer(LIMITS)
    for number in range(300):
        first, second = 4 * number + 1, 4 * number + 3
        peer.send(peer.headers(first), RstStreamFrame(first, 8))
        peer.send(peer.headers(second, None, "END_HEADERS", "END_STREAM"), PingFrame(0))
        peer.connection.send_headers(second, ((b":status", b"200"),))
        peer.connection.send_body(second, b"", b"x")
        peer.connection.send_trailers(second, ((b"grpc-status", b"0"),))
        peer.listen()
    assert peer.goaway is None


@pytest.mark.parametrize("size", [0, 1, 10_000])
def test_a_continuation_flood_ends(size: int) -> None:
    peer = Peer()
    peer.send(HeadersFrame(1, b"", flags=[]))
    sent = 0
    while peer.goaway is None:
        peer.send(ContinuationFrame(1, b"\x82" * size, flags=[]))
        sent += 1
    assert peer.goaway is CALM
    assert sent <= 33


def test_an_hpack_bomb_ends() -> None:
    peer = Peer()
    block = hpack.Encoder().encode([*REQUEST, (b"bomb", b"x" * 4000)]) + b"\xbe" * 12_000
    assert kinds(peer.send(HeadersFrame(1, block, flags=["END_HEADERS"]))) == [ConnectionEnded]
    assert peer.goaway is CALM


def test_cached_blocks_are_bounded() -> None:
    peer = Peer()
    peer.send(peer.headers(1))
    for number in range(3000):
        block = b"\x83\x86\x84" + bytes([0x80 + 16 + number % 40, 0x80 + 16 + number // 40 % 40])
        peer.send(HeadersFrame(2 * number + 3, block, flags=["END_HEADERS"]))
    assert len(peer.connection._headers._known) <= 256


def test_what_cached_blocks_stand_for_is_bounded() -> None:
    peer = Peer()
    peer.send(peer.headers(1, [*REQUEST, (b"large", b"x" * 3000)]))
    for number in range(200):
        block = b"\x83\x86\x84" + bytes([0x80 + 16 + number % 40, 0x80 + 16 + number // 40]) + b"\xbe" * 20
        for event in peer.send(HeadersFrame(2 * number + 3, block, flags=["END_HEADERS"])):
            assert isinstance(event, RequestReceived) and event.head.count((b"large", b"x" * 3000)) == 20
    assert len(peer.connection._streams.open) > 100
    known = peer.connection._headers._known.values()
    assert sum(len(value) for request in known for _, value in request.head) < 1 << 20


@pytest.mark.parametrize("values", [(1, 2), (70_000, 80_000)])
def test_settings_that_change_the_windows_of_many_streams_again_and_again_end(values: tuple[int, int]) -> None:
    peer = Peer()
    peer.send(*[peer.headers(2 * number + 1, None, "END_HEADERS", "END_STREAM") for number in range(1000)])
    some = b"".join(b"\0\x04" + value.to_bytes(4, "big") for value in values)
    peer.feed(pack(Kind.SETTINGS, 0, 0, some))
    assert peer.goaway is None
    peer.feed(pack(Kind.SETTINGS, 0, 0, some * 1000))
    assert peer.goaway is CALM


def test_one_frame_of_many_settings_ends() -> None:
    peer = Peer()
    peer.feed(pack(Kind.SETTINGS, 0, 0, b"\0\x01\0\0\x10\0" * 2000))
    assert peer.goaway is CALM


def test_one_stream_too_many_is_refused_and_may_be_sent_again() -> None:
    peer = Peer(Limits(max_streams=2))
    peer.send(peer.headers(1), peer.headers(3), peer.headers(5))
    assert (peer.resets, peer.goaway) == ({5: ErrorCode.REFUSED_STREAM}, None)
    peer.send(RstStreamFrame(1, 8), peer.headers(7))
    assert 7 not in peer.resets


def test_a_zero_window_is_not_waited_for_for_ever_and_holds_bounded_bytes() -> None:
    limits = Limits(max_unsent_bytes=10_000, grace_seconds=60.0)
    peer = Peer(limits)
    peer.send(SettingsFrame(0, {SettingsFrame.INITIAL_WINDOW_SIZE: 0}))
    for stream_id in (1, 3):
        peer.send(peer.headers(stream_id, None, "END_HEADERS", "END_STREAM"))
        peer.connection.send_headers(stream_id, ((b":status", b"200"),))
        peer.connection.send_body(stream_id, b"12345", bytes(8000))
        peer.connection.send_trailers(stream_id, ((b"grpc-status", b"0"),))
        peer.listen()
    assert not peer.heard(DataFrame)
    peer.send(peer.headers(5))
    assert peer.resets == {5: ErrorCode.REFUSED_STREAM}
    assert peer.tick(59.0) == []
    peer.send(WindowUpdateFrame(1, 1))  # a drop does not help for long
    assert kinds(peer.tick(2.0)) == [StreamEnded, StreamEnded]
    assert peer.resets == {1: ErrorCode.CANCEL, 3: ErrorCode.CANCEL, 5: ErrorCode.REFUSED_STREAM}
    assert peer.connection._out.unsent == 0
    assert peer.connection.is_idle


@pytest.mark.parametrize("said", [b"", PREFACE[:5], PREFACE, PREFACE + b"\0\0\0\x04"])
def test_a_slow_preface_ends(said: bytes) -> None:
    peer = Peer(greet=False)
    peer.feed(said)
    assert peer.tick(9.0) == []
    peer.tick(2.0)
    assert peer.goaway is ErrorCode.SETTINGS_TIMEOUT


def test_a_slow_header_block_ends() -> None:
    peer = Peer()
    peer.send(HeadersFrame(1, b"\x82", flags=[]))
    assert peer.tick(9.0) == []
    peer.tick(2.0)
    assert peer.goaway is CALM


def test_an_idle_connection_ends_without_blame_but_not_one_with_a_stream() -> None:
    peer = Peer()
    peer.send(peer.headers(1))
    assert peer.tick(10_000.0) == []
    peer.send(RstStreamFrame(1, 8))
    assert peer.tick(1700.0) == []
    peer.tick(101.0)
    assert peer.goaway is ErrorCode.NO_ERROR


def test_closed_streams_are_remembered_in_bounded_number() -> None:
    peer = Peer()
    for number in range(5000):
        peer.now += 0.01
        peer.send(peer.headers(2 * number + 1), RstStreamFrame(2 * number + 1, 8))
    assert peer.goaway is None
    assert len(peer.connection._streams._closed) <= 1000
    assert sys.getsizeof(peer.connection._streams.open) < 1000
