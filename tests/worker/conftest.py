"""Servables for the worker's tests: models exported once, config files written by each test."""

import shutil
import textwrap
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import pytest

from mindspore_serving.cluster.messages import BatchDone, RunBatch
from mindspore_serving.cluster.tensors import Column
from mindspore_serving.worker import mindspore_model, rewrites
from mindspore_serving.worker.loading import load_servable
from mindspore_serving.worker.servable import Servable
from mindspore_serving.worker.target import Target
from mindspore_serving.worker.work_thread import WorkThread

WAIT_SECONDS = 60

T = TypeVar("T")


@pytest.fixture(scope="session")
def mindspore_thread() -> Iterator[WorkThread]:
    """One for all tests: MindSpore must never meet a second thread in a process."""
    thread = WorkThread("MindSpore")
    yield thread
    thread.close()


@pytest.fixture
def on_thread(mindspore_thread: WorkThread) -> Callable[[Callable[[], Any]], Any]:
    """Calls there, for what has no servable."""
    mindspore_thread.call(lambda: mindspore_model.set_device(Target()))
    return mindspore_thread.call


@pytest.fixture
def called_by_mindspore(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs are written as if MindSpore was to call all that is in them."""
    monkeypatch.setattr(rewrites, "may_be_straight", lambda _: False)


class Workshop:
    """Writes servables and loads them."""

    def __init__(self, folder: Path, models: Path, thread: WorkThread) -> None:
        self.folder = folder
        self._models = models
        self._thread = thread
        self._loaded: list[Servable] = []

    def write(self, config: str, model: str | None = None, name: str = "mine") -> Path:
        """A servable's folder; `model` is the exported model that becomes version 1."""
        place = self.folder / name
        place.mkdir(exist_ok=True)
        shutil.rmtree(place / "__pycache__", ignore_errors=True)  # Python knows a file by its size and second
        if model is not None:
            shutil.copytree(self._models / model / "1", place / "1", dirs_exist_ok=True)
        header = "from mindspore_serving.server import register\n"
        (place / "servable_config.py").write_text(header + textwrap.dedent(config))
        return place

    def load(self, name: str = "mine", version: int = 0, target: Target = Target()) -> Servable:  # noqa: B008
        servable = load_servable(self.folder, name, version, target, self._thread)
        self._loaded.append(servable)
        return servable

    def on_mindspore_thread(self, function: Callable[[], T]) -> T:
        return self._thread.call(function)

    def make(self, config: str, model: str | None = None, name: str = "mine") -> Servable:
        self.write(config, model, name)
        return self.load(name)

    def close(self) -> None:
        for servable in self._loaded:
            servable.close()


@pytest.fixture
def workshop(tmp_path: Path, models: Path, mindspore_thread: WorkThread) -> Iterator[Workshop]:
    shop = Workshop(tmp_path, models, mindspore_thread)
    yield shop
    shop.close()


Run = Callable[..., BatchDone]


def run(servable: Servable, method: str, count: int, *columns: Column) -> BatchDone:
    """A batch's answer."""
    future: Future[BatchDone] = Future()
    servable.submit(RunBatch(1, method, count, columns), future.set_result)
    return future.result(WAIT_SECONDS)
