"""Workers inside the master's own process (the tutorial's lightweight deployment): the same code, over inproc://."""

import os
import threading
import time
from pathlib import Path
from typing import NoReturn

import zmq

from mindspore_serving.cluster.errors import SetupError
from mindspore_serving.telling import tell_reason
from mindspore_serving.worker.process import HUNG_EXIT_CODE
from mindspore_serving.worker.target import Target
from mindspore_serving.worker.work_thread import WorkThread
from mindspore_serving.worker.worker import Worker

SECONDS_TO_END = 10.0  # for what runs when nobody waits for it any more


class InProcessWorkers:
    """Any number of servables beside one master. Not for use from several threads at once."""

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", endpoint: str) -> None:
        self._context = context
        self._endpoint = endpoint
        self._models: WorkThread | None = None
        self._workers: list[Worker] = []

    def add(self, path: Path, *, version: int, target: Target) -> None:
        """Loads the servable in this folder and returns when it is registered. Raises ServingError."""
        if self._models is None:
            self._models = WorkThread("MindSpore")
        path = path.resolve()
        worker = Worker(path.parent, path.name, self._models, version=version, target=target)
        settled, serves = threading.Event(), threading.Event()

        def registered(_: str) -> None:
            serves.set()
            settled.set()

        def closed() -> None:
            if serves.is_set() and worker.refusal is not None:
                _end_without(worker)
            settled.set()

        worker.connect(self._context, [self._endpoint], registered, closed)
        self._workers.append(worker)
        settled.wait()
        if worker.refusal is not None:
            raise SetupError(worker.refusal)

    def close(self, seconds: float = SECONDS_TO_END) -> bool:
        """Ends the workers, after the master has answered what it accepted: nothing is open any more.

        False: a function or a model still runs after so many seconds. It ends with the process.
        """
        end = time.monotonic() + seconds

        def left() -> float:
            return max(0.0, end - time.monotonic())

        for worker in self._workers:
            worker.drain(0.0)
        have_ended = [worker.close(left()) for worker in self._workers]
        self._workers.clear()
        if self._models is not None:
            have_ended.append(self._models.close(left()))
            self._models = None
        return all(have_ended)


def _end_without(worker: Worker) -> NoReturn:
    """The master of this process was started for it: whoever did so starts both again."""
    end = worker.end
    is_hung = end is not None and end.is_hung
    what = "was given up" if is_hung else "has failed"
    tell_reason(f"{worker} {what}, and this process ends with it: {worker.refusal}")
    os._exit(HUNG_EXIT_CODE if is_hung else 1)  # what hangs cannot be ended otherwise
