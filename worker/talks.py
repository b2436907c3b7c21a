"""The worker's talks with its masters: a Session and a Line for each of them, one Purse and one Gate for all.

A master of several processes tells of its others: each of them is a master like those that the worker was given.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mindspore_serving.cluster.gate import Ask, Gate, Start, Ticket
from mindspore_serving.cluster.messages import RunBatch
from mindspore_serving.cluster.purse import Purse
from mindspore_serving.cluster.session import Offer, Session, SessionState
from mindspore_serving.cluster.session_events import (
    Action,
    BatchFinished,
    Close,
    CreditChanged,
    DeviceGotOn,
    DrainRequested,
    Event,
    FirstCreditChanged,
    GoAhead,
    InService,
    Kept,
    KnownToSiblings,
    Meet,
    Report,
    Run,
    Send,
    Tick,
    TurnCame,
)
from mindspore_serving.cluster.siblings import Households, Sibling, sibling_endpoint
from mindspore_serving.worker.inbox import Inbox
from mindspore_serving.worker.line import Line

logger = logging.getLogger("mindspore_serving.worker")

_FAREWELL_SECONDS = 30.0  # for what other masters have open when one of them has refused the worker


@dataclass(frozen=True, slots=True)
class End:
    """How the worker's talk with its masters ended; `refusal` is the reason of a master that would not have it.

    `is_hung`: a master gave the worker up because its device does not get on. What runs there may never end.
    `has_failed`: no master ended it, but a fault of the worker's own, which `refusal` tells.
    """

    master: str
    refusal: str | None = None
    is_hung: bool = False
    has_failed: bool = False


class Talks:
    """Whoever calls holds the link's lock; lines are opened and closed in the link's thread alone.

    `open_line(master)` connects. `start(master, registration, batch)` runs a batch, and does not wait for it.
    `on_registered(master)` is called at every registration, when the master gives work.
    """

    def __init__(
        self,
        masters: Sequence[str],
        offer: Offer,
        open_line: Callable[[str], Line],
        start: Callable[[str, int, RunBatch], None],
        inbox: Inbox,
        on_registered: Callable[[str], None],
    ) -> None:
        self.end = End(masters[0])
        self._offer = offer
        self._connect = open_line
        self._start = start
        self._inbox = inbox
        self._on_registered = on_registered
        self._purse = Purse(masters)
        self._gate = Gate()
        now = time.monotonic()
        self._sessions = {master: Session(offer, now, self._purse.credit(master)) for master in masters}
        self._lines: dict[str, Line] = {}
        self._met_at: dict[str, str] = {}  # sibling -> the master that told of it
        self._households: Households[str] = Households()
        self._is_leaving = False

    @property
    def is_idle(self) -> bool:
        """No batch runs, and none waits."""
        return self._gate.is_idle

    @property
    def lines(self) -> list[Line]:
        """Those that are open."""
        return list(self._lines.values())

    def only_line(self) -> tuple[str, Line] | None:
        """If it is the only one, and direct: other threads than the link's may read it, and answer by it."""
        if len(self._lines) != 1:
            return None
        ((master, line),) = self._lines.items()
        return (master, line) if line.is_direct else None

    def open(self) -> None:
        """Begins to talk to all of them."""
        for master in self._sessions:
            self._open_line(master)

    def next_wakeup(self) -> float | None:
        """When keep_time() has something to do if nothing happens before; None when all talks are over."""
        wakeups = [session.next_wakeup() for session in self._sessions.values()]
        return min([moment for moment in wakeups if moment is not None], default=None)

    def keep_time(self) -> None:
        """To be called at that moment, and after whatever happens."""
        now = time.monotonic()
        for master, session in list(self._sessions.items()):
            wakeup = session.next_wakeup()
            if wakeup is not None and wakeup <= now:
                self.handle(master, Tick())
        if self._met_at:
            self._forget_siblings()

    def tell(self, whom: str | None, event: Event) -> None:
        """What another thread has left for this master, or for every one."""
        self._is_leaving = self._is_leaving or (whom is None and isinstance(event, DrainRequested))
        for master in self._open_masters() if whom is None else [whom]:
            if isinstance(event, BatchFinished):
                self.finish(master, event)
            else:
                self.handle(master, event)

    def finish(self, master: str, event: BatchFinished) -> None:
        """A batch that was started is done."""
        self._purse.finished(master)
        self.handle(master, event)
        if len(self._sessions) > 1:
            for other in self._sessions.keys() - {master}:
                self.handle(other, DeviceGotOn())
        self._go_on(self._gate.finished())

    def handle(self, master: str, event: Event) -> None:
        """Anything else that has happened in the talk with this one."""
        session = self._sessions.get(master)
        if session is None:  # of a sibling that is not there any more
            return
        before = session.state
        for action in session.handle(event, time.monotonic()):
            self._carry_out(master, action)
        if session.state is before:
            return
        if session.state is SessionState.SERVING:
            for one in self._households.registered(master):
                self.handle(one, KnownToSiblings())
            return
        self._households.lost(master)
        if session.state is SessionState.REGISTERING:
            self._share(self._purse.lost(master))
        if session.state is not SessionState.DRAINING:
            dropped, steps = self._gate.lost(master)
            for _ in range(dropped):
                self._purse.finished(master)
            self._go_on(steps)

    def fail(self, reason: str) -> None:
        """They cannot go on. Unless there was a reason for their end before, this is it."""
        if self.end.refusal is None:
            self.end = End(self.end.master, reason, has_failed=True)

    def close(self) -> None:
        """Whatever has come of them."""
        for line in self.lines:
            line.close()
        self._lines.clear()

    def _carry_out(self, master: str, action: Action) -> None:
        match action:
            case Send(message):
                self._lines[master].send(message)
            case Run(batch, registration):
                self._share(self._purse.started(master))
                self._go_on(self._gate.arrived(Ticket(master, registration, batch, time.monotonic())))
            case GoAhead(batch_id):
                self._go_on(self._gate.go(master, batch_id))
            case Kept(batches):
                self._share(self._purse.kept(master, batches))
            case Meet(siblings):
                self._meet(master, siblings)
            case InService():
                self._on_registered(master)
            case Report(level, text):
                logger.log(logging.getLevelName(level.upper()), "%s: %s", master, text)
            case Close(refusal, at_once):
                self._close(master, refusal, at_once)

    def _go_on(self, steps: Sequence[Ask | Start]) -> None:
        for step in steps:
            ticket = step.ticket
            if isinstance(step, Ask):
                self.handle(ticket.master, TurnCame(ticket.registration, ticket.batch.batch_id))
            else:
                self._start(ticket.master, ticket.registration, ticket.batch_at(time.monotonic()))

    def _open_line(self, master: str) -> None:
        self._lines[master] = self._connect(master)
        self.handle(master, Tick())

    def _forget_siblings(self) -> None:
        """Those whose sessions are over: they are not there any more."""
        for master in [sibling for sibling in self._met_at if self._sessions[sibling].state is SessionState.CLOSED]:
            self._share(self._purse.lost(master))
            del self._met_at[master], self._sessions[master]
            self._lines.pop(master).close()

    def _open_masters(self) -> list[str]:
        return [master for master, session in self._sessions.items() if session.state is not SessionState.CLOSED]

    def _share(self, changes: list[tuple[str, int]]) -> None:
        for master, batches in changes:
            self.handle(master, CreditChanged(batches))

    def _meet(self, master: str, siblings: tuple[Sibling, ...]) -> None:
        """Opens a session with each sibling that is new, and ends it with those that the master has no more."""
        endpoints = [sibling_endpoint(master, sibling) for sibling in siblings]
        found = {endpoint for endpoint in endpoints if endpoint is not None}
        self._households.met(master, found)
        for gone in [sibling for sibling, told in self._met_at.items() if told == master and sibling not in found]:
            logger.info("%s: is no process of the master any more", gone)
            self._inbox.post(gone, DrainRequested(time.monotonic() + _FAREWELL_SECONDS))
        new = sorted(found - self._sessions.keys())
        if not new or self._is_leaving:
            return
        for known in self._open_masters():
            self.handle(known, FirstCreditChanged(1))
        for sibling in new:
            self._purse.joined(sibling)
            self._met_at[sibling] = master
            self._sessions[sibling] = Session(self._offer, time.monotonic(), self._purse.credit(sibling))
            self._open_line(sibling)

    def _close(self, master: str, refusal: str | None, at_once: bool) -> None:
        if refusal is None:
            return
        # One master that would not have us ends the worker: whoever started it has something to mend.
        self.end = End(master, refusal, at_once)
        self._inbox.post(None, DrainRequested(time.monotonic() + (0.0 if at_once else _FAREWELL_SECONDS)))
