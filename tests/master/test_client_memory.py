"""Regions of clients' memory: which may be registered, what is read and written there, and who knows of them."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from mindspore_serving.cluster.addresses import Address
from mindspore_serving.cluster.errors import SetupError
from mindspore_serving.master.client_memory import ClientMemory, client_memory
from mindspore_serving.master.config import MasterConfig, parse_memory_names
from mindspore_serving.master.error_status import (
    ALREADY_THERE,
    FORBIDDEN,
    INTERNAL,
    INVALID,
    NOT_FOUND,
    OVERLOADED,
    UNIMPLEMENTED,
    CallFault,
    Fate,
)
from mindspore_serving.master.region_table import MOST_REGIONS, RegionTable, table_for
from tests.master.posix_memory import NBYTES, PREFIX, PosixMemory, sharing
from tests.processes import ROOT

NAMES = (f"{PREFIX}*",)
WAIT_SECONDS = 60


@pytest.fixture
def memory() -> Iterator[ClientMemory]:
    found = sharing()
    yield found
    found.close()


def fault(call: Callable[[], object]) -> tuple[Fate, str]:
    with pytest.raises(CallFault) as caught:
        call()
    assert "\n" not in str(caught.value)
    return caught.value.fate, str(caught.value)


def open_descriptors(path: str) -> int:
    return sum(os.path.realpath(f"/proc/self/fd/{fd}") == path for fd in os.listdir("/proc/self/fd"))


def test_what_a_client_has_laid_there_is_read(memory: ClientMemory, shm: PosixMemory) -> None:
    shm.buffer[100:104] = b"abcd"
    memory.register("r", shm.key, 96, 16)
    part = memory.part("r", 4, 4)
    assert (len(part), part.joined()) == (4, b"abcd")
    room = bytearray(4)
    part.read_into(memoryview(room))
    assert room == b"abcd"
    shm.buffer[100:104] = b"efgh"
    assert part.joined() == b"efgh"  # not before it is wanted


def test_what_is_written_the_client_has(memory: ClientMemory, shm: PosixMemory) -> None:
    memory.register("r", shm.key, 96, 16)
    memory.part("r", 4, 8).write(memoryview(b"abcd"))
    assert bytes(shm.buffer[98:106]) == b"\0\0abcd\0\0"


def test_a_name_counts_with_its_slash_or_without(memory: ClientMemory, shm: PosixMemory) -> None:
    memory.register("r", shm.key.removeprefix("/"), 0, 16)
    memory.register("s", shm.key, 0, 16)
    named = ClientMemory([shm.key], RegionTable())
    named.register("r", shm.key, 0, 16)
    assert len(named.regions("r")) == 1


def test_the_regions_are_told_until_they_are_unregistered(memory: ClientMemory, shm: PosixMemory) -> None:
    for number in range(3):
        memory.register(f"r{number}", shm.key, number, 16)
    assert [(one.name, one.key, one.offset, one.nbytes) for one in memory.regions("r1")] == [("r1", shm.key, 1, 16)]
    memory.unregister("r1")
    memory.unregister("nobody")
    assert [one.name for one in memory.regions("")] == ["r0", "r2"]
    assert fault(lambda: memory.regions("r1")) == (NOT_FOUND, "no shared memory region 'r1' is registered")
    assert fault(lambda: memory.part("r1", 0, 1)) == (NOT_FOUND, "no shared memory region 'r1' is registered")
    memory.unregister("")
    assert memory.regions("") == []


def test_a_part_outlives_its_region_and_then_the_file_is_closed(memory: ClientMemory, shm: PosixMemory) -> None:
    before = open_descriptors(shm.path)
    memory.register("r", shm.key, 0, 16)
    part = memory.part("r", 0, 4)
    memory.unregister("r")
    shm.buffer[:4] = b"late"
    assert part.joined() == b"late"
    assert open_descriptors(shm.path) == before + 1
    del part
    assert open_descriptors(shm.path) == before


@pytest.mark.parametrize(
    "key, fate, text",
    [
        ("/other", FORBIDDEN, "key '/other': --shared-memory of the master allows mindspore-serving-test-*"),
        ("/mindspore-serving-test-x", NOT_FOUND, "there is no shared memory '/mindspore-serving-test-x' on the"),
        ("", INVALID, "key '' should be a shared memory's name: '/', then 1 to 255 other bytes"),
        ("/", INVALID, "key '/' should be"),
        ("/..", INVALID, "key '/..' should be"),
        ("/../shm/mindspore-serving-test-x", INVALID, "should be a shared memory's name"),
        ("//mindspore-serving-test-x", INVALID, "should be a shared memory's name"),
        ("/mindspore-serving-test-\0", INVALID, "key '/mindspore-serving-test-?' should be"),
        ("/mindspore-serving-test-" + "ä" * 120, INVALID, "should be a shared memory's name"),
    ],
)
def test_a_memory_that_may_not_be_had_is_refused(memory: ClientMemory, key: str, fate: Fate, text: str) -> None:
    given_fate, given_text = fault(lambda: memory.register("r", key, 0, 1))
    assert given_fate is fate and text in given_text


def test_a_region_has_a_name(memory: ClientMemory, shm: PosixMemory) -> None:
    for name in ("", "x" * 256):
        fate, text = fault(partial(memory.register, name, shm.key, 0, 1))
        assert fate is INVALID and text.startswith("a region's name has 1 to 255 bytes, given '")


@pytest.mark.parametrize("offset, nbytes", [(0, NBYTES + 1), (NBYTES, 1), (0, 0), (-1, 2), (0, -1), (2**63, 1)])
def test_a_region_lies_inside_its_memory(memory: ClientMemory, shm: PosixMemory, offset: int, nbytes: int) -> None:
    fate, text = fault(lambda: memory.register("r", shm.key, offset, nbytes))
    assert fate is INVALID
    assert text.endswith(f"has {NBYTES} bytes, given are offset {offset} and byte_size {nbytes}") and shm.key in text
    assert memory.regions("") == []


@pytest.mark.parametrize("offset, nbytes", [(0, 17), (16, 1), (-1, 2), (0, -1), (2**64, 1)])
def test_a_part_lies_inside_its_region(memory: ClientMemory, shm: PosixMemory, offset: int, nbytes: int) -> None:
    memory.register("r", shm.key, 0, 16)
    given = f"given are shared_memory_offset {offset} and shared_memory_byte_size {nbytes}"
    assert fault(lambda: memory.part("r", offset, nbytes)) == (INVALID, f"region 'r' has 16 bytes, {given}")


def test_a_region_is_registered_once(memory: ClientMemory, shm: PosixMemory) -> None:
    memory.register("r", shm.key, 0, 16)
    fate, text = fault(lambda: memory.register("r", shm.key, 0, 8))
    assert (fate, text) == (ALREADY_THERE, f"region 'r' is registered already, of '{shm.key}': unregister it first")
    memory.unregister("r")
    memory.register("r", shm.key, 0, 8)
    assert fault(lambda: memory.part("r", 0, 9))[0] is INVALID


def test_there_are_so_many_regions_and_no_more(memory: ClientMemory, shm: PosixMemory) -> None:
    for number in range(MOST_REGIONS):
        memory.register(f"{number:0255}", shm.key, 0, 1)
    text = f"{MOST_REGIONS} regions are registered, the most there can be: unregister some"
    assert fault(lambda: memory.register("more", shm.key, 0, 1)) == (OVERLOADED, text)
    assert len(memory.regions("")) == MOST_REGIONS
    memory.unregister("")


def test_memory_that_became_smaller_is_refused_and_later_read_as_zeros(memory: ClientMemory, shm: PosixMemory) -> None:
    """Whoever maps it dies of that."""
    shm.buffer[:] = b"x" * NBYTES
    memory.register("r", shm.key, 0, NBYTES)
    part = memory.part("r", 0, NBYTES)
    os.truncate(shm.path, 10)
    assert part.joined() == b"x" * 10 + bytes(NBYTES - 10)
    room = bytearray(b"o" * NBYTES)
    part.read_into(memoryview(room))
    assert room == b"x" * 10 + bytes(NBYTES - 10)
    text = f"region 'r': shared memory '{shm.key}' has become smaller, register it again"
    assert fault(lambda: memory.part("r", 0, 11)) == (INVALID, text)
    assert memory.part("r", 0, 10).joined() == b"x" * 10


def test_what_cannot_be_read_any_more_is_read_as_zeros(
    memory: ClientMemory, shm: PosixMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its batch is on its way: nobody could be told."""

    def fail(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    shm.buffer[:4] = b"abcd"
    memory.register("r", shm.key, 0, 4)
    part = memory.part("r", 0, 4)
    for name in ("pread", "preadv"):
        monkeypatch.setattr(os, name, fail)
    assert part.joined() == bytes(4)


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, lambda path: os.symlink("/dev/zero", path)])
def test_what_is_no_memory_is_refused(memory: ClientMemory, make: Callable[[str], None]) -> None:
    with PosixMemory(1) as shm:
        path = shm.path + "-other"
        make(path)
        try:
            refusal = fault(lambda: memory.register("r", shm.key + "-other", 0, 1))
        finally:
            (os.rmdir if Path(path).is_dir() and not Path(path).is_symlink() else os.unlink)(path)
        assert refusal == (INVALID, f"key '{shm.key}-other' is no shared memory")


