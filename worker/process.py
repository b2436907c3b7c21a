"""The life of a worker process: load, register, work, drain, exit."""

import gc
import logging
import math
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NoReturn, Protocol

import zmq

from mindspore_serving.cluster.addresses import for_zeromq, from_zeromq
from mindspore_serving.cluster.errors import ServableError, ServingError
from mindspore_serving.cluster.patience import Patience
from mindspore_serving.telling import tell, tell_reason
from mindspore_serving.worker.config import ZEROMQ, WorkerConfig
from mindspore_serving.worker.curve import WorkerKeys, read_worker_keys
from mindspore_serving.worker.loaded_model import first_line
from mindspore_serving.worker.lookout import IsCrowded, Lookout
from mindspore_serving.worker.rewritten_file import remove_copies
from mindspore_serving.worker.signal_pipe import NEWS, SignalPipe
from mindspore_serving.worker.work_thread import WorkThread
from mindspore_serving.worker.worker import Worker

# A thread that computes in Python holds the others up for so long at a time. Python's own 5 ms cost MindSpore's thread
# and the link more than the switches do: benchmarks/overlap.py measures it.
SWITCH_SECONDS = 0.0005
HUNG_EXIT_CODE = 75  # EX_TEMPFAIL of sysexits(3): start it again
LEAST_SECONDS_TO_END = 1.0  # for the threads of a worker that has nothing left to do

logger = logging.getLogger("mindspore_serving.worker")


class ServiceManager(Protocol):
    """Whoever started this process and wants to know how far it is."""

    def __call__(self, state: str) -> None:
        """Hears one state, in sd_notify's words."""

    @property
    def watchdog_seconds(self) -> float | None:
        """Within which it wants to hear WATCHDOG=1, again and again; None: it does not."""


def run(config: WorkerConfig, notify: ServiceManager, *, is_crowded: IsCrowded | None = None) -> int:
    """Serves until a signal comes or the master refuses. Returns the exit code. Raises ServingError.

    `notify` tells a service manager how far we are (sd_notify's words). `is_crowded`: a core may be used to wait,
    unless this says that others want it; None: it may not.
    """
    if config.cpu_affinity:
        _keep_to(config.cpu_affinity)
    keys = None if config.curve_dir is None else read_worker_keys(config.curve_dir)
    sys.setswitchinterval(SWITCH_SECONDS)
    pipe = SignalPipe()
    models = WorkThread("MindSpore")
    try:
        worker = _load(config, models, pipe, notify)
        gc.collect()
        gc.freeze()  # MindSpore's 160 thousand objects stay: no collection walks them, for tenths of a second
        return _serve(config, worker, models, keys, pipe, notify, is_crowded)
    finally:
        models.close()
        pipe.close()


def _load(config: WorkerConfig, models: WorkThread, pipe: SignalPipe, notify: ServiceManager) -> Worker:
    directory, name = config.place()
    target = config.target()
    os.environ["SERVING_DEVICE_ID"] = str(config.device)  # servable_config.py files of 2.x may look for it
    with ThreadPoolExecutor(1) as executor:
        loading = executor.submit(
            Worker,
            directory,
            name,
            models,
            version=config.version,
            target=target,
            tune=config.tuning(),
        )
        loading.add_done_callback(lambda _: pipe.post())
        if pipe.wait() != NEWS:
            # MindSpore may be in the middle of a compilation that nothing can interrupt.
            remove_copies()
            notify("STOPPING=1")
            tell("Serving: stopped while loading")
            os._exit(0)
        try:
            return loading.result()
        except ServingError:
            raise
        except Exception as error:  # ours, or MindSpore's: whoever started this wants to know in one line
            logger.debug("where that came up", exc_info=True)
            place = traceback.extract_tb(error.__traceback__)[-1]
            reason = f"{type(error).__name__}: {first_line(error)} ({place.filename}:{place.lineno})"
            raise ServableError(f"servable {name} cannot be loaded: {reason}") from error


