"""Memory that a master shares with a worker: copied there once, kept until the answer, and gone with both."""

import errno
import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mindspore_serving.cluster.tensors import Pieces
from mindspore_serving.master.shared_memory import SharedMemory

MIB = 1 << 20


@pytest.fixture
def memory() -> Iterator[SharedMemory]:
    found = SharedMemory(64 * MIB)
    yield found
    found.close()


def resident_bytes(memory: SharedMemory) -> int:
    return os.fstat(memory.fd).st_blocks * 512


def test_frames_lie_where_it_says_for_who_has_the_descriptor(memory: SharedMemory) -> None:
    places = memory.put(1, [b"abc" * 1000, Pieces([b"x" * 10, b"", b"y" * 20])])
    assert places is not None
    with mmap.mmap(memory.fd, 0, access=mmap.ACCESS_READ) as seen:
        assert [seen[start : start + size] for start, size in places] == [b"abc" * 1000, b"x" * 10 + b"y" * 20]
    assert all(start % 64 == 0 for start, _ in places)


def test_what_is_not_given_back_stays(memory: SharedMemory) -> None:
    (kept,) = memory.put(1, [b"a" * 100]) or []
    (given,) = memory.put(2, [b"b" * 100]) or []
    memory.give_back(2)
    (again,) = memory.put(3, [b"c" * 100]) or []
    assert again == given != kept
    with mmap.mmap(memory.fd, 0, access=mmap.ACCESS_READ) as seen:
        assert seen[kept.start : kept.start + 100] == b"a" * 100


def test_without_room_nothing_is_put(memory: SharedMemory) -> None:
    assert memory.put(1, [bytes(40 * MIB)]) is not None
    assert memory.put(2, [bytes(40 * MIB)]) is None
    memory.give_back(2)  # of who has nothing here
    memory.give_back(1)
    assert memory.put(2, [bytes(40 * MIB)]) is not None


def test_a_key_has_one_place_at_a_time(memory: SharedMemory) -> None:
    assert memory.put(1, [b"first"]) is not None
    assert memory.put(1, [b"second"]) is None


def test_unused_memory_goes_back_to_the_system(memory: SharedMemory) -> None:
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


def test_nobody_makes_it_shorter(memory: SharedMemory) -> None:
    with pytest.raises(OSError) as caught:
        os.ftruncate(memory.fd, 0)
    assert caught.value.errno == errno.EPERM


def test_nothing_is_left_behind() -> None:
    memory = SharedMemory(MIB)
    assert "memfd:mindspore-serving" in Path("/proc/self/maps").read_text()
    memory.close()
    assert "memfd:mindspore-serving" not in Path("/proc/self/maps").read_text()
