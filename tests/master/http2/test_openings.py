"""What connections begin with is remembered, and means the same as if each had been read and written anew."""

import asyncio
from collections.abc import Callable
from typing import Any

import hpack
import pytest
from hpack import hpack as library
from hpack.table import HeaderTable
from hyperframe.frame import HeadersFrame, SettingsFrame
from hypothesis import given, settings
from hypothesis import strategies as st

from mindspore_serving.master.http2.events import RequestReceived
from mindspore_serving.master.http2.frames import PREFACE
from mindspore_serving.master.http2.headers import Field
from mindspore_serving.master.http2.openings import MOST_STEPS, Openings
from mindspore_serving.master.lean_door import LeanDoor
from tests.master.http2.peer import REQUEST, Peer

GREETING = ((b":status", b"200"), (b"content-type", b"application/grpc"))
GOOD = ((b"grpc-status", b"0"),)


def talk(peer: Peer, calls: list[list[Field]]) -> list[object]:
    """What the connection makes of these calls, and the fields that it answers each with."""
    heads: list[object] = []
    decoder = hpack.Decoder()
    for number, fields in enumerate(calls):
        stream_id = 2 * number + 1
        events = peer.send(peer.headers(stream_id, fields, "END_HEADERS", "END_STREAM"))
        heads += [event.head for event in events if isinstance(event, RequestReceived)]
        peer.connection.send_response(stream_id, GREETING, b"", b"yes", ((b"grpc-status", b"%d" % (number % 3)),))
        peer.listen()
    blocks = [frame.data for frame in peer.heard(HeadersFrame)]
    return [*heads, *(decoder.decode(block, raw=True) for block in blocks), *blocks]


@pytest.fixture
def forbid(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From its call on, nothing is compressed or decompressed."""

    def used(*_: Any, **__: Any) -> Any:
        raise AssertionError("the library was asked")

    def now() -> None:
        monkeypatch.setattr(library.Decoder, "decode", used)
        monkeypatch.setattr(library.Encoder, "encode", used)

    return now


def test_what_a_connection_begins_with_is_not_read_again_nor_its_answer_written(forbid: Callable[[], None]) -> None:
    openings = Openings()
    expected = talk(Peer(openings=openings), [REQUEST])
    again = Peer(openings=openings)
    frame = again.headers(1, REQUEST, "END_HEADERS", "END_STREAM")
    forbid()
    (event,) = again.send(frame)
    assert isinstance(event, RequestReceived)
    again.connection.send_response(1, GREETING, b"", b"yes", GOOD)
    again.listen()
    assert event.head == expected[0]
    assert len(again.heard(HeadersFrame)) == 2


def test_the_connections_of_a_door_remember_together(forbid: Callable[[], None]) -> None:
    frame = HeadersFrame(1, hpack.Encoder().encode(REQUEST), flags=["END_HEADERS", "END_STREAM"])
    hello = PREFACE + SettingsFrame(0).serialize() + frame.serialize()

    async def two() -> None:
        door = LeanDoor({}, 1)
        for _ in range(2):
            (event,) = door.make_http2().receive(hello, door.loop.time())
            assert isinstance(event, RequestReceived)
            forbid()

    asyncio.run(two())


def test_what_comes_next_means_what_it_would_have(forbid: Callable[[], None]) -> None:
    openings = Openings()
    calls = [REQUEST, [*REQUEST, (b"a", b"1")], [*REQUEST, (b"a", b"1"), (b"b", b"2")], REQUEST]
    expected = talk(Peer(), calls)
    assert talk(Peer(openings=openings), calls) == expected
    assert talk(Peer(openings=openings), calls) == expected
    other = [REQUEST, [*REQUEST, (b"c", b"3")], [*REQUEST, (b"a", b"1"), (b"c", b"3")], REQUEST]
    assert talk(Peer(openings=openings), other) == talk(Peer(), other)


@pytest.mark.parametrize("name", [b"authorization", b"cookie"])
def test_a_secret_is_not_kept_for_longer_than_its_connection(name: bytes) -> None:
    openings = Openings()
    calls = [[*REQUEST, (name, b"open sesame")], REQUEST]
    assert talk(Peer(openings=openings), calls) == talk(Peer(), calls)
    block = hpack.Encoder().encode(calls[0])
    assert openings.reading.follow(block, HeaderTable()) is None


def test_no_more_is_remembered_than_there_is_room_for() -> None:
    openings = Openings()
    blocks = []
    for number in range(2 * MOST_STEPS + 1):
        fields = [*REQUEST, (b"grpc-timeout", b"%dm" % number)]
        talk(Peer(openings=openings), [fields])
        blocks.append(hpack.Encoder().encode(fields))
    known = [block for block in blocks if openings.reading.follow(block, HeaderTable()) is not None]
    assert known == blocks[-1:]  # all began anew, twice


LONG = [
    letter * 450 for letter in (b"p", b"r", b"s", b"t", b"u", b"v", b"w", b"x", b"y", b"z")
]  # of the table's 4096 bytes
fields_by_chance = st.lists(
    st.tuples(
        st.sampled_from([b"a", b"b", b"long-name", b"user-agent", b"authorization"]),
        st.sampled_from([b"", b"1", b"2", *LONG]),
    ),
    max_size=2,
).map(lambda more: [*REQUEST, *more])
OPENINGS = Openings()


@settings(max_examples=150)
@given(st.lists(fields_by_chance, max_size=12))
def test_connections_that_remember_and_those_that_do_not_say_the_same(calls: list[list[Field]]) -> None:
    expected = talk(Peer(), calls)
    for _ in range(2):
        assert talk(Peer(openings=OPENINGS), calls) == expected


def blocks_of(calls: list[list[Field]]) -> list[bytes]:
    encoder = hpack.Encoder()
    return [encoder.encode(fields) for fields in calls]


@settings(max_examples=400)
@given(st.lists(fields_by_chance, min_size=1, max_size=12), st.data())
def test_a_block_means_what_the_table_says_whoever_has_sent_it_before(
    calls: list[list[Field]], data: st.DataObject
) -> None:
    """The same bytes in any order, behind any other, and damaged by that: an index names another entry, or none."""
    blocks = blocks_of(calls)
    order = data.draw(st.lists(st.sampled_from(blocks), max_size=20))

    def outcome(peer: Peer) -> list[object]:
        found: list[object] = []
        for number, block in enumerate(order):
            events = peer.send(HeadersFrame(2 * number + 1, block, flags=["END_HEADERS", "END_STREAM"]))
            found += [event.head if isinstance(event, RequestReceived) else type(event) for event in events]
        return [*found, peer.goaway]

    expected = outcome(Peer())
    talk(Peer(openings=OPENINGS), calls)
    for _ in range(2):
        assert outcome(Peer(openings=OPENINGS)) == expected
