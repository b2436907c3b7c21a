"""When a Client tries a call again, where, and after how long. Pure: time and chance are arguments.

gRPC's own retries (channel_options.py) end after five attempts, about a second. These go on until the deadline.
"""

import threading
from dataclasses import dataclass

OUTAGE_SECONDS = 10.0
_FIRST_WAIT_SECONDS = 0.05
_LONGEST_WAIT_SECONDS = 0.5
_LAST_TRY_SECONDS = 0.1  # a last attempt is made when so much time is left
_A_MOMENT_SECONDS = 0.001  # less than that is no time to wait for
_FIRST_REST_SECONDS = 0.25
_LONGEST_REST_SECONDS = 8.0


@dataclass(frozen=True, slots=True)
class RetryRules:
    """What the user chose. `outage_seconds`: for how long a call without a deadline is tried again."""

    enabled: bool = True
    outage_seconds: float = OUTAGE_SECONDS


class RetryBudget:
    """Bounds what retries add to the load: a share of the calls that succeed, and a few a second. Thread-safe.

    When nobody gets through, there is no load to spare: after a run of failures retries are free, and only their
    waits hold them back.
    """

    SHARE = 0.05
    PER_SECOND = 10.0
    AT_START = 100.0
    AT_MOST = 1000.0
    RUN_OF_AN_OUTAGE = 20

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tokens = self.AT_START
        self._counted_at: float | None = None
        self._failures_in_a_row = 0

    def succeeded(self) -> None:
        """A call got its answer."""
        with self._lock:
            self._failures_in_a_row = 0
            self._tokens = min(self.AT_MOST, self._tokens + self.SHARE)

    def charge(self, now: float) -> float:
        """An attempt failed and is to be made again. Returns the seconds until the budget allows it, 0 as a rule."""
        with self._lock:
            self._failures_in_a_row += 1
            if self._failures_in_a_row > self.RUN_OF_AN_OUTAGE:
                return 0.0
            if self._counted_at is not None and self._tokens < self.AT_START:
                self._tokens = min(self.AT_START, self._tokens + (now - self._counted_at) * self.PER_SECOND)
            self._counted_at = now
            self._tokens -= 1
            return max(0.0, -self._tokens / self.PER_SECOND)


class Rotation:
    """Takes turns between channels; one that failed rests for a while, unless all do. Thread-safe."""

    def __init__(self, count: int) -> None:
        self._lock = threading.Lock()
        self._turn = 0
        self._rest_until = [float("-inf")] * count
        self._rest_seconds = [0.0] * count

    def pick(self, now: float) -> int:
        """The channel whose turn it is."""
        with self._lock:
            count = len(self._rest_until)
            turns = [(self._turn + step) % count for step in range(count)]
            choice = next((index for index in turns if self._rest_until[index] <= now), turns[0])
            self._turn = (choice + 1) % count
            return choice

    def succeeded(self, index: int) -> None:
        """The channel works."""
        with self._lock:
            self._rest_seconds[index] = 0.0
            self._rest_until[index] = float("-inf")

    def failed(self, index: int, now: float) -> bool:
        """The channel does not work: it rests, longer each time. Says whether there is one that does not rest."""
        with self._lock:
            if self._rest_until[index] <= now:  # once for all the calls that fail together
                longer = min(_LONGEST_REST_SECONDS, max(_FIRST_REST_SECONDS, 2 * self._rest_seconds[index]))
                self._rest_seconds[index] = longer
                self._rest_until[index] = now + longer
            return any(until <= now for until in self._rest_until)


class Waits:
    """The retries of one call."""

    def __init__(self, rules: RetryRules, budget: RetryBudget, deadline: float | None) -> None:
        self._rules = rules
        self._budget = budget
        self._end = deadline
        self._next_wait = _FIRST_WAIT_SECONDS

    def after_failure(self, now: float, chance: float, at_least: float, another_is_ready: bool) -> float | None:
        """Seconds until the next attempt, None to give up. `chance`: a random number of [0, 1).

        Waits double from 0.05 s to 0.5 s, and half of each is random, so that callers do not come back together.
        Nothing is waited when another channel is ready. `at_least`: what the server asked for.
        """
        if not self._rules.enabled:
            return None
        if self._end is None:
            self._end = now + self._rules.outage_seconds
        left = self._end - now
        until_last_try = left - _LAST_TRY_SECONDS
        must = max(at_least, self._budget.charge(now))
        if until_last_try < _A_MOMENT_SECONDS or must > left:
            return None
        wait = 0.0
        if not another_is_ready:
            wait = min(self._next_wait * (1 + chance) / 2, until_last_try)
            self._next_wait = min(_LONGEST_WAIT_SECONDS, 2 * self._next_wait)
        return max(wait, must)
