"""A thread that does one piece of work after the other, later stages first.

Each process has one of them for MindSpore: two threads that call Cells at once crash the process, so this one makes
every call, whichever servable asks. Each servable has one more for its Python stages.
"""

import heapq
import itertools
import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol, TypeVar

logger = logging.getLogger("mindspore_serving.worker")

T = TypeVar("T")


class Pastime(Protocol):
    """What a thread does while it has nothing to do, in that thread."""

    def begins(self, has_work: Callable[[], bool]) -> None:
        """Nothing is to be done. Returns when has_work(), or any time before: then the thread sleeps."""

    def wake(self) -> None:
        """Something is to be done: from any thread, and at any time."""

    def ends(self) -> None:
        """Something is done from now on."""


_END = 1 << 30  # a priority after all work

_Item = tuple[int, int, Callable[[], None] | None]


class WorkThread:
    """Starts at once. A daemon: nothing can interrupt a model that computes, and a process must be able to end."""

    def __init__(self, name: str) -> None:
        # What is posted is put in order by the thread itself: a queue.PriorityQueue takes 26 us, this 19.
        self._posted: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        self._order = itertools.count()
        self._pastime: Pastime | None = None
        self._begun: Pastime | None = None  # the last one that began: it may be going on
        self._own_thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._own_thread.start()

    def post(self, stage: int, work: Callable[[], None]) -> None:
        """Does this work soon; work of a later stage goes first, so that batches which have begun are finished."""
        self._put((-stage, next(self._order), work))

    def call(self, function: Callable[[], T]) -> T:
        """Runs the function in this thread and returns what it returns, or raises what it raises."""
        future: Future[T] = Future()

        def work() -> None:
            try:
                future.set_result(function())
            except BaseException as error:  # whatever a user's code raises belongs to the caller
                future.set_exception(error)

        self.post(0, work)
        return future.result()

    def while_idle(self, pastime: Pastime | None) -> None:
        """What to do from now on while there is nothing to do; None: sleep."""
        self._pastime = pastime

    def close(self, seconds: float | None = None) -> bool:
        """Finishes what was posted, then ends the thread. False: something still runs after so many seconds."""
        if self._own_thread.is_alive():
            self._put((_END, next(self._order), None))
        self._own_thread.join(seconds)
        return not self._own_thread.is_alive()

    def _put(self, item: _Item) -> None:
        self._posted.put(item)
        if self._begun is not None:
            self._begun.wake()

    def _run(self) -> None:
        waiting: list[_Item] = []
        while True:
            if not waiting:
                waiting.append(self._first())
            while not self._posted.empty():
                heapq.heappush(waiting, self._posted.get())
            _, _, work = heapq.heappop(waiting)
            if work is None:
                return
            try:
                work()
            except Exception:
                logger.exception("a fault of the worker's own")

    def _first(self) -> _Item:
        pastime = self._pastime
        if pastime is None:
            return self._posted.get()
        self._begun = pastime
        pastime.begins(self._has_work)
        item = self._posted.get()
        pastime.ends()
        return item

    def _has_work(self) -> bool:
        return not self._posted.empty()
