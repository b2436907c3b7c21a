"""The life of a worker process: load, register, work, drain, exit."""

import logging
import os
import queue
import signal
import sys
from collections.abc import Callable
from enum import Enum, auto
from types import FrameType

import zmq

from mindspore_serving.cluster.errors import ServingError
from mindspore_serving.worker.config import WorkerConfig
from mindspore_serving.worker.work_thread import WorkThread
from mindspore_serving.worker.worker import Worker

logger = logging.getLogger("mindspore_serving.worker")

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class _Event(Enum):
    STOP = auto()
    CLOSED = auto()


class _StoppedWhileLoading(BaseException):
    """Raised by a signal's handler, through whatever the user's code does."""


def run(config: WorkerConfig, notify: Callable[[str], None]) -> int:
    """Serves until a signal comes or the master refuses. Returns the exit code; a failure's reason is the last line.

    `notify` tells a service manager how far we are (sd_notify's words).
    """
    models = WorkThread("MindSpore")
    try:
        worker = _load(config, models)
    except ServingError as error:
        print(error, file=sys.stderr, flush=True)
        return 1
    except _StoppedWhileLoading:
        # MindSpore may be in the middle of a compilation that nothing can interrupt.
        print("Serving: stopped while loading", flush=True)
        os._exit(0)
    try:
        return _serve(config, worker, notify)
    finally:
        models.close()


def _load(config: WorkerConfig, models: WorkThread) -> Worker:
    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise _StoppedWhileLoading

    for number in _SIGNALS:
        signal.signal(number, stop)
    directory, name = config.place()
    return Worker(
        directory,
        name,
        models,
        version=config.version,
        device_type=config.device_type,
        device_id=config.device,
    )


def _serve(config: WorkerConfig, worker: Worker, notify: Callable[[str], None]) -> int:
    events: queue.SimpleQueue[_Event] = queue.SimpleQueue()  # its put() may be called from a signal's handler
    for number in _SIGNALS:
        signal.signal(number, lambda _signal, _frame: events.put(_Event.STOP))

    def registered() -> None:
        print(f"Serving: Worker registered at {config.master}, {worker}", flush=True)
        notify("READY=1")

    with zmq.Context[zmq.Socket[bytes]]() as context:
        worker.connect(context, f"tcp://{config.master}", registered, lambda: events.put(_Event.CLOSED))
        while events.get() is _Event.STOP:
            notify("STOPPING=1")
            worker.drain(config.drain_seconds)
        worker.close()
    if worker.refusal is not None:
        print(f"the master at {config.master} refused this worker: {worker.refusal}", file=sys.stderr, flush=True)
        return 1
    return 0
