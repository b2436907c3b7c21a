"""The worker's connections to its masters: one thread, which owns a DEALER socket and a Session for each of them."""

import contextlib
import logging
import queue
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import zmq

from mindspore_serving.cluster.messages import BatchDone, RunBatch
from mindspore_serving.cluster.purse import Purse
from mindspore_serving.cluster.session import (
    Action,
    BatchFinished,
    Close,
    CreditChanged,
    DrainRequested,
    Event,
    Kept,
    Offer,
    Report,
    Run,
    Send,
    Session,
    SessionState,
    Tick,
)
from mindspore_serving.worker.curve import WorkerKeys
from mindspore_serving.worker.line import Line

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
    first one at every registration.
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
    ) -> None:
        super().__init__(name="link to " + ", ".join(masters))
        self._context = context
        self._keys = keys
        self._worker_id = worker_id
        self._submit = submit
        self._on_registered = on_registered
        self._on_closed = on_closed
        self._purse = Purse(masters)
        now = time.monotonic()
        self._sessions = {master: Session(offer, now, self._purse.credit(master)) for master in masters}
        self._lines: dict[str, Line] = {}
        self._end = End(masters[0])
        # Other threads put events here and wake this one, which alone touches the ZeroMQ sockets.
        self._inbox: queue.SimpleQueue[tuple[str, Event]] = queue.SimpleQueue()
        self._alarm, self._waker = socket.socketpair()
        self._alarm.setblocking(False)
        self._waker.setblocking(False)

    def drain(self, seconds: float) -> None:
        """Finish what is open, at most this long, then close. From any thread."""
        request = DrainRequested(time.monotonic() + seconds)
        for master in self._sessions:
            self._post(master, request)

    def run(self) -> None:
        poller = zmq.Poller()
        poller.register(self._alarm, zmq.POLLIN)
        takers: dict[object, tuple[str, Callable[[], list[Event]]]] = {}
        try:
            for master in self._sessions:
                line = self._lines[master] = Line(self._context, master, self._keys, self._worker_id)
                for source, take in line.sources:
                    poller.register(source, zmq.POLLIN)
                    takers[source] = master, take
                self._handle(master, Tick())
            while (wakeup := self._wakeup()) is not None:
                for source, _ in poller.poll(max(0, int((wakeup - time.monotonic()) * 1000) + 1)):
                    taker = takers.get(source)
                    if taker is None:
                        self._read_inbox()
                    else:
                        for event in taker[1]():
                            self._handle(taker[0], event)
                self._keep_time()
        finally:
            for line in self._lines.values():
                line.close()
            self._alarm.close()
            self._waker.close()
            self._on_closed(self._end)

    def _open_masters(self) -> list[str]:
        return [master for master, session in self._sessions.items() if session.state is not SessionState.CLOSED]

    def _wakeup(self) -> float | None:
        """When a session has something to do if nothing happens before; None when all are over."""
        wakeups = [session.next_wakeup() for session in self._sessions.values()]
        return min([moment for moment in wakeups if moment is not None], default=None)

    def _keep_time(self) -> None:
        now = time.monotonic()
        for master, session in self._sessions.items():
            wakeup = session.next_wakeup()
            if wakeup is not None and wakeup <= now:
                self._handle(master, Tick())

    def _read_inbox(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._alarm.recv(4096)
        while not self._inbox.empty():
            master, event = self._inbox.get()
            if isinstance(event, BatchFinished):
                self._purse.finished(master)
            self._handle(master, event)

    def _handle(self, master: str, event: Event) -> None:
        session = self._sessions[master]
        before = session.state
        for action in session.handle(event, time.monotonic()):
            self._carry_out(master, action)
        if session.state is before:
            return
        if session.state is SessionState.SERVING:
            self._on_registered(master)
        elif session.state is SessionState.REGISTERING:
            self._share(self._purse.lost(master))

    def _carry_out(self, master: str, action: Action) -> None:
        match action:
            case Send(message):
                self._lines[master].send(message)
            case Run(batch, registration):
                self._share(self._purse.started(master))
                self._submit(batch, lambda done: self._post(master, BatchFinished(registration, done)))
            case Kept(batches):
                self._share(self._purse.kept(master, batches))
            case Report(level, text):
                logger.log(logging.getLevelName(level.upper()), "%s: %s", master, text)
            case Close(refusal, at_once):
                self._close(master, refusal, at_once)

    def _share(self, changes: list[tuple[str, int]]) -> None:
        for master, batches in changes:
            self._handle(master, CreditChanged(batches))

    def _close(self, master: str, refusal: str | None, at_once: bool) -> None:
        if refusal is None:
            return
        # One master that would not have us ends the worker: whoever started it has something to mend.
        self._end = End(master, refusal, at_once)
        for other in self._open_masters():
            self._post(other, DrainRequested(time.monotonic() + (0.0 if at_once else _FAREWELL_SECONDS)))

    def _post(self, master: str, event: Event) -> None:
        self._inbox.put((master, event))
        with contextlib.suppress(OSError):  # full: it is being woken already; closed: nobody is left to tell
            self._waker.send(b"\0")


_FAREWELL_SECONDS = 30.0  # for what other masters have open when one of them has refused the worker
