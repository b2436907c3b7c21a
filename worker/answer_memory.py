"""Memory of the master's in which the worker lays large answers: no socket copies them. See cluster/direct.py."""

import contextlib
import mmap
from collections.abc import Sequence

from mindspore_serving.cluster.arena import Arena
from mindspore_serving.cluster.direct import MARK_BYTES, MARKED, Place
from mindspore_serving.cluster.tensors import Buffer


class AnswerMemory:
    """`memory`: mapped to be written. One thread at a time."""

    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = memory
        self._arena = Arena(len(memory))
        self._marks: list[int] = []  # of the frames that the master may still read

    def put(self, frames: Sequence[Buffer]) -> list[Place] | None:
        """Copies the frames here. Where they lie; None: there is no room for them now."""
        self._take_back()
        marks: list[int] = []
        for frame in frames:
            mark = self._arena.take(MARK_BYTES + len(frame))
            if mark is None:
                for taken in marks:
                    self._arena.give_back(taken)
                return None
            marks.append(mark)
        places = []
        for mark, frame in zip(marks, frames, strict=True):
            start = mark + MARK_BYTES
            self._memory[mark] = MARKED
            self._memory[start : start + len(frame)] = frame
            places.append(Place(start, len(frame)))
        self._marks += marks
        return places

    def tidy(self) -> None:
        """Gives back to the system what nobody reads any more. To be called now and then; it costs next to nothing."""
        self._take_back()
        if spare := self._arena.spare():
            with contextlib.suppress(OSError):  # a kernel that cannot: it stays
                self._memory.madvise(mmap.MADV_REMOVE, *spare)

    def _take_back(self) -> None:
        for mark in [mark for mark in self._marks if self._memory[mark] != MARKED]:
            self._marks.remove(mark)
            self._arena.give_back(mark)
