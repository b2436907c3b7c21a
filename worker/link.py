"""The worker's connections to its masters: one thread, which owns a DEALER socket and a Session for each of them.

A master of several processes tells of its others: each of them is a master like those that the worker was given.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import zmq

from mindspore_serving.cluster.gate import Ask, Gate, Start, Ticket
from mindspore_serving.cluster.messages import BatchDone, RunBatch
from mindspore_serving.cluster.purse import Purse
from mindspore_serving.cluster.session import Offer, Session, SessionState
from mindspore_serving.cluster.session_events import (
    Action,
    BatchFinished,
    Close,
    CreditChanged,
    DrainRequested,
    Event,
    FirstCreditChanged,
    GoAhead,
    InService,
    Kept,
    KnownToSiblings,
    Meet,
    MessageArrived,
    Report,
    Run,
    Send,
    Tick,
    TurnCame,
)
from mindspore_serving.cluster.siblings import Households, Sibling, sibling_endpoint
from mindspore_serving.worker.bell import Bell
from mindspore_serving.worker.curve import WorkerKeys
from mindspore_serving.worker.inbox import Inbox
from mindspore_serving.worker.line import Line
from mindspore_serving.worker.loan import Loan
from mindspore_serving.worker.watches import Take, Watches

logger = logging.getLogger("mindspore_serving.worker")

Submit = Callable[[RunBatch, Callable[[BatchDone], None]], None]


@dataclass(frozen=True, slots=True)
class End:
    """How the worker's talk with its masters ended; `refusal` is the reason of a master that would not have it.

    `is_hung`: a master gave the worker up because its device does not get on. What runs there may never end.
    """

    master: str
    refusal: str | None = None
    is_hung: bool = False


class Link(threading.Thread):
    """Talks to the masters from start() until it is drained or refused.

    `masters`: their ZeroMQ endpoints. `on_registered(master)` and `on_closed(end)` are called from this thread, the
    first one at every registration, when the master gives work. `direct`: talk past ZeroMQ to masters on this machine.
    """

    def __init__(
        self,
        context: "zmq.Context[zmq.Socket[bytes]]",
        masters: Sequence[str],
        keys: WorkerKeys | None,
        worker_id: str,
        offer: Offer,
        submit: Submit,
        on_registered: Callable[[str], None],
        on_closed: Callable[[End], None],
        direct: bool = True,
    ) -> None:
        super().__init__(name="link to " + ", ".join(masters))
        self._context = context
        self._keys = keys
        self._worker_id = worker_id
        self._offer = offer
        self._submit = submit
        self._on_registered = on_registered
        self._on_closed = on_closed
        self._purse = Purse(masters)
        self._gate = Gate()
        now = time.monotonic()
        self._sessions = {master: Session(offer, now, self._purse.credit(master)) for master in masters}
        self._lines: dict[str, Line] = {}
        self._met_at: dict[str, str] = {}  # sibling -> the master that told of it
        self._households: Households[str] = Households()
        self._is_leaving = False
        self._direct = direct
        self._watches = Watches()
        self._turn = threading.Lock()  # held by whoever touches what is above and the lines
        self._loan = Loan()  # of the only line
        self._bell = Bell()  # wakes up who rests there
        self._end = End(masters[0])
        self._inbox = Inbox()  # this thread alone touches ZeroMQ's sockets and what is watched

    def drain(self, seconds: float) -> None:
        """Finish what is open, at most this long, then close. From any thread."""
        self._inbox.post(None, DrainRequested(time.monotonic() + seconds))

    def run(self) -> None:
        self._watches.watch("", self._inbox.alarm, self._read_inbox)
        try:
            for master in self._sessions:
                self._open_line(master)
            while (wakeup := self._wakeup()) is not None:
                ready = self._watches.wait(max(0.0, wakeup - time.monotonic()))
                with self._turn:
                    if self._loan.is_due(runs=not self._gate.is_idle):
                        self._resume()
                    self._take_turn(ready)
        finally:
            with self._turn:
                for line in self._lines.values():
                    line.close()
                self._lines.clear()
                self._bell.ring()
                self._bell.close()
            self._watches.unwatch(self._inbox.alarm)
            self._watches.close()
            self._inbox.close()
            self._on_closed(self._end)

    def _take_turn(self, ready: list[tuple[str, Take]]) -> None:
        for master, take in ready:
            for event in take():
                self._handle(master, event)
        self._keep_time()
        if self._met_at:
            self._forget_siblings()
        for line in self._lines.values():
            if line.is_blocked:
                line.await_room()

    def _open_line(self, master: str) -> None:
        self._lines[master] = Line(self._context, master, self._keys, self._worker_id, self._watches, self._direct)
        self._handle(master, Tick())

    def _forget_siblings(self) -> None:
        """Those whose sessions are over: they are not there any more."""
        for master in [sibling for sibling in self._met_at if self._sessions[sibling].state is SessionState.CLOSED]:
            self._share(self._purse.lost(master))
            del self._met_at[master], self._sessions[master]
            self._lines.pop(master).close()

    def _open_masters(self) -> list[str]:
        return [master for master, session in self._sessions.items() if session.state is not SessionState.CLOSED]

    def _wakeup(self) -> float | None:
        """When a session has something to do if nothing happens before; None when all are over."""
        wakeups = [session.next_wakeup() for session in self._sessions.values()]
        return min([moment for moment in wakeups if moment is not None], default=None)

    def _keep_time(self) -> None:
        now = time.monotonic()
        for master, session in list(self._sessions.items()):
            wakeup = session.next_wakeup()
            if wakeup is not None and wakeup <= now:
                self._handle(master, Tick())

    def _read_inbox(self) -> list[Event]:
        """What other threads have put there. Carries it out at once: it is for several masters."""
        self._inbox.silence()
        while not self._inbox.is_empty:
            whom, event = self._inbox.take()
            self._is_leaving = self._is_leaving or (whom is None and isinstance(event, DrainRequested))
            for master in self._open_masters() if whom is None else [whom]:
                if isinstance(event, BatchFinished):
                    self._finish(master, event)
                else:
                    self._handle(master, event)
        return []

    def _finish(self, master: str, event: BatchFinished) -> None:
        self._purse.finished(master)
        self._handle(master, event)
        self._go_on(self._gate.finished())

    def _handle(self, master: str, event: Event) -> None:
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
                self._handle(one, KnownToSiblings())
            return
        self._households.lost(master)
        if session.state is SessionState.REGISTERING:
            self._share(self._purse.lost(master))
        if session.state is not SessionState.DRAINING:
            dropped, steps = self._gate.lost(master)
            for _ in range(dropped):
                self._purse.finished(master)
            self._go_on(steps)

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
            master, registration = step.ticket.master, step.ticket.registration
            if isinstance(step, Ask):
                self._handle(master, TurnCame(registration, step.ticket.batch.batch_id))
            else:
                batch = step.ticket.batch_at(time.monotonic())
                self._loan.started(batch)
                self._submit(batch, partial(self._finished, master, registration))

    def _finished(self, master: str, registration: int, done: BatchDone) -> None:
        """From any thread, which answers the master itself where it may: to wake the link up takes longer."""
        event = BatchFinished(registration, done)
        if not self._turn.acquire(blocking=False):
            self._inbox.post(master, event)
            return
        try:
            line = self._only_line()
            if line is None:
                self._inbox.post(master, event)
                return
            self._finish(master, event)
            if line.is_blocked:
                self._inbox.wake()
        finally:
            self._turn.release()

    def take_over(self) -> bool:
        """From now on the caller's thread reads what the only master says, by look(), until it gives that back.

        False, and the link's own thread reads, where there is more to wait for, or work in hand.
        """
        with self._turn:
            line = self._only_line()
            if line is not None and self._gate.is_idle and line.pause():
                self._loan.is_open = True
            elif self._loan.is_open:
                self._resume()
            return self._loan.is_open

    def look(self) -> bool:
        """Takes in what has come, if anything. False when there is nothing to look for any more."""
        with self._turn:
            self._loan.looked()
            line = self._only_line()
            if line is None:
                return False
            (master,) = self._lines
            for event in line.look():
                if isinstance(event, MessageArrived) and isinstance(event.message, RunBatch) and self._inbox.is_empty:
                    self._handle(master, event)
                else:  # after it, all others, in their order
                    self._inbox.post(master, event)
            if line.is_blocked:
                self._inbox.wake()
            return self._gate.is_idle

    def rest(self) -> bool:
        """Sleeps until look() may find something, or ring(). False when there is nothing to wait for."""
        with self._turn:
            line = self._only_line()
            sight = line.sight(self._bell.ear) if line is not None and self._loan.is_open else None
            if sight is None:
                return False
            self._loan.rests = True
        woken_by = dict(sight.poll())
        with self._turn:
            self._loan.rests = False
            if self._bell.ear.fileno() in woken_by:
                self._bell.silence()
        return True

    def ring(self) -> None:
        """Ends a rest(). From any thread."""
        self._bell.ring()

    @property
    def had_several(self) -> bool:
        """Whether the last batch had more than one instance."""
        return self._loan.had_several

    def give_back(self) -> None:
        """The link's own thread reads again."""
        with self._turn:
            self._resume()

    def keep_or_give_back(self) -> None:
        """The caller's thread has stopped looking. If it has found a small batch, it keeps the line while that runs."""
        with self._turn:
            if self._gate.is_idle or not self._loan.may_be_kept:
                self._resume()

    def _resume(self) -> None:
        self._loan.is_open = False
        for line in self._lines.values():
            line.resume()

    def _only_line(self) -> Line | None:
        """If it is the only one, and direct: other threads than this one may read it, and answer by it."""
        if len(self._lines) != 1:
            return None
        (line,) = self._lines.values()
        return line if line.is_direct else None

    def _share(self, changes: list[tuple[str, int]]) -> None:
        for master, batches in changes:
            self._handle(master, CreditChanged(batches))

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
            self._handle(known, FirstCreditChanged(1))
        for sibling in new:
            self._purse.joined(sibling)
            self._met_at[sibling] = master
            self._sessions[sibling] = Session(self._offer, time.monotonic(), self._purse.credit(sibling))
            self._open_line(sibling)

    def _close(self, master: str, refusal: str | None, at_once: bool) -> None:
        if refusal is None:
            return
        # One master that would not have us ends the worker: whoever started it has something to mend.
        self._end = End(master, refusal, at_once)
        self._inbox.post(None, DrainRequested(time.monotonic() + (0.0 if at_once else _FAREWELL_SECONDS)))


_FAREWELL_SECONDS = 30.0  # for what other masters have open when one of them has refused the worker
