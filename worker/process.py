"""The life of a worker process: load, register, work, drain, exit."""

import gc
import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import zmq

from mindspore_serving.cluster.addresses import for_zeromq
from mindspore_serving.worker.config import WorkerConfig
from mindspore_serving.worker.signal_pipe import NEWS, SignalPipe
from mindspore_serving.worker.work_thread import WorkThread
from mindspore_serving.worker.worker import Worker

# A thread that computes in Python holds the others up for so long at a time. Python's own 5 ms cost MindSpore's thread
# and the link more than the switches do: benchmarks/overlap.py measures it.
SWITCH_SECONDS = 0.0005


def run(config: WorkerConfig, notify: Callable[[str], None]) -> int:
    """Serves until a signal comes or the master refuses. Returns the exit code. Raises ServingError.

    `notify` tells a service manager how far we are (sd_notify's words).
    """
    if config.cpu_affinity:
        _keep_to(config.cpu_affinity)
    sys.setswitchinterval(SWITCH_SECONDS)
    pipe = SignalPipe()
    models = WorkThread("MindSpore")
    try:
        worker = _load(config, models, pipe)
        gc.collect()
        gc.freeze()  # MindSpore's 160 thousand objects stay: no collection walks them, for tenths of a second
        return _serve(config, worker, pipe, notify)
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


def _serve(config: WorkerConfig, worker: Worker, pipe: SignalPipe, notify: Callable[[str], None]) -> int:
    def answered() -> None:
        notify("X_ANSWERED=1")  # a word of ours: the process that started this one may care

    def registered() -> None:
        print(f"Serving: Worker registered at {config.master}, {worker}", flush=True)
        notify("READY=1")

    with zmq.Context[zmq.Socket[bytes]]() as context:
        worker.connect(context, for_zeromq(config.master), registered, pipe.post, answered)
        if config.stop_when_stdin_closes:
            threading.Thread(target=_watch_stdin, name="stdin", daemon=True).start()
        while pipe.wait() != NEWS:
            notify("STOPPING=1")
            worker.drain(config.drain_seconds)
        worker.close()
    if worker.refusal is not None:
        print(f"the master at {config.master} refused this worker: {worker.refusal}", file=sys.stderr, flush=True)
        return 1
    return 0


def _keep_to(cores: frozenset[int]) -> None:
    """Before MindSpore counts the cores and starts its threads. Those of this moment, numpy's among them, move too."""
    for thread in os.listdir("/proc/self/task"):
        os.sched_setaffinity(int(thread), cores)


def _watch_stdin() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass  # what comes is nobody's; only the end counts
    os.kill(os.getpid(), signal.SIGTERM)
