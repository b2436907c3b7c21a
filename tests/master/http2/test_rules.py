"""What RFC 9113 forbids ends the stream or the connection, with the code that it names; what it allows does not."""

import hpack
import pytest
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from mindspore_serving.master.http2 import frames
from mindspore_serving.master.http2.errors import ErrorCode
from mindspore_serving.master.http2.events import ConnectionEnded, DataReceived, ForeignProtocol, RequestReceived
from mindspore_serving.master.http2.frames import PREFACE, Kind
from mindspore_serving.master.http2.headers import Field
from mindspore_serving.master.http2.limits import Limits
from tests.master.http2.peer import REQUEST, Peer, bodies, kinds

P, F, S, C = (
    ErrorCode.PROTOCOL_ERROR,
    ErrorCode.FLOW_CONTROL_ERROR,
    ErrorCode.FRAME_SIZE_ERROR,
    ErrorCode.STREAM_CLOSED,
)
OPEN = 1  # a stream whose request goes on; 3 has ended its request, 5 was reset by the peer


def peer_with_streams() -> Peer:
    peer = Peer()
    peer.send(peer.headers(OPEN), peer.headers(3, None, "END_HEADERS", "END_STREAM"), peer.headers(5))
    peer.send(RstStreamFrame(5, int(ErrorCode.CANCEL)))
    assert peer.goaway is None
    return peer


