"""The life of a worker process: load, register, work, drain, exit."""

import gc
import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Protocol

import zmq

from mindspore_serving.cluster.addresses import for_zeromq, from_zeromq
from mindspore_serving.cluster.patience import Patience
from mindspore_serving.worker.config import ZEROMQ, WorkerConfig
from mindspore_serving.worker.curve import WorkerKeys, read_worker_keys
from mindspore_serving.worker.lookout import IsCrowded, Lookout
from mindspore_serving.worker.signal_pipe import NEWS, SignalPipe
from mindspore_serving.worker.work_thread import WorkThread
from mindspore_serving.worker.worker import Worker

# A thread that computes in Python holds the others up for so long at a time. Python's own 5 ms cost MindSpore's thread
# and the link more than the switches do: benchmarks/overlap.py measures it.
SWITCH_SECONDS = 0.0005
HUNG_EXIT_CODE = 75  # EX_TEMPFAIL of sysexits(3): start it again


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
        worker = _load(config, models, pipe)
        gc.collect()
        gc.freeze()  # MindSpore's 160 thousand objects stay: no collection walks them, for tenths of a second
        return _serve(config, worker, keys, pipe, notify, is_crowded)
    finally:
        models.close()
        pipe.close()


def _load(config: WorkerConfig, models: WorkThread, pipe: SignalPipe) -> Worker:
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
            print("Serving: stopped while loading", flush=True)
            os._exit(0)
        return loading.result()


def _serve(
    config: WorkerConfig,
    worker: Worker,
    keys: WorkerKeys | None,
    pipe: SignalPipe,
    notify: ServiceManager,
    is_crowded: IsCrowded | None,
) -> int:
    def answered() -> None:
        notify("X_ANSWERED=1")  # a word of ours: the process that started this one may care

    masters = tuple(for_zeromq(master) for master in config.master)

    def registered(master: str) -> None:
        print(f"Serving: Worker registered at {from_zeromq(master)}, {worker}", flush=True)
        notify("READY=1")

    with zmq.Context[zmq.Socket[bytes]]() as context:
        direct = config.transport != ZEROMQ
        lookout = partial(Lookout, is_crowded=is_crowded, patience=Patience())
        worker.connect(context, masters, registered, pipe.post, answered, keys, direct, lookout)
        if config.stop_when_stdin_closes:
            threading.Thread(target=_watch_stdin, name="stdin", daemon=True).start()
        _wait(pipe, notify, lambda: worker.drain(config.drain_seconds))
        end = worker.end
        if end is not None and end.is_hung:
            text = f"the master at {from_zeromq(end.master)} gave this worker up: {end.refusal}"
            print(text, file=sys.stderr, flush=True)
            notify(f"STATUS={end.refusal}")
            os._exit(HUNG_EXIT_CODE)  # a thread that hangs in a device call cannot be ended, only its process
        worker.close()
    if end is not None and end.refusal is not None:
        text = f"the master at {from_zeromq(end.master)} refused this worker: {end.refusal}"
        print(text, file=sys.stderr, flush=True)
        return 1
    return 0


def _wait(pipe: SignalPipe, notify: ServiceManager, drain: Callable[[], None]) -> None:
    """Returns when the worker has come to its end. A signal makes it drain; the watchdog hears that Python runs."""
    seconds = notify.watchdog_seconds
    while (news := pipe.wait(None if seconds is None else seconds / 2)) != NEWS:
        if news is None:
            notify("WATCHDOG=1")
        else:
            notify("STOPPING=1")
            drain()


def _keep_to(cores: frozenset[int]) -> None:
    """Before MindSpore counts the cores and starts its threads. Those of this moment, numpy's among them, move too."""
    for thread in os.listdir("/proc/self/task"):
        os.sched_setaffinity(int(thread), cores)


def _watch_stdin() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass  # what comes is nobody's; only the end counts
    os.kill(os.getpid(), signal.SIGTERM)
