"""Workers inside the master's own process (the tutorial's lightweight deployment): the same code, over inproc://."""

import threading
from pathlib import Path

import zmq

from mindspore_serving.cluster.errors import SetupError
from mindspore_serving.worker.target import Target
from mindspore_serving.worker.work_thread import WorkThread
from mindspore_serving.worker.worker import Worker


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
        settled = threading.Event()
        worker.connect(self._context, [self._endpoint], lambda _: settled.set(), settled.set)
        self._workers.append(worker)
        settled.wait()
        if worker.refusal is not None:
            raise SetupError(worker.refusal)

    def close(self) -> None:
        """Ends the workers, after the master has answered what it accepted: nothing is open any more."""
        for worker in self._workers:
            worker.drain(0.0)
        for worker in self._workers:
            worker.close()
        self._workers.clear()
        if self._models is not None:
            self._models.close()
            self._models = None
