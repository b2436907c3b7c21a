"""Messages on a stream: whatever the sizes of frames and of reads, what comes out is what went in."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindspore_serving.cluster.direct import MAX_FRAME_BYTES, READ_BYTES, FrameReader, Outbox, Place, parts_of
from mindspore_serving.cluster.errors import FrameError

SIZES = st.one_of(st.integers(0, 40), st.sampled_from([READ_BYTES - 12, READ_BYTES - 11, READ_BYTES, 3 * READ_BYTES]))
MESSAGES = st.lists(st.lists(SIZES, min_size=1, max_size=5), max_size=6)


def drain(outbox: Outbox, step: int) -> bytes:
    """What the outbox sends when the kernel takes at most `step` bytes at a time."""
    sent = b""
    while outbox:
        chunks = b"".join(outbox.chunks())[:step]
        sent += chunks
        outbox.sent(len(chunks))
    return sent


def feed(reader: FrameReader, data: bytes, step: int) -> list[list[bytes]]:
    messages = []
    while data:
        room = reader.buffer()[:step]
        count = min(len(room), len(data))
        assert count
        room[:count] = data[:count]
        data = data[count:]
        messages += reader.received(count)
    return [[bytes(frame) for frame in frames] for frames in messages]


@given(MESSAGES, st.integers(1, 4 * READ_BYTES), st.integers(500, 4 * READ_BYTES))
def test_messages_survive_any_cut(sizes: list[list[int]], reads: int, writes: int) -> None:
    messages = [[bytes([number % 251]) * size for number, size in enumerate(frames)] for frames in sizes]
    outbox = Outbox()
    for frames in messages:
        outbox.put(frames)
    reader = FrameReader()
    assert feed(reader, drain(outbox, writes), max(reads, 50)) == messages
    assert feed(reader, drain(_said([b"more"]), writes), 1) == [[b"more"]]


def _said(frames: list[bytes]) -> Outbox:
    outbox = Outbox()
    outbox.put(frames)
    return outbox


@given(st.lists(st.integers(0, 30), min_size=1, max_size=3), st.data())
def test_small_messages_survive_being_read_byte_by_byte(sizes: list[int], data: st.DataObject) -> None:
    frames = [data.draw(st.binary(min_size=size, max_size=size)) for size in sizes]
    assert feed(FrameReader(), drain(_said(frames), 7), 1) == [frames]


def test_frames_of_a_read_message_are_its_own() -> None:
    reader = FrameReader()
    (first,) = feed(reader, drain(_said([b"first"]), 100), 100)
    feed(reader, drain(_said([b"other"]), 100), 100)
    assert first == [b"first"]


@pytest.mark.parametrize("start", [struct.pack("<IQ", 0, 1), struct.pack("<IQ", 1025, 1), b"GET / HTTP/1.1"])
def test_a_stream_of_something_else_is_refused(start: bytes) -> None:
    with pytest.raises(FrameError, match="1 to 1024 frames"):
        feed(FrameReader(), start, 100)


def test_a_frame_that_nobody_could_hold_is_refused_before_it_comes() -> None:
    with pytest.raises(FrameError, match="a frame has at most"):
        feed(FrameReader(), struct.pack("<IQ", 1, MAX_FRAME_BYTES + 1), 100)


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=4), st.integers(1, 400), st.integers(1, 400))
def test_placed_frames_are_read_where_they_lie(sizes: list[int], reads: int, writes: int) -> None:
    memory = memoryview(bytes(number % 251 for number in range(20_000)))
    starts = [sum(sizes[:number]) for number in range(len(sizes))]
    outbox = Outbox()
    outbox.put_placed(b"header", [Place(start, size) for start, size in zip(starts, sizes, strict=True)])
    outbox.put([b"next"])
    expected = [bytes(memory[start : start + size]) for start, size in zip(starts, sizes, strict=True)]
    assert feed(FrameReader(parts_of(memory)), drain(outbox, writes), reads) == [[b"header", *expected], [b"next"]]


@pytest.mark.parametrize("place", [Place(90, 11), Place(1 << 62, 1), Place(101, 0)])
@pytest.mark.parametrize("nbytes", [None, 100])
def test_a_frame_that_lies_nowhere_is_refused(nbytes: int | None, place: Place) -> None:
    outbox = Outbox()
    outbox.put_placed(b"header", [place])
    frame_at = None if nbytes is None else parts_of(memoryview(bytes(nbytes)))
    text = "none was handed over" if nbytes is None else "a frame lies where there is no memory"
    with pytest.raises(FrameError, match=text):
        feed(FrameReader(frame_at), drain(outbox, 100), 100)


def test_a_message_is_in_the_memory_or_too_large_to_be_read_at_once_but_not_both() -> None:
    outbox = Outbox()
    outbox.put_placed(bytes(READ_BYTES), [Place(0, 1)])
    with pytest.raises(FrameError, match="a large message has frames elsewhere"):
        feed(FrameReader(parts_of(memoryview(b"x"))), drain(outbox, 100), 100)
