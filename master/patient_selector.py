"""What the master's event loop waits by: its timers are exact, and it may look for a while before it sleeps."""

import math
import os
import select
import selectors
import time
from functools import partial

from mindspore_serving.cluster.patience import Patience
from mindspore_serving.master.outlook import Outlook

_EXACT_SECONDS = 0.1  # up to here a millisecond more or less matters
_MOST_FILES = 1024  # that select(2) knows: FD_SETSIZE
_EARLY_SECONDS = 0.00015  # a sleep of the kernel's ends 50 us late, and to wake up takes up to 90 us
_WORTH_SECONDS = 0.00005  # a shorter rest gives nobody anything


class ExactSelector(selectors.EpollSelector):
    """For asyncio.SelectorEventLoop. epoll_wait(2) sleeps for whole milliseconds, too long for a batch that is due."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """As EpollSelector does it."""
        if timeout is not None and 0 < timeout < _EXACT_SECONDS and self.fileno() < _MOST_FILES:
            select.select([self], [], [], timeout)
            timeout = 0
        return super().select(timeout)


class PatientSelector(ExactSelector):
    """It looks before it sleeps, where that is likely to pay; and sleeps first, where no answer is to be expected yet.

    Who looks has a core. The kernel counts it as taken, and leaves on other cores whoever waits there behind a worker.
    """

    def __init__(self, patience: Patience, outlook: Outlook) -> None:
        super().__init__()
        self._patience = patience
        self._outlook = outlook
        sight = select.poll()
        sight.register(self.fileno(), select.POLLIN)  # of epoll's own file: it is readable when any of them is ready
        self._is_anything_ready = partial(sight.poll, 0)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """As EpollSelector does it."""
        if timeout == 0 or self._is_anything_ready():
            return super().select(0)
        now = time.monotonic()
        until = math.inf if timeout is None else now + timeout
        looks = self._patience.begins(now)
        rest = min(self._outlook.quiet_until - _EARLY_SECONDS, until) - now
        ready: list[tuple[selectors.SelectorKey, int]] = []
        if looks and rest > _WORTH_SECONDS:
            ready = super().select(rest)
            looks = not ready and self._patience.begins(time.monotonic())
        # Whoever else is ready to run goes first.
        if looks and self._patience.look(self._is_anything_ready, time.monotonic, os.sched_yield, until):
            timeout = 0
        elif timeout is not None:
            timeout = max(0.0, until - time.monotonic())
        ready = ready or super().select(timeout)
        if ready:
            self._patience.ends(time.monotonic())
        return ready
