"""Bodies in many frames: handled many at once and in parts, and yet each frame is held to the rules."""

import pytest
from hyperframe.frame import DataFrame, Frame, HeadersFrame, PingFrame, RstStreamFrame, WindowUpdateFrame

from mindspore_serving.master.http2.errors import ErrorCode
from mindspore_serving.master.http2.events import DataReceived, Event, StreamEnded
from mindspore_serving.master.http2.limits import Limits
from tests.master.http2.peer import REQUEST, Peer, kinds


def opened(limits: Limits | None = None, *streams: int) -> Peer:
    peer = Peer(limits)
    peer.send(*(peer.headers(stream_id) for stream_id in streams or (1,)))
    return peer


def data(content: bytes, *flags: str, stream_id: int = 1, padding: int = 0) -> DataFrame:
    return DataFrame(stream_id, content, flags=list(flags), pad_length=padding)


def said(*frames: Frame) -> bytes:
    return b"".join(frame.serialize() for frame in frames)


def heard(events: list[Event]) -> list[tuple[int, bytes, bool]]:
    return [(e.stream_id, b"".join(e.pieces), e.ended) for e in events if isinstance(e, DataReceived)]


def test_frames_of_a_body_that_come_together_are_one_event() -> None:
    events = opened().send(data(b"ab"), data(b"cd"), data(b"e", "END_STREAM"))
    assert heard(events) == [(1, b"abcde", True)]
    assert isinstance(events[0], DataReceived) and events[0].size == 5


def test_frames_of_several_bodies_keep_their_order() -> None:
    peer = opened(None, 1, 3)
    events = peer.send(data(b"a"), data(b"b"), data(b"c", stream_id=3), PingFrame(0), data(b"d"), data(b"e"))
    assert heard(events) == [(1, b"ab", False), (3, b"c", False), (1, b"de", False)]


def test_a_frame_is_handed_out_as_it_comes_and_nothing_of_it_is_kept() -> None:
    peer = opened()
    content = said(data(b"x" * 16_000), data(b"y" * 16_000, "END_STREAM"))
    found = []
    for at in range(0, len(content), 100):
        found += heard(peer.feed(content[at : at + 100]))
        assert len(peer.connection._partial) < 9
    assert b"".join(piece for _, piece, _ in found) == b"x" * 16_000 + b"y" * 16_000
    assert [ended for _, _, ended in found] == [False] * (len(found) - 1) + [True]


def test_a_frame_of_which_only_the_head_has_come_is_no_empty_one() -> None:
    peer = opened(Limits(patience=2, patience_per_second=0.0))
    for _ in range(10):
        content = said(data(b"abc"))
        assert peer.feed(content[:9]) == []
        assert heard(peer.feed(content[9:])) == [(1, b"abc", False)]
    assert peer.goaway is None


def test_an_empty_frame_among_others_still_costs_patience() -> None:
    peer = opened(Limits(patience=20, patience_per_second=0.0))
    for _ in range(30):
        peer.send(data(b"a"), data(b""), data(b"b"))
    assert peer.goaway is ErrorCode.ENHANCE_YOUR_CALM


def test_each_late_frame_beyond_its_window_costs_patience_once_however_it_is_cut() -> None:
    peer = opened(Limits(patience=20, patience_per_second=0.0, window_bytes=39))
    peer.connection.send_headers(1, ((b":status", b"200"),), end=True)  # which resets the rest of the request
    content = said(*[data(b"late" * 10)] * 15)
    for byte in content:
        peer.feed(bytes([byte]))
    assert peer.goaway is None
    peer.feed(content)
    assert peer.goaway is ErrorCode.ENHANCE_YOUR_CALM


def test_a_stream_that_ends_within_a_frame_leaves_the_connection_in_order() -> None:
    peer = opened(None, 1, 3)
    content = said(data(b"x" * 100))
    peer.feed(content[:50])
    peer.connection.send_headers(1, ((b":status", b"200"),), end=True)
    events = peer.feed(content[50:] + said(data(b"good", "END_STREAM", stream_id=3)))
    assert heard(events) == [(3, b"good", True)]
    assert peer.goaway is None


@pytest.mark.parametrize("cut", [1, 40, 1000])
def test_more_than_the_streams_window_ends_the_stream_alone(cut: int) -> None:
    peer = opened(Limits(window_bytes=100), 1, 3)
    content = said(*[data(b"x" * 30)] * 4, data(b"good", "END_STREAM", stream_id=3))
    events: list[Event] = []
    for at in range(0, len(content), cut):
        events += peer.feed(content[at : at + cut])
    assert peer.resets == {1: ErrorCode.FLOW_CONTROL_ERROR}
    assert sum(len(body) for stream_id, body, _ in heard(events) if stream_id == 1) <= 100
    assert b"".join(body for stream_id, body, _ in heard(events) if stream_id == 3) == b"good"
    assert kinds(events).count(StreamEnded) == 1


def test_more_than_the_connections_window_ends_the_connection() -> None:
    peer = opened(Limits(connection_window_bytes=70_000, window_bytes=200_000))
    peer.send(*[data(b"x" * 16_000)] * 5)
    assert peer.goaway is ErrorCode.FLOW_CONTROL_ERROR


def test_the_connections_window_is_renewed_as_it_is_used() -> None:
    peer = opened(Limits(connection_window_bytes=70_000, window_bytes=10**6))
    for _ in range(20):
        peer.send(data(b"x" * 16_000), data(b"x" * 16_000))
    assert peer.goaway is None
    renewed = sum(f.window_increment for f in peer.heard(WindowUpdateFrame) if f.stream_id == 0)
    assert 20 * 32_000 - 35_000 <= renewed <= 20 * 32_000


def test_padding_is_granted_again() -> None:
    peer = opened()
    events = peer.send(data(b"a"), data(b"b", "PADDED", padding=9), data(b"c"))
    assert [body for _, body, _ in heard(events)] == [b"a", b"b", b"c"]
    assert [(f.stream_id, f.window_increment) for f in peer.heard(WindowUpdateFrame)] == [(1, 10)]


def test_a_frame_too_large_among_others_ends_the_connection() -> None:
    peer = opened()
    events = peer.send(data(b"a"), data(b"b" * 16_385))
    assert heard(events) == [(1, b"a", False)]
    assert peer.goaway is ErrorCode.FRAME_SIZE_ERROR


@pytest.mark.parametrize("last, resets", [(b"cd", {}), (b"c", {1: ErrorCode.PROTOCOL_ERROR})])
def test_the_content_length_holds_for_all_frames(last: bytes, resets: dict[int, ErrorCode]) -> None:
    peer = Peer()
    block = peer.encoder.encode([*REQUEST, (b"content-length", b"4")])
    peer.send(HeadersFrame(1, block, flags=["END_HEADERS"]), data(b"a"), data(b"b"), data(last, "END_STREAM"))
    assert peer.resets == resets


def test_a_reset_within_a_receipt_ends_the_body_before_it() -> None:
    events = opened().send(data(b"a"), data(b"b"), RstStreamFrame(1, 8))
    assert kinds(events) == [DataReceived, StreamEnded]
