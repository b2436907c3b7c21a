"""What the master's event loop waits by: it looks for a while before it sleeps, where that is likely to pay."""

import os
import selectors
import time

from mindspore_serving.cluster.patience import Patience


class PatientSelector(selectors.EpollSelector):
    """For asyncio.SelectorEventLoop."""

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
