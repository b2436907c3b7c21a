"""MindSpore without threads of its own: the one that calls computes alone, where that was wished or found faster."""

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from mindspore_serving.cluster.errors import ServableError
from mindspore_serving.worker import mindspore_model
from tests.processes import ROOT, Processes, until

KERNEL_THREAD, ACTOR_THREAD = "KernelThread", "ActorThread"


def threads_of(process: int) -> set[str]:
    """What the threads are called, up to the first _."""
    found = set()
    for task in Path(f"/proc/{process}/task").iterdir():
        with suppress(ProcessLookupError, FileNotFoundError):  # a thread that has ended meanwhile
            found.add((task / "comm").read_text().partition("_")[0].strip())
    return found


@pytest.mark.parametrize("wish", ["on", "off"])
def test_a_worker_starts_threads_for_operators_unless_one_is_enough(run: Processes, servables: Path, wish: str) -> None:
    worker = run.start(
        *("-m", "mindspore_serving.worker", "--servable", str(servables / "add"), "--master", "127.0.0.1:1"),
        environment={"MINDSPORE_SERVING_ONE_THREAD": wish, "MINDSPORE_SERVING_TUNE": "off"},
    )
    worker.wait_for("Start servable success")
    # A thread names itself when it has run for the first time.
    until(lambda: ACTOR_THREAD in threads_of(worker.pid), "MindSpore's threads")
    if wish == "off":
        until(lambda: KERNEL_THREAD in threads_of(worker.pid), "MindSpore's threads for operators")
    else:
        assert KERNEL_THREAD not in threads_of(worker.pid)
    assert ("MindSpore runs with" in worker.output and "one thread" in worker.output) == (wish == "on")


def test_a_context_that_asks_for_threads_gets_them(run: Processes, servables: Path, tmp_path: Path) -> None:
    config = shutil.copytree(servables / "add", tmp_path / "add") / "servable_config.py"
    declared = config.read_text().replace(
        'model_format="MindIR"', 'model_format="MindIR", context=register.Context(thread_num=2)'
    )
    assert "thread_num=2" in declared
    config.write_text(declared)
    worker = run.start(
        *("-m", "mindspore_serving.worker", "--servable", str(tmp_path / "add"), "--master", "127.0.0.1:1"),
        environment={"MINDSPORE_SERVING_ONE_THREAD": "on", "MINDSPORE_SERVING_TUNE": "off"},
    )
    worker.wait_for("Start servable success")
    until(lambda: KERNEL_THREAD in threads_of(worker.pid), "MindSpore's threads for operators")


def test_two_models_may_both_ask_for_threads(run: Processes, servables: Path, tmp_path: Path) -> None:
    """MindSpore takes the number once: the second one is told, and served."""
    folder = shutil.copytree(servables / "add", tmp_path / "add")
    shutil.copy(folder / "1" / "tensor_add.mindir", folder / "1" / "other.mindir")
    config = folder / "servable_config.py"
    first = config.read_text().replace(
        "with_batch_dim=False", "context=register.Context(thread_num=1), with_batch_dim=False"
    )
    second = 'register.declare_model("other.mindir", "MindIR", False, context=register.Context(thread_num=2))'
    config.write_text(f"{first}\n{second}\n")
    worker = run.start(
        *("-m", "mindspore_serving.worker", "--servable", str(folder), "--master", "127.0.0.1:1"),
        environment={"MINDSPORE_SERVING_TUNE": "off"},
    )
    worker.wait_for("Start servable success")
    assert "2 for an operator come too late" in worker.output


def test_a_mindspore_that_cannot_do_it_is_told_and_serves_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    import mindspore

    monkeypatch.delattr(mindspore.runtime, "dispatch_threads_num")
    with pytest.raises(ServableError, match=r"^MindSpore keeps threads for its operators: .*dispatch_threads_num"):
        mindspore_model.set_one_thread()


def test_a_wish_that_is_none_is_told_in_one_line(servables: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mindspore_serving.worker", "--servable", str(servables / "add"), "--master", "[::1]:1"],
        env={**os.environ, "MINDSPORE_SERVING_ONE_THREAD": "yes"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode and "$MINDSPORE_SERVING_ONE_THREAD 'yes' is neither on nor off" in done.stderr
    assert "Traceback" not in done.stderr
