"""Which shared memory clients have registered: one table for all processes of a master, made before they are forked.

A client's next call may come to another process than its registration did. The table is in memory that they share. Each
change is written beside what stands, and then counts by one number: who reads meanwhile reads what was before, and a
process that is killed in the middle has changed nothing.
"""

import contextlib
import fcntl
import mmap
import os
import struct
import tempfile
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgpack

from mindspore_serving.cluster.errors import SetupError
from mindspore_serving.master.memory_part import OpenFile

MOST_REGIONS = 512  # each takes a descriptor of every process that uses it
_HALF_BYTES = 1 << 19  # of that many, with names of MOST_NAME_BYTES
MOST_NAME_BYTES = 255  # of a region, and of its memory: a file's name has no more (NAME_MAX)
_NUMBER = struct.Struct("<Q")  # of the last change; even ones stand in the first half
_LENGTH = struct.Struct("<I")


class Region(NamedTuple):
    """Part of a shared memory. device, inode: of its file, so that another one of its name is not taken for it."""

    name: str
    key: str
    offset: int
    nbytes: int
    device: int
    inode: int


class RegionTable:
    """Of no regions at first. Raises OSError where there can be no file to lock."""

    def __init__(self) -> None:
        with tempfile.TemporaryFile() as file:
            self._lock = OpenFile(os.dup(file.fileno()))
        self._memory = mmap.mmap(-1, _NUMBER.size + 2 * _HALF_BYTES)

    @property
    def number(self) -> int:
        """Another one after each change."""
        return int(_NUMBER.unpack_from(self._memory)[0])

    def read(self) -> tuple[int, dict[str, Region]]:
        """The number of the last change, and the regions since."""
        while True:
            number = self.number
            start = _start(number)
            (length,) = _LENGTH.unpack_from(self._memory, start)
            start += _LENGTH.size
            packed = self._memory[start : start + length]
            if self.number == number:
                rows = msgpack.unpackb(packed) if packed else []
                return number, {row[0]: Region(*row) for row in rows}

    @contextlib.contextmanager
    def change(self) -> Iterator[dict[str, Region]]:
        """What stands when the block ends counts, unless it raises. No other process changes anything meanwhile."""
        fcntl.lockf(self._lock.fd, fcntl.LOCK_EX)
        try:
            number, regions = self.read()
            yield regions
            packed = msgpack.packb(list(regions.values()))
            start = _start(number + 1)
            _LENGTH.pack_into(self._memory, start, len(packed))
            self._memory[start + _LENGTH.size : start + _LENGTH.size + len(packed)] = packed
            _NUMBER.pack_into(self._memory, 0, number + 1)
        finally:
            fcntl.lockf(self._lock.fd, fcntl.LOCK_UN)


def table_for(names: Sequence[str]) -> RegionTable | None:
    """A table, if clients may register memory of some names. Raises SetupError."""
    try:
        return RegionTable() if names else None
    except OSError as error:
        raise SetupError(f"--shared-memory needs a folder for temporary files: {error}") from error


def _start(number: int) -> int:
    return _NUMBER.size + number % 2 * _HALF_BYTES
