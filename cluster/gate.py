"""In which order a worker begins the batches of its masters. Suspects run alone, and after a word of their master.

A suspect is an instance whose worker has died once. With several masters, its next worker may die of another master's
work, which must not count against it; and a dead worker cannot tell. So the worker asks before it begins: a death
counts from the master's Go on. Batches that come later wait meanwhile.

    ordinary: WAITING --no suspect before it--> RUNNING
    suspect:  WAITING --first, nothing runs--> ASKED --Go--> RUNNING      WAITING, ASKED --master lost--> gone
"""

import dataclasses
from collections import deque
from dataclasses import dataclass
from typing import Final

from mindspore_serving.cluster.messages import RunBatch

_UNNOTICED_SECONDS = 0.001


@dataclass(init=False, slots=True)
class Ticket:
    """A batch at the gate, and the registration that it was sent to."""

    master: Final[str]
    registration: Final[int]
    batch: Final[RunBatch]
    arrived_at: Final[float]

    def __init__(self, master: str, registration: int, batch: RunBatch, arrived_at: float) -> None:
        self.master = master
        self.registration = registration
        self.batch = batch
        self.arrived_at = arrived_at

    def batch_at(self, now: float) -> RunBatch:
        """The batch, with the seconds that are left when it starts now."""
        waited = now - self.arrived_at
        if self.batch.seconds_left is None or waited < _UNNOTICED_SECONDS:
            return self.batch
        return dataclasses.replace(self.batch, seconds_left=max(0.0, self.batch.seconds_left - waited))


@dataclass(init=False, slots=True)
class Ask:
    """Ask the master whether this may begin."""

    ticket: Final[Ticket]

    def __init__(self, ticket: Ticket) -> None:
        self.ticket = ticket


@dataclass(init=False, slots=True)
class Start:
    """Run this now."""

    ticket: Final[Ticket]

    def __init__(self, ticket: Ticket) -> None:
        self.ticket = ticket


class Gate:
    """One for each worker. What a method returns is to be carried out, in this order."""

    def __init__(self) -> None:
        self._waiting: deque[Ticket] = deque()
        self._running = 0
        self._asked: Ticket | None = None
        self._suspect_runs = False

    @property
    def is_idle(self) -> bool:
        """Nothing runs, and nothing waits."""
        return not self._running and not self._waiting

    def arrived(self, ticket: Ticket) -> list[Ask | Start]:
        """A master has sent a batch."""
        self._waiting.append(ticket)
        return self._advance()

    def go(self, master: str, batch_id: int) -> list[Ask | Start]:
        """The master lets its suspect run."""
        asked = self._asked
        if asked is None or (asked.master, asked.batch.batch_id) != (master, batch_id):
            return []  # to a question that has been dropped since
        self._asked = None
        self._waiting.popleft()
        self._running += 1
        self._suspect_runs = True
        return [Start(asked)]

    def finished(self) -> list[Ask | Start]:
        """A batch that ran is done. A suspect that ran was the only one."""
        self._running -= 1
        self._suspect_runs = False
        return self._advance()

    def lost(self, master: str) -> tuple[int, list[Ask | Start]]:
        """The master has given its work to others. How many of its batches will not run, and what is to be done."""
        before = len(self._waiting)
        self._waiting = deque(ticket for ticket in self._waiting if ticket.master != master)
        if self._asked is not None and self._asked.master == master:
            self._asked = None
        return before - len(self._waiting), self._advance()

    def _advance(self) -> list[Ask | Start]:
        steps: list[Ask | Start] = []
        while self._waiting and not self._suspect_runs and self._asked is None:
            first = self._waiting[0]
            if not first.batch.alone:
                self._waiting.popleft()
                self._running += 1
                steps.append(Start(first))
            elif self._running:
                break
            else:
                self._asked = first
                steps.append(Ask(first))
        return steps
