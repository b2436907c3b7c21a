"""A part of a file in which a client keeps tensors: read and written, and never mapped.

A client may make its memory smaller at any time, and whoever touches a mapping beyond the end dies of it.
"""

import contextlib
import os

from mindspore_serving.cluster.tensors import Borrowed, Buffer


class OpenFile:
    """Closes its descriptor when nobody refers to it any more."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __del__(self) -> None:
        os.close(self.fd)


class Part(Borrowed):
    """So many bytes from `start` on. The file stays open as long as anybody has a part of it."""

    def __init__(self, file: OpenFile, start: int, nbytes: int) -> None:
        self._file = file
        self._start = start
        self._nbytes = nbytes

    def __len__(self) -> int:
        return self._nbytes

    @property
    def is_there(self) -> bool:
        """Whether the file still goes so far."""
        return self._start + self._nbytes <= os.fstat(self._file.fd).st_size

    def read_into(self, room: memoryview) -> None:
        """Fills the room, which is as long as this; with zeros where the file has ended, or cannot be read."""
        done = 0
        with contextlib.suppress(OSError):
            while done < self._nbytes and (count := os.preadv(self._file.fd, [room[done:]], self._start + done)):
                done += count
        room[done:] = bytes(self._nbytes - done)

    def joined(self) -> bytes:
        """As one buffer."""
        with contextlib.suppress(OSError):
            data = os.pread(self._file.fd, self._nbytes, self._start)
            if len(data) == self._nbytes:
                return data
        room = bytearray(self._nbytes)
        self.read_into(memoryview(room))
        return bytes(room)

    def write(self, data: Buffer) -> None:
        """From its start on. Raises OSError."""
        left, start = memoryview(data), self._start
        while left:
            count = os.pwrite(self._file.fd, left, start)
            left = left[count:]
            start += count
