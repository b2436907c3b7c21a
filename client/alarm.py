"""A thread that calls back at given times, for pending calls that wait for their next attempt."""

import heapq
import itertools
import threading
import time
from collections.abc import Callable


class Alarm:
    """A thread while somebody waits. close() calls back whoever still does, at once, and so does at() from then on."""

    def __init__(self) -> None:
        self._news = threading.Condition()
        self._waiting: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()  # decides between equal moments
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def at(self, moment: float, call_back: Callable[[], None]) -> None:
        """Calls back at a moment of time.monotonic(), in the alarm's thread."""
        with self._news:
            if not self._is_closed:
                heapq.heappush(self._waiting, (moment, next(self._numbers), call_back))
                self._news.notify()
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="mindspore-serving retries", daemon=True)
                    self._thread.start()
                return
        call_back()

    def close(self) -> None:
        """May be called again, and from a call-back."""
        with self._news:
            self._is_closed = True
            self._news.notify()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _run(self) -> None:
        while True:
            with self._news:
                while self._waiting and not self._is_closed and not self._is_due():
                    self._news.wait(self._waiting[0][0] - time.monotonic())
                if not self._waiting:
                    self._thread = None  # a client that is never closed must not leave a thread behind
                    return
                _, _, call_back = heapq.heappop(self._waiting)
            call_back()

    def _is_due(self) -> bool:
        return self._waiting[0][0] <= time.monotonic()
