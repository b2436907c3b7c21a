"""MindSpore's threads on one core: which one, and when to leave it."""

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from mindspore_serving.worker.core_choice import first_core, next_core
from mindspore_serving.worker.core_tie import CoreTie, busy_seconds
from tests.processes import ROOT, Processes, until

ALLOWED = {0, 1, 2}


def last(cores: Sequence[int]) -> int:
    return cores[-1]


def stay() -> bool:
    return False


def go() -> bool:
    return True


def test_the_first_core_is_one_of_the_least_busy_that_are_allowed() -> None:
    busy = {0: 0.9, 1: 0.05, 2: 0.0, 3: 0.0}
    assert first_core(busy, ALLOWED, last) == 2
    assert first_core(busy, ALLOWED, lambda cores: cores[0]) == 1
    assert first_core({}, ALLOWED, lambda cores: cores[0]) == 0  # nobody knows how busy they are


@pytest.mark.parametrize(
    "ours, busy, core",
    [
        (0.5, {0: 1.0, 1: 0.0, 2: 0.1}, 1),  # another worker has half of ours
        (0.9, {0: 1.0, 1: 0.0, 2: 0.0}, 0),  # it is we who keep it busy
        (0.5, {0: 1.0, 1: 0.4, 2: 0.4}, 0),  # elsewhere it would be hardly better
        (0.05, {0: 1.0, 1: 0.0, 2: 0.0}, 0),  # we do not need it now
        (0.5, {0: 1.0}, 0),  # nothing is known of the others
        (0.5, {}, 0),
        (0.5, {0: 1.0, 3: 0.0}, 0),  # that one is not ours
    ],
)
def test_a_core_is_left_to_others_where_another_one_is_freer(ours: float, busy: dict[int, float], core: int) -> None:
    assert next_core(0, ours, busy, ALLOWED, go) == core
    assert next_core(0, ours, busy, ALLOWED, stay) == 0


def test_how_long_cores_have_worked(tmp_path: Path) -> None:
    stat = tmp_path / "stat"
    stat.write_text(
        "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 100 10 20 5000 700 1 2 3 0 0\ncpu11 200 0 0 1 1 0 0 0\nintr 5\nbtime 1\n"
    )
    tick = os.sysconf("SC_CLK_TCK")
    assert busy_seconds(stat) == {0: 136 / tick, 11: 200 / tick}
    assert busy_seconds(tmp_path / "absent") == {}


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core: nothing to tie")
def test_the_caller_and_its_later_threads_are_tied_and_move_together() -> None:
    found: list[set[int]] = []

    def tied() -> None:
        tie = CoreTie()
        later = threading.Thread(target=wait.wait)
        later.start()
        assert later.native_id is not None
        other = min(os.sched_getaffinity(before) - {tie.core})
        found.extend([os.sched_getaffinity(0), os.sched_getaffinity(later.native_id), {tie.core}])
        tie.move(other)
        found.extend([os.sched_getaffinity(0), os.sched_getaffinity(later.native_id), {other}])
        wait.set()
        later.join()
        tie.end()

    wait = threading.Event()
    before = threading.get_native_id()
    everything = os.sched_getaffinity(0)
    thread = threading.Thread(target=tied)
    thread.start()
    thread.join()
    assert found[0] == found[1] == found[2] and found[3] == found[4] == found[5] != found[0]
    assert os.sched_getaffinity(0) == everything


def cores_of_threads(process: int) -> dict[str, list[set[int]]]:
    """By what the threads are called, up to the first _."""
    threads: dict[str, list[set[int]]] = {}
    for task in Path(f"/proc/{process}/task").iterdir():
        with suppress(ProcessLookupError, FileNotFoundError):  # a thread that has ended meanwhile
            name = (task / "comm").read_text().partition("_")[0].strip()
            threads.setdefault(name, []).append(os.sched_getaffinity(int(task.name)))
    return threads


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core: nothing to tie")
@pytest.mark.parametrize("wish", ["on", "off"])
def test_a_worker_ties_what_runs_its_model_and_nothing_else(run: Processes, servables: Path, wish: str) -> None:
    worker = run.start(
        *("-m", "mindspore_serving.worker", "--servable", str(servables / "add"), "--master", "127.0.0.1:1"),
        environment={"MINDSPORE_SERVING_ONE_CORE": wish, "MINDSPORE_SERVING_TUNE": "off"},
    )
    worker.wait_for("Start servable success")
    # A thread names itself when it has run for the first time.
    until(lambda: {"KernelThread", "ActorThread"} <= cores_of_threads(worker.pid).keys(), "MindSpore's threads")
    threads = cores_of_threads(worker.pid)
    everything = os.sched_getaffinity(0)
    mindspores = threads["KernelThread"] + threads["ActorThread"]
    if wish == "off":
        assert all(cores == everything for cores in [*mindspores, *threads["python"]])
    else:
        (core,) = {tuple(cores) for cores in mindspores}
        assert len(core) == 1
        assert sorted(map(len, threads["python"]))[0] == 1 and everything in threads["python"]
        assert all(cores == everything for name in threads if name.startswith("ZMQ") for cores in threads[name])


def test_a_wish_that_is_none_is_told_in_one_line(servables: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mindspore_serving.worker", "--servable", str(servables / "add"), "--master", "[::1]:1"],
        env={**os.environ, "MINDSPORE_SERVING_ONE_CORE": "yes"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode and "$MINDSPORE_SERVING_ONE_CORE 'yes' is neither on nor off" in done.stderr
    assert "Traceback" not in done.stderr
