"""One loaded servable and its link to a master, in a worker's process, a start script's, or the master's own."""

import logging
import os
import secrets
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import zmq

from mindspore_serving.cluster.messages import BatchDone, RunBatch
from mindspore_serving.cluster.session import Offer
from mindspore_serving.telling import tell
from mindspore_serving.worker.config import OFF
from mindspore_serving.worker.curve import WorkerKeys
from mindspore_serving.worker.lent_line import LentLine
from mindspore_serving.worker.link import Link, Submit
from mindspore_serving.worker.loading import load_servable
from mindspore_serving.worker.talks import End
from mindspore_serving.worker.target import Target
from mindspore_serving.worker.work_thread import Pastime, WorkThread

logger = logging.getLogger("mindspore_serving.worker")


class Worker:
    """Loads in the constructor (raises ServableError), works from connect() to close().

    `models` is the process's one MindSpore thread; several workers of a process share it.
    """

    def __init__(
        self,
        directory: Path,
        name: str,
        models: WorkThread,
        *,
        version: int = 0,
        target: Target,
        tune: str = OFF,
    ) -> None:
        self.servable = load_servable(directory, name, version, target, models, tune)
        self.device = str(target)
        self._models = models
        self.end: End | None = None
        self._link: Link | None = None
        tell(
            f"Serving: Start servable success, servable directory: '{directory}', servable name: '{name}', "
            f"specified version number: {version}, started version numbers: {self.servable.version}"
        )

    def __str__(self) -> str:
        return f"servable {self.servable.name} version {self.servable.version} on {self.device}"

    def connect(
        self,
        context: "zmq.Context[zmq.Socket[bytes]]",
        masters: Sequence[str],
        on_registered: Callable[[str], None],
        on_closed: Callable[[], None],
        on_first_answer: Callable[[], None] = lambda: None,
        keys: WorkerKeys | None = None,
        direct: bool = True,
        pastime: Callable[[LentLine], Pastime] | None = None,
    ) -> None:
        """Registers at the masters at these ZeroMQ endpoints, trying until they are there.

        The callbacks come from other threads; on_registered gets the master's endpoint. After on_closed, `end` says how
        it ended. `keys`: if it has some. `direct`: talk past ZeroMQ to masters on this machine.
        `pastime`: what the thread that batches come to first does between them, where it works for nobody else.
        """

        def closed(end: End) -> None:
            self.end = end
            on_closed()

        offer = Offer(
            self.servable.name,
            self.servable.version,
            self.servable.methods,
            self.device,
            socket.gethostname(),
            os.getpid(),
        )

        submit = told_before(self.servable.submit, on_first_answer)
        timed = _timed(submit) if logger.isEnabledFor(logging.DEBUG) else submit
        # New for each start, so that no answer of an earlier life can be taken for one of this.
        worker_id = f"{_plain(self.servable.name)}-{self.device.replace(':', '')}-{os.getpid()}-{secrets.token_hex(4)}"
        self._link = Link(context, masters, keys, worker_id, offer, timed, on_registered, closed, direct)
        if pastime is not None:
            self.servable.poller.while_idle(pastime(self._link.lent_line))
        self._link.start()

    @property
    def refusal(self) -> str | None:
        """Why a master would not have this worker; None when it left as it was told to."""
        return None if self.end is None else self.end.refusal

    def drain(self, seconds: float) -> None:
        """Finish what is open, at most this long, then leave. Returns at once; on_closed tells the end."""
        if self._link is not None:
            self._link.drain(seconds)

    def close(self, seconds: float | None = None) -> bool:
        """Waits for the link's thread, which has been drained or refused, and lets the servable go.

        False: something of it still runs after so many seconds. It ends with the process.
        """
        if self._link is not None:
            self._link.join(seconds)
            self.servable.poller.while_idle(None)
        return self.servable.close(seconds)


def told_before(submit: Submit, on_first_answer: Callable[[], None]) -> Submit:
    """The same, but says so just before the first answer goes out: whoever gets it may kill this worker at once."""
    has_answered = False

    def telling(batch: RunBatch, done: Callable[[BatchDone], None]) -> None:
        def first(answer: BatchDone) -> None:
            nonlocal has_answered
            if not has_answered:
                has_answered = True
                on_first_answer()
            done(answer)

        submit(batch, done if has_answered else first)

    return telling


def _timed(submit: Submit) -> Submit:
    """Logs how long each batch took, in words that users of the original search its logs for."""

    def timed(batch: RunBatch, done: Callable[[BatchDone], None]) -> None:
        started = time.monotonic()

        def told(answer: BatchDone) -> None:
            milliseconds = (time.monotonic() - started) * 1000
            what = f"method {batch.method}, {batch.count} instances, {len(answer.failures)} failed"
            logger.debug("WorkerRequestHandle Time Cost # %.3f ms: %s", milliseconds, what)
            done(answer)

        submit(batch, told)

    return timed


def _plain(name: str) -> str:
    """The name as it may stand in a worker id: short and ASCII."""
    return "".join(c if c.isascii() and c.isalnum() else "_" for c in name[:32])
