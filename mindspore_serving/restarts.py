"""When a child process that has ended is started again. Pure: moments are numbers passed in."""

import signal
from dataclasses import dataclass

FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 30.0
HEALTHY_SECONDS = 60.0  # a process that served so long starts with a clean record


@dataclass(frozen=True)
class Ended:
    """A process that has ended."""

    was_ready: bool
    has_answered: bool
    lived_seconds: float
    was_told: bool = False  # to end, and said so


class Restarts:
    """The record of one process. `only_after_an_answer`: the rule of MindSpore Serving 2.x against crash loops."""

    def __init__(self, only_after_an_answer: bool) -> None:
        self._only_after_an_answer = only_after_an_answer
        self._wait_seconds = FIRST_WAIT_SECONDS

    def wait_seconds(self, ended: Ended) -> float | None:
        """How long to wait before the next start; None: it has gone for good.

        Whoever was told to end is wanted no more, however that went. Of itself no process ends: where one has, with
        whatever exit code, that was its user's code, or a fault. Each start that ends soon doubles the wait.
        """
        if ended.was_told:
            return None
        if self._only_after_an_answer and not ended.has_answered:
            return None
        if ended.lived_seconds >= HEALTHY_SECONDS and ended.was_ready:
            self._wait_seconds = FIRST_WAIT_SECONDS
        wait = self._wait_seconds
        self._wait_seconds = min(LONGEST_WAIT_SECONDS, wait * 2)
        return wait


def how_it_ended(code: int) -> str:
    """In words; the code is negative for a signal."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