def _serve(
    config: WorkerConfig,
    worker: Worker,
    models: WorkThread,
    keys: WorkerKeys | None,
    pipe: SignalPipe,
    notify: ServiceManager,
    is_crowded: IsCrowded | None,
) -> int:
    def answered() -> None:
        notify("X_ANSWERED=1")  # a word of ours: the process that started this one may care

    masters = tuple(for_zeromq(master) for master in config.master)

    def registered(master: str) -> None:
        tell(f"Serving: Worker registered at {from_zeromq(master)}, {worker}")
        notify("READY=1")

    with zmq.Context[zmq.Socket[bytes]]() as context:
        direct = config.transport != ZEROMQ
        lookout = partial(Lookout, is_crowded=is_crowded, patience=Patience())
        worker.connect(context, masters, registered, pipe.post, answered, keys, direct, lookout)
        if config.stop_when_stdin_closes:
            threading.Thread(target=_watch_stdin, name="stdin", daemon=True).start()
        told_at = _wait(pipe, notify, lambda: worker.drain(config.drain_seconds))
        end = worker.end
        if end is not None and end.is_hung:
            _die(f"the master at {from_zeromq(end.master)} gave this worker up: {end.refusal}", notify)
        seconds = config.drain_seconds - (0.0 if told_at is None else time.monotonic() - told_at)
        if fault := _close(worker, models, pipe, notify, max(LEAST_SECONDS_TO_END, seconds)):
            _die(f"{fault}, and a function or a model still runs: this process ends all the same", notify)
    if end is not None and end.refusal is not None:
        who = "the link of this worker failed" if end.has_failed else "the master at {} refused this worker"
        tell_reason(f"{who.format(from_zeromq(end.master))}: {end.refusal}")
        return 1
    return 0


def _die(reason: str, notify: ServiceManager) -> NoReturn:
    """A thread that hangs in a call cannot be ended, only its process."""
    notify(f"STATUS={reason}")
    tell_reason(reason)
    os._exit(HUNG_EXIT_CODE)


def _wait(pipe: SignalPipe, notify: ServiceManager, drain: Callable[[], None]) -> float | None:
    """Returns when the worker has come to its end. A signal makes it drain; the watchdog hears that Python runs.

    The moment of the first signal is returned; None: there was none.
    """
    told_at = None
    seconds = notify.watchdog_seconds
    while (news := pipe.wait(None if seconds is None else seconds / 2)) != NEWS:
        if news is None:
            notify("WATCHDOG=1")
        else:
            told_at = told_at or time.monotonic()
            notify("STOPPING=1")
            drain()
    return told_at


def _close(worker: Worker, models: WorkThread, pipe: SignalPipe, notify: ServiceManager, seconds: float) -> str:
    """Waits for what still runs, so many seconds. Returns why it waits no longer, or nothing when all has ended."""
    is_done = threading.Event()

    def close() -> None:
        worker.close()
        models.close()
        is_done.set()
        pipe.post()

    threading.Thread(target=close, name="end", daemon=True).start()
    end = time.monotonic() + seconds
    turn = math.inf if notify.watchdog_seconds is None else notify.watchdog_seconds / 2
    while not is_done.is_set():
        left = end - time.monotonic()
        if left <= 0:
            return "the time to drain is over"
        news = pipe.wait(min(left, turn))
        if news is None:
            notify("WATCHDOG=1")
        elif news != NEWS:
            return "this worker was told to end once more"
    return ""


def _keep_to(cores: frozenset[int]) -> None:
    """Before MindSpore counts the cores and starts its threads. Those of this moment, numpy's among them, move too."""
    for thread in os.listdir("/proc/self/task"):
        os.sched_setaffinity(int(thread), cores)


def _watch_stdin() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass  # what comes is nobody's; only the end counts
    os.kill(os.getpid(), signal.SIGTERM)
