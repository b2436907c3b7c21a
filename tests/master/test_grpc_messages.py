"""gRPC's layer upon HTTP/2: messages however they are cut, compression within bounds, timeouts, texts, metadata."""

import gzip
import tracemalloc
import urllib.parse
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindspore_serving.master.grpc_head import CallHead, RefusedHead, head_reader
from mindspore_serving.master.grpc_messages import (
    LONGEST_TEXT_BYTES,
    MessageReader,
    decode_metadata,
    encode_metadata,
    message_prefix,
    parse_timeout,
    percent_encode,
    short_text,
)
from mindspore_serving.master.http2.headers import Field
from mindspore_serving.master.service_table import CallInfo, RpcFault, Status, Unary


def flagged(compressed: bytes) -> bytes:
    return b"\1" + len(compressed).to_bytes(4, "big") + compressed


def feed(reader: MessageReader, content: bytes, piece_bytes: int = 7) -> None:
    """As from a buffer that is used again."""
    buffer = bytearray(content)
    view = memoryview(buffer)
    reader.feed([view[at : at + piece_bytes] for at in range(0, len(content), piece_bytes)], len(content))
    buffer[:] = bytes(len(content))


@given(st.lists(st.binary(max_size=50), max_size=8), st.lists(st.integers(1, 40), min_size=1), st.booleans())
def test_messages_are_read_however_they_are_cut(messages: list[bytes], cuts: list[int], at_the_end: bool) -> None:
    body = b"".join(
        flagged(gzip.compress(message)) if number % 3 == 2 else message_prefix(message) + message
        for number, message in enumerate(messages)
    )
    reader = MessageReader(b"gzip", 100)
    read = []
    turn = 0
    while body:
        cut = cuts[turn % len(cuts)]
        turn += 1
        feed(reader, body[:cut])
        body = body[cut:]
        while not (at_the_end and body) and (message := reader.take()) is not None:
            read.append(message)
    assert read == messages
    assert (reader.size, reader.missing) == (0, 0)


def refusal(encoding: bytes, body: bytes, largest: int = 1000) -> tuple[Status, str]:
    reader = MessageReader(encoding, largest)
    feed(reader, body)
    with pytest.raises(RpcFault) as raised:
        reader.take()
    return raised.value.status, str(raised.value)


@pytest.mark.parametrize(
    "encoding, body, status, text",
    [
        (b"identity", b"\0\0\0\x10\0", Status.RESOURCE_EXHAUSTED, "larger than max (4096 vs. 1000)"),
        (
            b"gzip",
            flagged(gzip.compress(bytes(10**7), mtime=0)[:900]),
            Status.RESOURCE_EXHAUSTED,
            "larger than max (1001",
        ),
        (b"deflate", flagged(zlib.compress(bytes(10**5))), Status.RESOURCE_EXHAUSTED, "larger than max (1001"),
        (b"identity", flagged(b"abc"), Status.INTERNAL, "without grpc-encoding"),
        (b"gzip", flagged(b"abc"), Status.INTERNAL, "cannot be decompressed"),
        (b"gzip", flagged(gzip.compress(b"abc", mtime=0)[:-1]), Status.INTERNAL, "cannot be decompressed"),
        (b"gzip", flagged(gzip.compress(b"abc", mtime=0) + b"x"), Status.INTERNAL, "cannot be decompressed"),
        (b"gzip", b"\2\0\0\0\0", Status.INTERNAL, "begins with neither 0 nor 1"),
    ],
)
def test_a_message_that_cannot_be_had_is_refused(encoding: bytes, body: bytes, status: Status, text: str) -> None:
    found, said = refusal(encoding, body)
    assert found is status
    assert text in said


def test_a_message_too_large_is_refused_from_its_first_bytes_on() -> None:
    reader = MessageReader(b"identity", 1000)
    feed(reader, b"\0\0\0\x03\xe9")
    with pytest.raises(RpcFault):
        assert reader.missing


