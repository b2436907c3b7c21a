"""How long a thread with nothing to do keeps looking before it sleeps: busy polling, where that is likely to pay.

To be woken up takes a thread some 5 us on a busy core and 45 to 90 us on a halted one of a virtual machine, and it
begins with cold caches. A thread that looks again and again is there at once, and costs a core meanwhile. So it looks
only where the next thing is likely to come soon, by what the last waits were like. It is the spin-then-block rule, in
its adaptive form, of Karlin, Li, Manasse and Owicki, Empirical studies of competitive spinning for a shared-memory
multiprocessor (1991).
"""

import math
from collections.abc import Callable

POLL_SECONDS = 0.001  # long enough for the pauses of one caller of a small model, see docs/measurements.md
_WEIGHT = 0.125  # of the last wait in the forecast
_CROWDED_SECONDS = 0.0003


class Patience:
    """Of one thread, for its waits one after the other: begins(), look() where that pays, ends().

    Nothing was seen at first: it sleeps until half a dozen waits have been short. `now` is in seconds.
    """

    def __init__(self, poll_seconds: float = POLL_SECONDS) -> None:
        self._poll_seconds = poll_seconds
        self._forecast_seconds = self._longest_seconds = 2 * poll_seconds
        self._began_at = self._offered_at = -math.inf
        self._is_crowded = False

    def begins(self, now: float) -> bool:
        """A wait begins. Whether to look, rather than to sleep at once."""
        self._began_at = now
        self._is_crowded = False
        return self._forecast_seconds < self._poll_seconds

    @property
    def forecast_seconds(self) -> float:
        """What the next wait is likely to take."""
        return self._forecast_seconds

    def look(
        self,
        has_come: Callable[[], object],
        clock: Callable[[], float],
        offer: Callable[[], object],
        until: float = math.inf,
        is_crowded: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Looks whether something has come, until that is not worth it; in between it offers its core to others.

        is_crowded: whether others wait for a core all the same, on another one. It is asked when a wait is not short.
        """
        while not has_come():
            now = clock()
            if now >= until or not self.goes_on(now):
                return False
            if now - self._began_at >= _CROWDED_SECONDS and is_crowded():
                self._learn(self._longest_seconds)
                return False
            offer()
            self.offered(clock())
        return True

    def goes_on(self, now: float) -> bool:
        """Whether to look once more: then the core is offered first."""
        self._offered_at = now
        return not self._is_crowded and now - self._began_at < self._poll_seconds

    def offered(self, now: float) -> None:
        """The core is ours again. Where others had it for long, the next look is the last one."""
        if now - self._offered_at >= _CROWDED_SECONDS:
            self._is_crowded = True
            self._learn(self._longest_seconds)  # a reason to sleep the next time, too

    def ends(self, now: float) -> None:
        """What it waited for is there, whether it looked or slept."""
        self._learn(now - self._began_at)

    def _learn(self, seconds: float) -> None:
        seen = min(seconds, self._longest_seconds)  # one long wait is not to outweigh all that came before it
        self._forecast_seconds += _WEIGHT * (seen - self._forecast_seconds)
