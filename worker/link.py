"""The worker's connections to its masters: one thread, which waits for all of them."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

import zmq

from mindspore_serving.cluster.messages import BatchDone, RunBatch
from mindspore_serving.cluster.session import Offer
from mindspore_serving.cluster.session_events import BatchFinished, DrainRequested, Event
from mindspore_serving.worker.curve import WorkerKeys
from mindspore_serving.worker.error_text import error_text
from mindspore_serving.worker.inbox import Inbox
from mindspore_serving.worker.lent_line import LentLine
from mindspore_serving.worker.line import Line
from mindspore_serving.worker.talks import End, Talks
from mindspore_serving.worker.watches import Take, Watches

logger = logging.getLogger("mindspore_serving.worker")

Submit = Callable[[RunBatch, Callable[[BatchDone], None]], None]


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
        self._submit = submit
        self._on_closed = on_closed
        self._inbox = Inbox()  # this thread alone touches ZeroMQ's sockets and what is watched
        self._watches = Watches()
        self._turn = threading.Lock()  # held by whoever touches the talks and their lines

        def open_line(master: str) -> Line:
            return Line(context, master, keys, worker_id, self._watches, direct)

        self._talks = Talks(masters, offer, open_line, self._begin, self._inbox, on_registered)
        self.lent_line = LentLine(self._turn, self._talks, self._inbox)

    def drain(self, seconds: float) -> None:
        """Finish what is open, at most this long, then close. From any thread."""
        self._inbox.post(None, DrainRequested(time.monotonic() + seconds))

    def run(self) -> None:
        self._watches.watch("", self._inbox.alarm, self._read_inbox)
        try:
            self._talks.open()
            while (wakeup := self._talks.next_wakeup()) is not None:
                ready = self._watches.wait(max(0.0, wakeup - time.monotonic()))
                with self._turn:
                    self.lent_line.resume_if_due()
                    self._take_turn(ready)
        except Exception as error:  # without a link, nobody would ever tell this worker anything again
            logger.exception("a fault of the worker's own")
            self._talks.fail(f"{type(error).__name__}: {error_text(error)}")
        finally:
            try:
                self._close()
            finally:
                self._on_closed(self._talks.end)

    def _close(self) -> None:
        with self._turn:
            self._talks.close()
            self.lent_line.close()
        self._watches.unwatch(self._inbox.alarm)
        self._watches.close()
        self._inbox.close()

    def _take_turn(self, ready: list[tuple[str, Take]]) -> None:
        for master, take in ready:
            for event in take():
                self._talks.handle(master, event)
        self._talks.keep_time()
        for line in self._talks.lines:
            if line.is_blocked:
                line.await_room()

    def _read_inbox(self) -> list[Event]:
        """What other threads have put there. Carries it out at once: it is for several masters."""
        self._inbox.silence()
        while not self._inbox.is_empty:
            whom, event = self._inbox.take()
            self._talks.tell(whom, event)
        return []

    def _begin(self, master: str, registration: int, batch: RunBatch) -> None:
        self.lent_line.started(batch)
        self._submit(batch, partial(self._finished, master, registration))

    def _finished(self, master: str, registration: int, done: BatchDone) -> None:
        """From any thread, which answers the master itself where it may: to wake the link up takes longer."""
        event = BatchFinished(registration, done)
        if not self._turn.acquire(blocking=False):
            self._inbox.post(master, event)
            return
        try:
            only = self._talks.only_line()
            if only is None:
                self._inbox.post(master, event)
                return
            self._talks.finish(master, event)
            if only[1].is_blocked:
                self._inbox.wake()
        finally:
            self._turn.release()
