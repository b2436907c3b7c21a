"""What the master's event loop waits by: its timers are exact, and it may look for a while before it sleeps."""

import contextlib
import math
import os
import select
import selectors
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from mindspore_serving.cluster.patience import Patience
from mindspore_serving.master.outlook import Outlook

_EXACT_SECONDS = 0.1  # up to here a millisecond more or less matters
_MOST_FILES = 1024  # that select(2) knows: FD_SETSIZE
_EARLY_SECONDS = 0.00015  # a sleep of the kernel's ends 50 us late, and to wake up takes up to 90 us
_WORTH_SECONDS = 0.00005  # a shorter rest gives nobody anything

_IN: Final = 0x1  # EPOLLIN, and
_OUT: Final = 0x4  # EPOLLOUT, of epoll_ctl(2)

Callback: TypeAlias = Callable[[], object]
Ready: TypeAlias = list[tuple[int, int]]  # descriptors, and what can be done with each
Selected: TypeAlias = list[tuple[selectors.SelectorKey, int]]


class _Watch:
    """Who is called when a descriptor can be read or written."""

    __slots__ = ("reader", "writer")

    def __init__(self) -> None:
        self.reader: Callback | None = None
        self.writer: Callback | None = None


class ExactSelector:
    """For asyncio.SelectorEventLoop. epoll_wait(2) sleeps for whole milliseconds, too long for a batch that is due.

    What is watched here is called while the loop selects: as asyncio's own, it would take a key, a handle and a place
    in the loop's queue for each time. asyncio's own descriptors are in a selector of their own, which is in this one.
    `on_fault` is told what a callback raises.
    """

    def __init__(self) -> None:
        self.on_fault: Callable[[BaseException], None] | None = None
        self._epoll = select.epoll()
        self._watches: dict[int, _Watch] = {}
        self._others = selectors.EpollSelector()
        self._epoll.register(self._others.fileno(), _IN)

    def watch_reading(self, fd: int, reader: Callback | None) -> bool:
        """From now on this is called when the descriptor can be read; None: nobody. Returns whether somebody was."""
        watch = self._watches.get(fd) or _Watch()
        had = watch.reader is not None
        watch.reader = reader
        self._note(fd, watch)
        return had

    def watch_writing(self, fd: int, writer: Callback | None) -> bool:
        """The same for writing."""
        watch = self._watches.get(fd) or _Watch()
        had = watch.writer is not None
        watch.writer = writer
        self._note(fd, watch)
        return had

    def select(self, timeout: float | None = None) -> Selected:
        """Calls who is watched, and returns what of asyncio's is ready, as a selector of Python's does."""
        selected: Selected = []
        for fd, events in self._wait(timeout):
            watch = self._watches.get(fd)
            if watch is None:  # or it was until another one's callback
                if fd == self._others.fileno():
                    selected = self._others.select(0)
                continue
            # An error or the peer's end is for whoever is there, as in Python's selectors.
            if watch.reader is not None and events & ~_OUT:
                self._call(watch.reader)
            if watch.writer is not None and events & ~_IN:
                self._call(watch.writer)
        return selected

    def close(self) -> None:
        """Nobody is watched any more."""
        self._watches.clear()
        self._others.close()
        self._epoll.close()

    # What asyncio asks for descriptors of its own.

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """As in selectors.BaseSelector."""
        return self._others.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """As in selectors.BaseSelector."""
        return self._others.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """As in selectors.BaseSelector."""
        return self._others.modify(fileobj, events, data)

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        """As in selectors.BaseSelector."""
        return self._others.get_key(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """As in selectors.BaseSelector."""
        return self._others.get_map()

    def _wait(self, timeout: float | None) -> Ready:
        return self._sleep(timeout)

    def _sleep(self, timeout: float | None) -> Ready:
        if timeout is None:
            return self._epoll.poll(None, self._most())
        if 0 < timeout < _EXACT_SECONDS and self._epoll.fileno() < _MOST_FILES:
            select.select([self._epoll], [], [], timeout)
            timeout = 0.0
        return self._epoll.poll(max(0.0, timeout), self._most())

    def _look(self) -> Ready:
        return self._epoll.poll(0, self._most())

    def _most(self) -> int:
        return len(self._watches) + 1

    def _call(self, callback: Callback) -> None:
        try:
            callback()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            if self.on_fault is None:
                raise
            self.on_fault(error)

    def _note(self, fd: int, watch: _Watch) -> None:
        events = (0 if watch.reader is None else _IN) | (0 if watch.writer is None else _OUT)
        if fd not in self._watches:
            if events:
                self._epoll.register(fd, events)
                self._watches[fd] = watch
        elif events:
            self._epoll.modify(fd, events)
        else:
            del self._watches[fd]
            with contextlib.suppress(OSError):  # it is closed, and with that not there any more
                self._epoll.unregister(fd)


class PatientSelector(ExactSelector):
    """It looks before it sleeps, where that is likely to pay; and sleeps first, where no answer is to be expected yet.

    Who looks has a core. The kernel counts it as taken, and leaves on other cores whoever waits there behind a worker.
    """

    def __init__(self, patience: Patience, outlook: Outlook) -> None:
        super().__init__()
        self._patience = patience
        self._outlook = outlook
        self._seen: Ready = []

    def _wait(self, timeout: float | None) -> Ready:
        ready = self._look()
        if ready or timeout == 0:
            return ready
        now = time.monotonic()
        until = math.inf if timeout is None else now + timeout
        looks = self._patience.begins(now)
        rest = min(self._outlook.quiet_until - _EARLY_SECONDS, until) - now
        if looks and rest > _WORTH_SECONDS:
            ready = self._sleep(rest)
            looks = not ready and self._patience.begins(time.monotonic())
        # Whoever else is ready to run goes first.
        if looks and self._patience.look(self._sees, time.monotonic, os.sched_yield, until):
            ready = self._seen
        if not ready:
            ready = self._sleep(None if timeout is None else max(0.0, until - time.monotonic()))
        if ready:
            self._patience.ends(time.monotonic())
        return ready

    def _sees(self) -> bool:
        self._seen = self._look()
        return bool(self._seen)
