"""Keeps worker processes: starts them side by side, waits until they are ready, starts lost ones again, stops them."""

import contextlib
import queue
import selectors
import socket
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from mindspore_serving.cluster.addresses import Endpoint
from mindspore_serving.cluster.errors import SetupError
from mindspore_serving.restarts import Ended, Restarts, how_it_ended
from mindspore_serving.worker_process import WorkerProcess, WorkerSpec

KILL_AFTER_SECONDS = 10.0  # beyond the time to drain
SILENT_SECONDS = 60.0  # that a worker's Python may stand still: code of its user's may hold it up
_INTERRUPTED_TEXT = "Fail to start workers because of signal SIGINT or SIGTERM"

Tell = Callable[[WorkerSpec, str], None]


class Supervisor(threading.Thread):
    """Lives from start() until its last worker has gone; not a daemon, so the process lives as long.

    folder: for sockets, of this process alone. log_folder: one file a worker; None shares this process's output.
    tell: is called from this thread with what happens to a worker. on_gone: the last one has gone by itself.
    silent_seconds: a worker whose Python stands still for so long is killed, and started again.
    """

    def __init__(
        self,
        specs: Sequence[WorkerSpec],
        master: Endpoint,
        folder: Path,
        *,
        log_folder: Path | None,
        only_after_an_answer: bool,
        tell: Tell = lambda spec, text: None,
        on_gone: Callable[[], None] = lambda: None,
        silent_seconds: float = SILENT_SECONDS,
    ) -> None:
        super().__init__(name="supervisor")
        self._specs = specs
        self._master = master
        self._folder = folder
        self._log_folder = log_folder
        self._tell = tell
        self._on_gone = on_gone
        self._silent_seconds = silent_seconds
        self._restarts = {spec.slot: Restarts(only_after_an_answer) for spec in specs}
        self._children: dict[int, WorkerProcess] = {}
        self._started_at: dict[int, float] = {}
        self._heard_at: dict[int, float] = {}  # of those who are ready
        self._due: dict[int, tuple[float, WorkerSpec]] = {}  # slot -> when to start it again
        self._first_outcomes: queue.SimpleQueue[str] = queue.SimpleQueue()  # empty: one is ready
        self._reported: set[int] = set()  # slots whose first outcome is known
        self.failed_to_start = False  # one of these was a failure: wait_ready() raises
        self._is_interrupted = False
        self._stopping = False
        self._kill_at: float | None = None
        self._stop_requests: queue.SimpleQueue[float] = queue.SimpleQueue()
        self._alarm, self._waker = socket.socketpair()
        self._alarm.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._alarm, selectors.EVENT_READ, self._on_stop_request)

    def wait_ready(self) -> None:
        """Returns when every worker has registered. Raises SetupError with the first failure, or when interrupted."""
        for _ in self._specs:
            if failure := self._first_outcomes.get():
                raise SetupError(failure)

    def interrupt(self) -> None:
        """Ends a wait_ready() of another thread."""
        self._is_interrupted = True
        self._first_outcomes.put(_INTERRUPTED_TEXT)

    def check_not_interrupted(self) -> None:
        """Raises SetupError if it was: also by who came when wait_ready() had just returned."""
        if self._is_interrupted:
            raise SetupError(_INTERRUPTED_TEXT)

    def stop(self, seconds: float) -> None:
        """Asks every worker to finish what is open, at most this long, and returns when all have ended."""
        self._stop_requests.put(seconds)
        with contextlib.suppress(OSError):  # it has ended already
            self._waker.send(b"\0")
        if threading.current_thread() is not self:
            self.join()

    def run(self) -> None:
        for spec in self._specs:
            self._launch(spec)
        while self._children or self._due:
            for key, _ in self._selector.select(self._seconds_until_due()):
                key.data()
            self._do_what_is_due()
        self._selector.close()
        self._alarm.close()
        self._waker.close()
        if not self._stopping:
            self._on_gone()

    def _launch(self, spec: WorkerSpec) -> None:
        try:
            child = WorkerProcess(spec, self._master, self._folder, self._log_file(spec), self._silent_seconds)
        except OSError as error:  # no memory, no descriptors, no such log file
            self._report_first(spec, f"Fail to start workers: {{{spec}, cannot be started: {error}}}")
            self._decide(spec, f"cannot be started: {error}", Ended(False, False, 0.0))
            return
        self._children[spec.slot] = child
        self._started_at[spec.slot] = time.monotonic()
        self._selector.register(child.notifications, selectors.EVENT_READ, lambda: self._on_word(child))
        self._selector.register(child.exit_fd, selectors.EVENT_READ, lambda: self._on_exit(child))
        self._tell(spec, f"loading, pid {child.pid}")

    def _log_file(self, spec: WorkerSpec) -> Path | None:
        """Raises OSError."""
        if self._log_folder is None:
            return None
        self._log_folder.mkdir(parents=True, exist_ok=True)
        return self._log_folder / spec.log_name

    def _on_word(self, child: WorkerProcess) -> None:
        if self._children.get(child.spec.slot) is not child:
            return  # its end was in the same round
        was_ready, beats = child.ready, child.beats
        child.read_notifications()
        if child.ready and (not was_ready or child.beats > beats):
            self._heard_at[child.spec.slot] = time.monotonic()
        if child.ready and not was_ready:
            self._tell(child.spec, f"ready after {self._age(child):.1f} s")
            self._report_first(child.spec, "")

    def _on_exit(self, child: WorkerProcess) -> None:
        self._selector.unregister(child.notifications)
        self._selector.unregister(child.exit_fd)
        code = child.reap()
        del self._children[child.spec.slot]
        self._heard_at.pop(child.spec.slot, None)
        death = how_it_ended(code)
        how = death + (f": {child.status}" if child.status and code else "")
        because = "" if child.status else " because of death of one worker"
        self._report_first(child.spec, f"Fail to start workers{because}: {{{child.spec}, {child.status or death}}}")
        self._decide(child.spec, how, Ended(child.ready, child.answered, self._age(child), child.told_to_stop))

    def _decide(self, spec: WorkerSpec, how: str, record: Ended) -> None:
        if self._stopping:
            self._tell(spec, how)
            return
        wait = self._restarts[spec.slot].wait_seconds(record)
        if wait is None:
            self._tell(spec, f"{how}, not started again")
        else:
            self._tell(spec, f"{how}, starting again in {wait:g} s")
            self._due[spec.slot] = (time.monotonic() + wait, spec)

    def _report_first(self, spec: WorkerSpec, failure: str) -> None:
        if spec.slot not in self._reported:
            self._reported.add(spec.slot)
            self.failed_to_start = self.failed_to_start or failure != ""
            self._first_outcomes.put(failure)

    def _on_stop_request(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._alarm.recv(4096)
        while not self._stop_requests.empty():
            self._kill_at = time.monotonic() + self._stop_requests.get() + KILL_AFTER_SECONDS
            self._stopping = True
            self._due.clear()
            for child in self._children.values():
                child.terminate()

    def _do_what_is_due(self) -> None:
        now = time.monotonic()
        for slot, (moment, spec) in list(self._due.items()):
            if moment <= now:
                del self._due[slot]
                self._launch(spec)
        for slot, heard_at in list(self._heard_at.items()):
            child = self._children[slot]
            if child.told_to_stop:
                del self._heard_at[slot]
            elif now - heard_at >= self._silent_seconds:
                del self._heard_at[slot]
                self._tell(child.spec, f"its Python has stood still for {self._silent_seconds:g} s: killed")
                child.kill()
        if self._kill_at is not None and self._kill_at <= now:
            self._kill_at = None
            for child in self._children.values():
                child.kill()

    def _seconds_until_due(self) -> float | None:
        moments = [moment for moment, _ in self._due.values()]
        moments += [heard_at + self._silent_seconds for heard_at in self._heard_at.values()]
        if self._kill_at is not None:
            moments.append(self._kill_at)
        return max(0.0, min(moments) - time.monotonic()) if moments else None

    def _age(self, child: WorkerProcess) -> float:
        return time.monotonic() - self._started_at[child.spec.slot]
