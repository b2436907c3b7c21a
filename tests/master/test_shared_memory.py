"""Memory that a master shares with a worker: copied there once, kept until the answer, and gone with both."""

import errno
import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mindspore_serving.cluster.direct import MARK_BYTES, MARKED, Place
from mindspore_serving.cluster.errors import FrameError
from mindspore_serving.cluster.tensors import Pieces, Stacked, join_columns
from mindspore_serving.master.shared_memory import AnswerMemory, RequestMemory, SharedMemory
from tests.master.posix_memory import HALF, NBYTES, PosixMemory, sharing

MIB = 1 << 20


@pytest.fixture
def memory() -> Iterator[RequestMemory]:
    found = RequestMemory(64 * MIB)
    yield found
    found.close()


def resident_bytes(memory: SharedMemory) -> int:
    return os.fstat(memory.fd).st_blocks * 512


def test_frames_lie_where_it_says_for_who_has_the_descriptor(memory: RequestMemory) -> None:
    places = memory.put(1, [b"abc" * 1000, Pieces([b"x" * 10, b"", b"y" * 20])])
    assert places is not None
    with mmap.mmap(memory.fd, 0, access=mmap.ACCESS_READ) as seen:
        assert [seen[start : start + size] for start, size in places] == [b"abc" * 1000, b"x" * 10 + b"y" * 20]
    assert all(start % 64 == 0 for start, _ in places)


def test_what_clients_have_in_memory_of_theirs_is_read_into_its_place(memory: RequestMemory, shm: PosixMemory) -> None:
    """Large tensors of several requests, joined: of their memory and of messages."""
    lent = sharing()
    lent.register("r", shm.key, 0, NBYTES)
    shm.buffer[:] = b"a" * HALF + b"b" * HALF
    columns = [
        Stacked("|u1", (1, HALF), data) for data in (lent.part("r", HALF, HALF), b"c" * HALF, lent.part("r", 0, HALF))
    ]
    joined = join_columns(columns)
    assert isinstance(joined, Stacked) and isinstance(joined.frame, Pieces)
    places = memory.put(1, [b"before" * 5000, joined.frame, lent.part("r", 0, 10)])
    assert places is not None
    with mmap.mmap(memory.fd, 0, access=mmap.ACCESS_READ) as seen:
        frames = [seen[start : start + size] for start, size in places]
    assert frames == [b"before" * 5000, b"b" * HALF + b"c" * HALF + b"a" * HALF, b"a" * 10]
    assert joined.data == frames[1]


def test_what_is_not_given_back_stays(memory: RequestMemory) -> None:
    (kept,) = memory.put(1, [b"a" * 100]) or []
    (given,) = memory.put(2, [b"b" * 100]) or []
    memory.give_back(2)
    (again,) = memory.put(3, [b"c" * 100]) or []
    assert again == given != kept
    with mmap.mmap(memory.fd, 0, access=mmap.ACCESS_READ) as seen:
        assert seen[kept.start : kept.start + 100] == b"a" * 100


def test_without_room_nothing_is_put(memory: RequestMemory) -> None:
    assert memory.put(1, [bytes(40 * MIB)]) is not None
    assert memory.put(2, [bytes(40 * MIB)]) is None
    memory.give_back(2)  # of who has nothing here
    memory.give_back(1)
    assert memory.put(2, [bytes(40 * MIB)]) is not None


def test_a_key_has_one_place_at_a_time(memory: RequestMemory) -> None:
    assert memory.put(1, [b"first"]) is not None
    assert memory.put(1, [b"second"]) is None


def test_unused_memory_goes_back_to_the_system(memory: RequestMemory) -> None:
    for key in (1, 2):
        assert memory.put(key, [bytes(16 * MIB)]) is not None
    assert resident_bytes(memory) >= 32 * MIB
    memory.give_back(1)
    assert resident_bytes(memory) >= 32 * MIB
    memory.give_back(2)
    assert resident_bytes(memory) <= 8 * MIB
    places = memory.put(3, [b"z" * 16 * MIB])
    assert places is not None
    with mmap.mmap(memory.fd, 0, access=mmap.ACCESS_READ) as seen:
        assert seen[: 16 * MIB] == b"z" * 16 * MIB


def test_nobody_makes_it_shorter(memory: RequestMemory) -> None:
    with pytest.raises(OSError) as caught:
        os.ftruncate(memory.fd, 0)
    assert caught.value.errno == errno.EPERM


def test_nothing_is_left_behind() -> None:
    memory = RequestMemory(MIB)
    assert "memfd:mindspore-serving" in Path("/proc/self/maps").read_text()
    memory.close()
    assert "memfd:mindspore-serving" not in Path("/proc/self/maps").read_text()


def answer_memory() -> tuple[AnswerMemory, mmap.mmap]:
    """What the master has, and what its worker makes of the descriptor."""
    memory = AnswerMemory(MIB)
    written = mmap.mmap(memory.fd, 0)
    memory.close_descriptor()
    return memory, written


def test_the_mark_of_an_answer_stays_while_anything_refers_to_it() -> None:
    memory, written = answer_memory()
    written[0] = MARKED
    written[MARK_BYTES : MARK_BYTES + 6] = b"answer"
    frame = memory.frame_at(Place(MARK_BYTES, 6))
    assert bytes(frame) == b"answer" and frame.readonly
    part = memoryview(frame)[3:]
    del frame
    assert written[0] == MARKED and bytes(part) == b"wer"
    del part
    assert written[0] == 0


def test_an_answer_outlives_its_memory_object() -> None:
    memory, written = answer_memory()
    written[MARK_BYTES : MARK_BYTES + 6] = b"answer"
    frame = memory.frame_at(Place(MARK_BYTES, 6))
    del memory
    assert bytes(frame) == b"answer"
    del frame
    written.close()
    assert "memfd:mindspore-serving" not in Path("/proc/self/maps").read_text()


@pytest.mark.parametrize("place", [Place(0, 1), Place(MARK_BYTES - 1, 1), Place(MARK_BYTES, MIB), Place(MIB, 1)])
def test_an_answer_lies_behind_its_mark_in_the_memory(place: Place) -> None:
    memory, _ = answer_memory()
    with pytest.raises(FrameError, match="no memory"):
        memory.frame_at(place)


def test_a_descriptor_that_was_handed_over_is_not_kept() -> None:
    before = len(os.listdir("/proc/self/fd"))
    memory = AnswerMemory(MIB)
    memory.close_descriptor()
    memory.close_descriptor()
    assert len(os.listdir("/proc/self/fd")) == before + 1  # that of the mapping