def test_memory_that_the_master_may_not_touch_is_refused(
    memory: ClientMemory, shm: PosixMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    for error, fate, words in (
        (PermissionError(13, "Permission denied"), FORBIDDEN, "may not be read and written by the master's user"),
        (OSError(24, "Too many open files"), INTERNAL, "cannot be opened: Too many open files"),
    ):

        def refuse(*_: object, error: OSError = error) -> int:
            raise error

        monkeypatch.setattr(os, "open", refuse)
        assert fault(lambda: memory.register("r", shm.key, 0, 1)) == (fate, f"shared memory '{shm.key}' {words}")


def test_without_the_option_nothing_is_shared() -> None:
    memory = client_memory(MasterConfig(grpc=Address("127.0.0.1", 1), ctrl=Address("127.0.0.1", 2)))
    assert not memory.is_on
    text = "the master was started without --shared-memory: send tensors in requests"
    for call in (
        lambda: memory.register("r", "/r", 0, 1),
        lambda: memory.unregister(""),
        lambda: memory.regions(""),
        lambda: memory.part("r", 0, 1),
    ):
        assert fault(call) == (UNIMPLEMENTED, text)


def test_a_table_needs_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    assert table_for(()) is None
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    with pytest.raises(SetupError, match="--shared-memory needs a folder for temporary files: "):
        table_for(("x",))


@pytest.mark.parametrize("text", ["", "/", "a/b", "/a/b", "//a"])
def test_a_name_that_no_memory_has_is_refused(text: str) -> None:
    with pytest.raises(SetupError, match=f"--shared-memory '{text}' is not a name of shared memory, nor a pattern"):
        parse_memory_names(text)


# --- several processes


def test_another_memory_of_the_name_is_not_taken_for_the_registered_one(shm: PosixMemory) -> None:
    table = RegionTable()
    ClientMemory(NAMES, table).register("r", shm.key, 0, 16)
    os.rename(shm.path, shm.path + "-before")
    Path(shm.path).write_bytes(bytes(NBYTES))
    try:
        refusal = fault(lambda: ClientMemory(NAMES, table).part("r", 0, 4))
    finally:
        os.rename(shm.path + "-before", shm.path)
    assert refusal == (NOT_FOUND, f"region 'r': '{shm.key}' is another memory now, register it again")


def test_processes_that_were_forked_know_the_same(shm: PosixMemory) -> None:
    """In a process of its own: this one has threads, and had better not fork."""
    program = [sys.executable, "-m", "tests.master.forked_memories", shm.key]
    told = subprocess.run(program, cwd=ROOT, timeout=WAIT_SECONDS, capture_output=True, text=True)
    assert (told.returncode, told.stderr) == (0, ""), told.stderr


def test_a_change_that_fails_changes_nothing(shm: PosixMemory) -> None:
    table = RegionTable()
    ClientMemory(NAMES, table).register("r", shm.key, 0, 1)
    before = table.read()

    def fail() -> None:
        with table.change() as regions:
            regions.clear()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert table.read() == before
