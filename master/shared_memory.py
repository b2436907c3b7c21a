"""Memory that master and worker of one machine share: large frames lie there, and no socket copies them.

A file without a name (memfd_create(2)), which the worker gets a descriptor of: nothing is left behind, whatever either
dies of. The file is sealed: nobody can make it shorter while the other one reads. cluster/direct.py says who may use
what of it, and how long.
"""

import contextlib
import fcntl
import mmap
import os
import weakref
from collections.abc import Sequence

import numpy as np

from mindspore_serving.cluster.arena import Arena, aligned
from mindspore_serving.cluster.direct import MARK_BYTES, Place
from mindspore_serving.cluster.errors import FrameError
from mindspore_serving.cluster.tensors import Borrowed, Buffer, Frame, Pieces

# For each worker and way: two of the largest batches, and more. Only what is used of it is there.
NBYTES = 256 << 20


class SharedMemory:
    """Of one worker. Raises OSError where there can be none. `fd` is for handing over, until close_descriptor()."""

    def __init__(self, nbytes: int = NBYTES) -> None:
        self.fd = os.memfd_create("mindspore-serving", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(self.fd, nbytes)
            fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
            self._memory = mmap.mmap(self.fd, nbytes)
        except BaseException:
            os.close(self.fd)
            raise

    def close_descriptor(self) -> None:
        """The memory stays; its descriptor has been handed over. May be called again."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class RequestMemory(SharedMemory):
    """The master's frames. The worker reads a batch there until it has answered; then its place is free again."""

    def __init__(self, nbytes: int = NBYTES) -> None:
        super().__init__(nbytes)
        self._arena = Arena(nbytes)
        self._starts: dict[int, int] = {}  # by key

    def put(self, key: int, frames: Sequence[Frame]) -> list[Place] | None:
        """Copies the frames here, until give_back(key). Where they lie; None: there is no room for them now."""
        nbytes = sum([aligned(len(frame)) for frame in frames])
        start = None if key in self._starts else self._arena.take(nbytes)
        if start is None:
            return None
        self._starts[key] = start
        places = []
        for frame in frames:
            places.append(Place(start, len(frame)))
            at = start
            for part in frame.parts if isinstance(frame, Pieces) else (frame,):
                self._write(at, part)
                at += len(part)
            start += aligned(len(frame))
        return places

    def _write(self, at: int, part: Buffer | Borrowed) -> None:
        if isinstance(part, Borrowed):
            with memoryview(self._memory)[at : at + len(part)] as room:
                part.read_into(room)
        else:
            self._memory[at : at + len(part)] = part

    def give_back(self, key: int) -> None:
        """Nobody reads the frames of this key any more, if there are any."""
        start = self._starts.pop(key, None)
        if start is None:
            return
        self._arena.give_back(start)
        if spare := self._arena.spare():
            with contextlib.suppress(OSError):  # a kernel that cannot: it stays
                self._memory.madvise(mmap.MADV_REMOVE, *spare)

    def close(self) -> None:
        """The worker may still read what it has."""
        self._memory.close()
        self.close_descriptor()


class AnswerMemory(SharedMemory):
    """The worker's frames. A place is the worker's again when nothing here refers to the frame any more."""

    def frame_at(self, place: Place) -> memoryview:
        """What the worker has laid there, to be read only. Raises FrameError."""
        start, nbytes = place
        if start < MARK_BYTES or nbytes == 0 or start + nbytes > len(self._memory):
            raise FrameError("a frame lies where there is no memory")
        # Views of views all refer to this array, and it goes with the last of them.
        array = np.frombuffer(self._memory, np.uint8, nbytes, start)
        weakref.finalize(array, self._clear_mark, start - MARK_BYTES).atexit = False
        return array.data.toreadonly()

    def _clear_mark(self, at: int) -> None:
        self._memory[at] = 0