def raw(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    return frames.pack(kind, flags, stream_id, payload)


@pytest.mark.parametrize(
    "wrong, code",
    [
        (raw(Kind.DATA, 0, 0, b"x"), P),
        (raw(Kind.DATA, 0, 7, b"x"), P),  # idle
        (raw(Kind.DATA, 0, 2, b"x"), P),  # of the server's
        (raw(Kind.DATA, 0, 3, b"x"), C),
        (raw(Kind.DATA, 0, 5, b"x"), C),
        (raw(Kind.DATA, 8, OPEN, b"\x05abcd"), P),  # padding
        (raw(Kind.DATA, 8, OPEN, b""), P),
        (raw(Kind.HEADERS, 4, 0, b"\x82"), P),
        (raw(Kind.HEADERS, 4, 8, b"\x82"), P),
        (raw(Kind.HEADERS, 5, 3, b"\x82"), C),
        (raw(Kind.HEADERS, 5, 5, b"\x82"), C),
        (raw(Kind.HEADERS, 0x24, 7, b"\0\0"), S),
        (raw(Kind.HEADERS, 4, 7, b"\xff\xff\xff\xff\xff\xff\xff"), ErrorCode.COMPRESSION_ERROR),
        (raw(Kind.HEADERS, 4, 7, b"\xfe"), ErrorCode.COMPRESSION_ERROR),  # an index that is not there
        (raw(Kind.HEADERS, 4, 7, b"\x3f\xff\xff\xff\x0f"), ErrorCode.COMPRESSION_ERROR),  # a table too large
        (raw(Kind.HEADERS, 0, 7, b"\x82") + raw(Kind.PING, 0, 0, bytes(8)), P),
        (raw(Kind.HEADERS, 0, 7, b"\x82") + raw(Kind.CONTINUATION, 4, 9, b"\x82"), P),
        (raw(Kind.HEADERS, 0, 7, b"\x82") + raw(0x77, 4, 7, b"\x82"), P),
        (raw(Kind.CONTINUATION, 4, OPEN, b"\x82"), P),
        (raw(Kind.PRIORITY, 0, 0, bytes(5)), P),
        (raw(Kind.PRIORITY, 0, 9, bytes(4)), S),
        (raw(Kind.PRIORITY, 0, 9, b"\0\0\0\x09\0"), P),  # on itself, idle
        (raw(Kind.RST_STREAM, 0, 0, bytes(4)), P),
        (raw(Kind.RST_STREAM, 0, 9, bytes(4)), P),
        (raw(Kind.RST_STREAM, 0, OPEN, bytes(5)), S),
        (raw(Kind.SETTINGS, 0, OPEN, b""), P),
        (raw(Kind.SETTINGS, 0, 0, bytes(5)), S),
        (raw(Kind.SETTINGS, 1, 0, bytes(6)), S),
        (raw(Kind.SETTINGS, 0, 0, b"\0\x02\0\0\0\x02"), P),  # ENABLE_PUSH 2
        (raw(Kind.SETTINGS, 0, 0, b"\0\x04\x80\0\0\0"), F),  # a window of 2**31
        (raw(Kind.SETTINGS, 0, 0, b"\0\x05\0\0\x3f\xff"), P),  # frames too small
        (raw(Kind.SETTINGS, 0, 0, b"\0\x05\x01\0\0\0"), P),  # and too large
        (raw(Kind.PUSH_PROMISE, 4, OPEN, b"\0\0\0\x02\x82"), P),
        (raw(Kind.PING, 0, OPEN, bytes(8)), P),
        (raw(Kind.PING, 0, 0, bytes(7)), S),
        (raw(Kind.GOAWAY, 0, OPEN, bytes(8)), P),
        (raw(Kind.GOAWAY, 0, 0, bytes(7)), S),
        (raw(Kind.WINDOW_UPDATE, 0, 0, bytes(4)), P),
        (raw(Kind.WINDOW_UPDATE, 0, 9, b"\0\0\0\1"), P),
        (raw(Kind.WINDOW_UPDATE, 0, 0, bytes(3)), S),
        (raw(Kind.WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff"), F),
        (raw(Kind.DATA, 0, OPEN, bytes(16_385)), S),
        (raw(0x55, 0, 0, bytes(16_385)), S),
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
def test_a_wrong_frame_ends_the_connection_with_its_code(wrong: bytes, code: ErrorCode, at_once: bool) -> None:
    peer = peer_with_streams()
    pieces = [wrong] if at_once else [bytes([byte]) for byte in wrong]
    events = [event for piece in pieces for event in peer.feed(piece)]
    assert peer.goaway is code
    assert events[-1] == ConnectionEnded(code, peer.heard(GoAwayFrame)[-1].additional_data.decode())
    assert peer.feed(PingFrame(0).serialize()) == []  # nothing is heard any more


@pytest.mark.parametrize(
    "wrong, code",
    [
        (raw(Kind.PRIORITY, 0, OPEN, b"\0\0\0\1\0"), P),
        (raw(Kind.PRIORITY, 0, OPEN, bytes(6)), S),
        (raw(Kind.WINDOW_UPDATE, 0, OPEN, bytes(4)), P),
        (raw(Kind.WINDOW_UPDATE, 0, OPEN, b"\x7f\xff\xff\xff"), F),
        (raw(Kind.HEADERS, 4, OPEN, b""), P),  # fields in the middle of a body
        (raw(Kind.HEADERS, 5, OPEN, b"\x82"), P),  # :method among trailers
        (raw(Kind.HEADERS, 0x25, OPEN, b"\0\0\0\1\0"), P),  # trailers that depend on themselves
    ],
)
def test_a_wrong_frame_of_a_stream_ends_only_that(wrong: bytes, code: ErrorCode) -> None:
    peer = peer_with_streams()
    peer.feed(wrong)
    assert (peer.resets, peer.goaway) == ({OPEN: code}, None)
    peer.send(DataFrame(OPEN, b"on its way"))  # is no mistake
    assert kinds(peer.send(peer.headers(7))) == [RequestReceived]
    assert peer.goaway is None


def without(name: bytes) -> list[Field]:
    return [field for field in REQUEST if field[0] != name]


@pytest.mark.parametrize(
    "fields",
    [
        without(b":method"),
        without(b":scheme"),
        without(b":path"),
        [*without(b":path"), (b":path", b"/late")],
        [(b":path", b""), *without(b":path")],
        [(b":path", b"/"), *REQUEST],
        [(b":status", b"200"), *REQUEST],
        [(b":protocol", b"x"), *REQUEST],
        [*REQUEST, (b"Upper", b"x")],
        [*REQUEST, (b"", b"x")],
        [*REQUEST, (b"a b", b"x")],
        [*REQUEST, (b"a:b", b"x")],
        [*REQUEST, (b"a", b"x\r\ny")],
        [*REQUEST, (b"a", b"x\0")],
        [*REQUEST, (b"a", b" x")],
        [*REQUEST, (b"a", b"x\t")],
        [*REQUEST, (b"connection", b"close")],
        [*REQUEST, (b"transfer-encoding", b"chunked")],
        [*REQUEST, (b"upgrade", b"h2c")],
        [*without(b"te"), (b"te", b"gzip")],
        [*REQUEST, (b"content-length", b"-1")],
        [*REQUEST, (b"content-length", b"9" * 19)],
        [*REQUEST, (b"content-length", b"1"), (b"content-length", b"2")],
    ],
)
def test_fields_that_are_no_request_end_their_stream(fields: list[Field]) -> None:
    peer = Peer()
    assert peer.send(peer.headers(1, fields)) == []
    assert (peer.resets, peer.goaway) == ({1: P}, None)


def test_a_stream_that_depends_on_itself_ends() -> None:
    peer = Peer()
    frame = HeadersFrame(1, peer.encoder.encode(REQUEST), depends_on=1, flags=["END_HEADERS", "PRIORITY"])
    assert peer.send(frame) == []
    assert peer.resets == {1: P}
    cycle = [PriorityFrame(9, depends_on=11), PriorityFrame(11, depends_on=9)]
    peer.send(*cycle)
    assert peer.goaway is None


def test_a_body_has_the_length_that_was_promised() -> None:
    fields = [*REQUEST, (b"content-length", b"3")]
    peer = Peer()
    peer.send(peer.headers(1, fields), DataFrame(1, b"abcd"))
    peer.send(peer.headers(3, fields), DataFrame(3, b"ab", flags=["END_STREAM"]))
    peer.send(peer.headers(5, fields, "END_HEADERS", "END_STREAM"))
    assert peer.resets == {1: P, 3: P, 5: P}
    assert bodies(peer.send(peer.headers(7, fields), DataFrame(7, b"abc", flags=["END_STREAM"]))) == {7: b"abc"}


def test_a_broken_header_block_is_not_told_to_anybody() -> None:
    peer = Peer()
    secret = b"authorization: Bearer abc"
    block = b"\x00\x7f" + b"\xff" * 10_000 + secret  # a number without an end
    (end,) = peer.send(HeadersFrame(1, block, flags=["END_HEADERS"]))
    assert isinstance(end, ConnectionEnded) and end.code is ErrorCode.COMPRESSION_ERROR and "Bearer" not in end.text
    assert len(peer.heard(GoAwayFrame)[0].additional_data) < 100


def test_a_stream_number_must_grow() -> None:
    peer = Peer()
    peer.send(peer.headers(5), peer.headers(3))
    assert peer.goaway is P


def test_more_than_a_window_is_a_flow_control_error() -> None:
    limits = Limits(window_bytes=20_000, connection_window_bytes=70_000)
    peer = Peer(limits)
    peer.send(peer.headers(1), DataFrame(1, bytes(16_000)), DataFrame(1, bytes(4_001)))
    assert (peer.resets, peer.goaway) == ({1: F}, None)
    peer = Peer(limits)
    peer.connection._limits = Limits(window_bytes=10**6, connection_window_bytes=0)  # never granted again
    peer.send(peer.headers(1), *[DataFrame(1, bytes(16_000)) for _ in range(5)])
    assert peer.goaway is F


def test_settings_that_widen_a_window_too_far_end_the_connection() -> None:
    peer = Peer()
    peer.send(peer.headers(1), WindowUpdateFrame(1, 2**31 - 1 - 65_535))
    assert peer.goaway is None
    peer.send(SettingsFrame(0, {SettingsFrame.INITIAL_WINDOW_SIZE: 65_536}))
    assert peer.goaway is F


def test_the_first_frame_is_settings() -> None:
    for first in (PingFrame(0), SettingsFrame(0, flags=["ACK"])):
        peer = Peer(greet=False)
        peer.feed(PREFACE + first.serialize())
        assert peer.goaway is P


@pytest.mark.parametrize("first", [b"GET / HTTP/1.1\r\n", b"\x16\x03\x01", b"PRI * HTTP/1.1"])
def test_another_protocol_is_told_from_http_2_and_hears_no_frame(first: bytes) -> None:
    peer = Peer(greet=False)
    events = [event for byte in first for event in peer.feed(bytes([byte]))]
    assert kinds(events) == [ForeignProtocol]
    assert peer.said == []


def test_what_is_legal_passes() -> None:
    peer = Peer()
    everything: list[Frame] = [
        PingFrame(0, b"12345678"),
        SettingsFrame(0, {0x77: 1, SettingsFrame.ENABLE_PUSH: 1, SettingsFrame.MAX_FRAME_SIZE: 2**24 - 1}),
        SettingsFrame(0, flags=["ACK"]),
        GoAwayFrame(0, last_stream_id=0, error_code=77),
        HeadersFrame(1, peer.encoder.encode(REQUEST), flags=[]),
        ContinuationFrame(1, b"", flags=["END_HEADERS"]),
        DataFrame(1, b"abc", pad_length=9, flags=["PADDED"]),
        WindowUpdateFrame(1, 5),
        PriorityFrame(1, depends_on=77, stream_weight=3),
        HeadersFrame(1, peer.encoder.encode([(b"checksum", b"1")]), flags=["END_HEADERS", "END_STREAM"]),
        WindowUpdateFrame(1, 5),
    ]
    peer.feed(raw(0x77, 0xFF, 0, b"grease"))
    assert bodies(peer.send(*everything)) == {1: b"abc"}
    assert peer.goaway is None and peer.resets == {}
    (pong,) = peer.heard(PingFrame)
    assert "ACK" in pong.flags and pong.opaque_data == b"12345678"
    peer.send(PushPromiseFrame(1, 2, b""))
    assert peer.goaway is P


def test_a_late_frame_after_our_end_is_no_mistake() -> None:
    peer = Peer()
    peer.send(peer.headers(1))
    peer.connection.send_headers(1, ((b":status", b"200"),), end=True)
    peer.listen()
    assert peer.resets == {1: ErrorCode.NO_ERROR}  # the rest of the request is not needed
    peer.send(DataFrame(1, b"x"), WindowUpdateFrame(1, 9), RstStreamFrame(1, 8))
    trailers = peer.encoder.encode([(b"kept", b"in the table")])
    peer.send(HeadersFrame(1, trailers, flags=["END_HEADERS", "END_STREAM"]))
    assert peer.goaway is None
    (request,) = peer.send(peer.headers(3, [*REQUEST, (b"kept", b"in the table")]))
    assert isinstance(request, RequestReceived)
    assert request.head[-1] == (b"kept", b"in the table")


def test_a_body_that_was_on_its_way_when_we_ended_its_stream_costs_no_patience() -> None:
    """A peer that has sent all that its windows allow is no flood, in whatever frames it has."""
    limits = Limits(window_bytes=100_000, patience=10, patience_per_second=0)
    peer = Peer(limits)
    for stream_id in range(1, 101, 2):
        peer.send(peer.headers(stream_id))
        peer.connection.send_headers(stream_id, ((b":status", b"200"),), end=True)
        peer.send(*[DataFrame(stream_id, bytes(10_000)) for _ in range(10)])
        assert peer.goaway is None
    for _ in range(11):
        peer.send(DataFrame(99, b"x"))
    assert peer.goaway is ErrorCode.ENHANCE_YOUR_CALM


def test_an_empty_message_that_uses_up_the_window_ends_its_stream() -> None:
    peer = Peer()
    peer.send(SettingsFrame(settings={SettingsFrame.INITIAL_WINDOW_SIZE: 5}))
    peer.send(peer.headers(1, None, "END_HEADERS", "END_STREAM"))
    peer.connection.hold(True)
    peer.connection.send_response(1, GREETING, bytes(5), b"", GOOD)
    peer.connection.hold(False)
    peer.listen()
    assert peer.said[-1].stream_id == 1
    assert "END_STREAM" in peer.said[-1].flags
    assert peer.connection.is_idle


def test_a_repeated_block_is_read_from_the_cache_until_the_table_changes() -> None:
    read = []

    def interpret(fields: tuple[Field, ...]) -> tuple[Field, ...]:
        read.append(fields)
        return fields

    peer = Peer(interpret=interpret)
    heads = []
    more: list[Field] = [*REQUEST, (b"x", b"1")]
    for number, fields in enumerate((REQUEST, REQUEST, REQUEST, more, REQUEST, more, more, REQUEST)):
        (event,) = peer.send(peer.headers(2 * number + 1, fields))
        assert isinstance(event, RequestReceived)
        heads.append((event.head, tuple(fields)))
    assert all(head == fields for head, fields in heads)
    assert len(read) == 5  # the first, the first from the table, `more`, and each once after the change


def test_replies_are_cached_until_the_peer_changes_the_table_size() -> None:
    peer = Peer()
    decoder = hpack.Decoder()
    fields = ((b":status", b"200"), (b"content-type", b"application/grpc"))
    sizes = []
    for number in range(6):
        peer.send(peer.headers(2 * number + 1, None, "END_HEADERS", "END_STREAM"))
        if number == 3:
            peer.send(SettingsFrame(0, {SettingsFrame.HEADER_TABLE_SIZE: 0}))
        peer.connection.send_headers(2 * number + 1, fields, ((b"x", b"%d" % number),), end=True)
        peer.listen()
        block = peer.heard(HeadersFrame)[-1].data
        sizes.append(len(block))
        assert tuple(decoder.decode(block, raw=True)) == (*fields, (b"x", b"%d" % number))
    assert sizes[1] == sizes[2] < sizes[0]
    assert sizes[4] == sizes[5] > sizes[2]


def test_a_header_block_larger_than_a_frame_goes_on_in_continuations() -> None:
    peer = Peer()
    peer.send(peer.headers(1, None, "END_HEADERS", "END_STREAM"))
    value = bytes(range(0x21, 0x7F)) * 500
    peer.connection.send_headers(1, ((b":status", b"200"),), ((b"x", value),), end=True)
    peer.listen()
    block = b"".join(f.data for f in peer.said if isinstance(f, HeadersFrame | ContinuationFrame))
    assert dict(hpack.Decoder(10**6).decode(block, raw=True))[b"x"] == value
    assert DataReceived not in kinds(peer.send(PingFrame(0)))


GREETING = ((b":status", b"200"), (b"content-type", b"application/grpc"))
GOOD = ((b"grpc-status", b"0"),)


def answer_whole(peer: Peer, stream_id: int, body: bytes) -> None:
    peer.connection.send_response(stream_id, GREETING, b"echo:", body, GOOD)


def answer_in_parts(peer: Peer, stream_id: int, body: bytes) -> None:
    peer.connection.send_headers(stream_id, GREETING)
    peer.connection.send_body(stream_id, b"echo:", body)
    peer.connection.send_trailers(stream_id, GOOD)


def test_a_whole_response_says_what_its_parts_would_say() -> None:
    heard = []
    for answer in (answer_whole, answer_in_parts):
        peer = Peer()
        peer.send(SettingsFrame(0, {SettingsFrame.INITIAL_WINDOW_SIZE: 30_000}))
        for number in range(12):
            stream_id = 2 * number + 1
            peer.send(peer.headers(stream_id, None, "END_HEADERS", *(["END_STREAM"] if number % 3 else [])))
            if number == 4:
                peer.send(SettingsFrame(0, {SettingsFrame.HEADER_TABLE_SIZE: 0}))
            if number == 6:
                peer.send(SettingsFrame(0, {SettingsFrame.HEADER_TABLE_SIZE: 4096}))
            if number == 8:
                peer.connection.send_headers(stream_id, ((b"of", b"another kind"),), end=True)
            answer(peer, stream_id, bytes(20_000 if number in (9, 10) else number))
            peer.listen()
            peer.send(WindowUpdateFrame(0, 50_000))
        assert peer.connection.is_idle
        heard.append(b"".join(frame.serialize() for frame in peer.said))
    assert heard[0] == heard[1]


def test_a_whole_response_waits_for_the_peers_windows_behind_others() -> None:
    peer = Peer()
    peer.send(SettingsFrame(0, {SettingsFrame.INITIAL_WINDOW_SIZE: 100}))
    for stream_id, size in ((1, 5), (3, 5), (5, 200), (7, 5)):
        peer.send(peer.headers(stream_id, None, "END_HEADERS", "END_STREAM"))
        peer.connection.hold(stream_id == 7)
        answer_whole(peer, stream_id, bytes(size))
        peer.listen()
    sizes = [(frame.stream_id, len(frame.data)) for frame in peer.heard(DataFrame)]
    assert sizes == [(1, 10), (3, 10), (5, 100)]
    peer.connection.hold(False)
    peer.send(WindowUpdateFrame(5, 200))
    sizes = [(frame.stream_id, len(frame.data)) for frame in peer.heard(DataFrame)[3:]]
    assert sorted(sizes) == [(5, 105), (7, 10)]
    assert peer.connection.is_idle


def test_a_whole_response_on_a_stream_that_is_gone_says_nothing() -> None:
    peer = Peer()
    peer.send(peer.headers(1), RstStreamFrame(1, 8))
    answer_whole(peer, 1, b"late")
    peer.listen()
    assert peer.said == []


def test_the_end_is_announced_by_a_goaway_and_a_ping_whose_answer_says_that_it_is_known() -> None:
    peer = Peer()
    assert not peer.connection.peer_knows_end
    peer.send(PingFrame(0, b"goodbye!", flags=["ACK"]))  # to a ping that we have not sent
    assert not peer.connection.peer_knows_end
    peer.connection.announce_end()
    peer.listen()
    goaway, ping = peer.said[-2:]
    assert isinstance(goaway, GoAwayFrame) and (goaway.last_stream_id, goaway.error_code) == (2**31 - 1, 0)
    assert isinstance(ping, PingFrame) and not ping.flags
    assert [type(event) for event in peer.send(peer.headers(1))] == [RequestReceived]
    peer.send(PingFrame(0, b"another!", flags=["ACK"]))
    assert not peer.connection.peer_knows_end
    peer.send(PingFrame(0, ping.opaque_data, flags=["ACK"]))
    assert peer.connection.peer_knows_end


def test_the_end_is_announced_to_who_has_not_spoken_yet_once_he_has() -> None:
    peer = Peer(greet=False)
    peer.connection.announce_end()
    peer.listen()
    assert not peer.said
    peer.feed(PREFACE + SettingsFrame(0).serialize())
    assert [type(frame) for frame in peer.said][:1] == [SettingsFrame]
    assert [type(frame) for frame in peer.said if isinstance(frame, GoAwayFrame | PingFrame)] == [
        GoAwayFrame,
        PingFrame,
    ]


def test_who_is_no_peer_any_more_knows_the_end() -> None:
    peer = Peer(greet=False)
    peer.feed(b"GET / HTTP/1.1\r\n")
    assert peer.connection.peer_knows_end


def test_kinds_are_the_same_as_plain_numbers() -> None:
    assert (Kind.DATA, len(Kind)) == (frames.DATA, frames.KINDS)
    assert sorted(Kind) == list(range(frames.KINDS))