@pytest.mark.parametrize(
    "text, seconds",
    [(b"2H", 7200), (b"3M", 180), (b"10S", 10), (b"250m", 0.25), (b"99999999u", 99.999999), (b"5n", 5e-9), (b"0S", 0)],
)
def test_timeouts_are_read(text: bytes, seconds: float) -> None:
    assert parse_timeout(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", [b"", b"S", b"1", b"-1S", b"1.5S", b"123456789S", b"1s", b"1 S"])
def test_other_timeouts_are_refused(text: bytes) -> None:
    with pytest.raises(RpcFault):
        parse_timeout(text)


@given(st.text())
def test_any_text_is_a_status_message(text: str) -> None:
    encoded = percent_encode(text)
    assert all(0x20 <= byte < 0x7F for byte in encoded)
    assert urllib.parse.unquote_to_bytes(encoded) == text.encode("utf-8", "replace")


@given(st.text(), st.integers(1, 5000))
def test_a_status_message_is_no_longer_than_clients_take(text: str, times: int) -> None:
    short = short_text(text * times)
    assert len(percent_encode(short)) <= LONGEST_TEXT_BYTES
    if len(percent_encode(text * times)) <= LONGEST_TEXT_BYTES:
        assert short == text * times
    else:
        assert short.endswith(" ...") and (text * times).startswith(short[:-4])


@given(st.binary(max_size=40))
def test_binary_metadata_comes_back(value: bytes) -> None:
    ((name, encoded),) = encode_metadata([("Key-bin", value)])
    assert b"=" not in encoded
    assert decode_metadata(name, encoded) == [("key-bin", value)]
    assert decode_metadata(name, encoded + b"," + encoded) == [("key-bin", value)] * 2


FIELDS: list[Field] = [(b":method", b"POST"), (b":path", b"/S/M"), (b"content-type", b"application/grpc+proto")]


def head(*more: Field, fields: list[Field] = FIELDS) -> CallHead | RefusedHead:
    async def handler(_: bytes, __: CallInfo) -> bytes:
        raise AssertionError

    return head_reader({"S": {"M": Unary(handler)}})((*fields, *more))


def test_a_call_has_its_timeout_encoding_and_metadata() -> None:
    call = head((b"grpc-timeout", b"5S"), (b"grpc-encoding", b"gzip"), (b"a", b"1"), (b"a", b"2"), (b"b-bin", b"AAE"))
    assert isinstance(call, CallHead)
    assert (call.timeout_seconds, call.encoding) == (5.0, b"gzip")
    assert call.metadata == (("a", "1"), ("a", "2"), ("b-bin", b"\0\1"))


@pytest.mark.parametrize(
    "refused, http_status, status",
    [
        (head(fields=[*FIELDS[:2], (b"content-type", b"application/json")]), b"415", Status.UNKNOWN),
        (head(fields=FIELDS[:2]), b"415", Status.UNKNOWN),
        (head(fields=[(b":method", b"GET"), *FIELDS[1:]]), b"405", Status.INTERNAL),
        (head(fields=[FIELDS[0], (b":path", b"/S/Other"), FIELDS[2]]), b"200", Status.UNIMPLEMENTED),
        (head((b"grpc-encoding", b"snappy")), b"200", Status.UNIMPLEMENTED),
        (head((b"grpc-timeout", b"soon")), b"200", Status.INTERNAL),
        (head((b"x-bin", b"!")), b"200", Status.INTERNAL),
    ],
)
def test_a_call_that_cannot_be_served_is_refused(
    refused: CallHead | RefusedHead, http_status: bytes, status: Status
) -> None:
    assert isinstance(refused, RefusedHead)
    assert (refused.http_status, refused.fault.status) == (http_status, status)


def test_a_body_in_tiny_pieces_is_kept_in_few() -> None:
    reader = MessageReader(b"identity", 1 << 20)
    message = bytes(range(250)) * 400
    body = message_prefix(message) + message
    for at in range(0, len(body), 2):
        feed(reader, body[at : at + 2])
    assert len(reader._chunks) <= len(body) // 2048 + 1
    assert reader.take() == message


def test_a_large_message_is_kept_once() -> None:
    message = bytes(8 << 20)
    body = message_prefix(message) + message
    reader = MessageReader(b"identity", 8 << 20)
    tracemalloc.start()
    try:
        for at in range(0, len(body), 1 << 18):
            feed(reader, body[at : at + (1 << 18)], 1 << 14)
        taken = reader.take()
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()
    assert taken == message


def test_a_message_that_is_only_promised_takes_no_memory() -> None:
    reader = MessageReader(b"identity", 1 << 30)
    tracemalloc.start()
    try:
        feed(reader, b"\0\x3f\0\0\0beginning", 1000)
        assert tracemalloc.get_traced_memory()[1] < 10_000
    finally:
        tracemalloc.stop()
    assert reader.missing == 0x3F000000 - len(b"beginning")
