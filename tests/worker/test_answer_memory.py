"""Large answers in the master's memory: a place is used again when the master has cleared its mark, and not before."""

import mmap
import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindspore_serving.cluster.direct import MARK_BYTES, Place
from mindspore_serving.worker.answer_memory import AnswerMemory

MIB = 1 << 20


class Shared:
    """The memory as the master sees it, and the worker's part of it."""

    def __init__(self, nbytes: int) -> None:
        self.fd = os.memfd_create("test")
        os.ftruncate(self.fd, nbytes)
        self.seen = mmap.mmap(self.fd, nbytes)
        self.answers = AnswerMemory(mmap.mmap(self.fd, nbytes))

    def frame(self, place: Place) -> bytes:
        return self.seen[place.start : place.start + place.nbytes]

    def clear(self, place: Place) -> None:
        self.seen[place.start - MARK_BYTES] = 0

    @property
    def resident_bytes(self) -> int:
        return os.fstat(self.fd).st_blocks * 512


@pytest.fixture
def shared() -> Iterator[Shared]:
    found = Shared(64 * MIB)
    yield found
    os.close(found.fd)


def test_a_place_is_used_again_when_its_mark_is_cleared(shared: Shared) -> None:
    (first,) = shared.answers.put([b"a" * 1000]) or []
    (second,) = shared.answers.put([b"b" * 1000]) or []
    shared.clear(first)
    (third,) = shared.answers.put([memoryview(b"c" * 900)]) or []
    assert third.start == first.start != second.start
    assert shared.frame(second) == b"b" * 1000 and shared.frame(third) == b"c" * 900


def test_frames_of_one_answer_are_free_one_by_one(shared: Shared) -> None:
    places = shared.answers.put([b"a" * 100, b"b" * 200, b"c" * 300])
    assert places is not None and [shared.frame(place)[:1] for place in places] == [b"a", b"b", b"c"]
    assert all(place.start % 64 == 0 for place in places)
    shared.clear(places[1])
    (again,) = shared.answers.put([b"d" * 150]) or []
    assert again.start == places[1].start
    assert shared.frame(places[0]) == b"a" * 100 and shared.frame(places[2]) == b"c" * 300


def test_an_answer_that_finds_no_room_takes_none(shared: Shared) -> None:
    assert shared.answers.put([bytes(40 * MIB), bytes(30 * MIB)]) is None
    assert shared.answers.put([bytes(60 * MIB)]) is not None


def test_what_nobody_reads_goes_back_to_the_system_when_it_is_tidied(shared: Shared) -> None:
    places = shared.answers.put([bytes(16 * MIB)] * 2)
    assert places is not None
    shared.clear(places[1])
    shared.answers.tidy()
    assert shared.resident_bytes >= 32 * MIB  # the other one is still read
    shared.clear(places[0])
    shared.answers.tidy()
    assert shared.resident_bytes <= 8 * MIB
    (place,) = shared.answers.put([b"z" * 16 * MIB]) or []
    assert shared.frame(place) == b"z" * 16 * MIB


@given(st.lists(st.one_of(st.integers(1, 5000), st.none()), max_size=60))
def test_what_is_read_never_changes(steps: list[int | None]) -> None:
    """A number puts a frame of so many bytes; None lets the master forget its oldest."""
    shared = Shared(20_000)
    read: list[tuple[Place, bytes]] = []
    for number, size in enumerate(steps):
        if size is None:
            if read:
                shared.clear(read.pop(0)[0])
        else:
            frame = bytes([number % 251]) * size
            for place in shared.answers.put([frame]) or []:
                read.append((place, frame))
        assert all(shared.frame(place) == frame for place, frame in read)
    os.close(shared.fd)
