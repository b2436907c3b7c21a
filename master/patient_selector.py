"""What the master's event loop waits by: its timers are exact, and it may look for a while before it sleeps."""

import os
import select
import selectors
import time

from mindspore_serving.cluster.patience import Patience

_EXACT_SECONDS = 0.1  # up to here a millisecond more or less matters
_MOST_FILES = 1024  # that select(2) knows: FD_SETSIZE


class ExactSelector(selectors.EpollSelector):
    """For asyncio.SelectorEventLoop. epoll_wait(2) sleeps for whole milliseconds, too long for a batch that is due."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """As EpollSelector does it."""
        if timeout is not None and 0 < timeout < _EXACT_SECONDS and self.fileno() < _MOST_FILES:
            select.select([self], [], [], timeout)
            timeout = 0
        return super().select(timeout)


class PatientSelector(ExactSelector):
    """It looks before it sleeps, where that is likely to pay."""

    def __init__(self, patience: Patience) -> None:
        super().__init__()
        self._patience = patience

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """As EpollSelector does it."""
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        began_at = now = time.monotonic()
        if self._patience.begins(now):
            while not ready and self._patience.goes_on(now) and (timeout is None or now - began_at < timeout):
                os.sched_yield()  # whoever else is ready to run goes first
                self._patience.offered(time.monotonic())
                ready = super().select(0)
                now = time.monotonic()
        if not ready:
            ready = super().select(None if timeout is None else max(0.0, timeout - (now - began_at)))
        if ready:
            self._patience.ends(time.monotonic())
        return ready
