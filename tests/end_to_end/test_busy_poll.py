"""A cluster whose calls come quickly may use cores to wait; it answers the same, and sleeps when nobody calls."""

import time
from pathlib import Path

import numpy as np
import pytest

from mindspore_serving.client import Client
from mindspore_serving.spare_cores import may_poll
from tests.end_to_end.test_commands import master, worker
from tests.processes import Process, Processes, free_port, until

CALLS = 300


def cpu_seconds(process: Process) -> float:
    """Of all its threads, by proc(5)."""
    tasks = Path(f"/proc/{process.pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def call(grpc: int) -> None:
    with Client(f"127.0.0.1:{grpc}", "add", "add_common") as client:
        for number in range(CALLS):
            one = np.full((2, 2), number, np.float32)
            results = client.infer([{"x1": one, "x2": one}])
            assert isinstance(results, list), results
            assert np.array_equal(results[0]["y"], one + one), results


def sleeps(process: Process) -> bool:
    before = cpu_seconds(process), time.monotonic()
    until(lambda: time.monotonic() > before[1] + 0.1, "a moment")
    return cpu_seconds(process) - before[0] < 0.5 * (time.monotonic() - before[1])


def sleeps_of(process: Process) -> int:
    """How often its threads have gone to sleep, by proc(5)."""
    states = [state.read_text() for state in Path(f"/proc/{process.pid}/task").glob("*/status")]
    return sum(int(state.partition("\nvoluntary_ctxt_switches:")[2].split()[0]) for state in states)


WITHOUT_MODEL = """
from mindspore_serving.server import register

def add(x1, x2):
    return x1 + x2

@register.register_method(output_names=["y"])
def add_common(x1, x2):
    return register.add_stage(add, x1, x2, outputs_count=1)
"""


@pytest.fixture(params=["a model", "a function"])
def either(request: pytest.FixtureRequest, servables: Path, tmp_path: Path) -> Path:
    """A directory with the servable `add`, which a model computes, or a function."""
    if request.param == "a model":
        return servables
    (tmp_path / "add").mkdir()
    (tmp_path / "add" / "servable_config.py").write_text(WITHOUT_MODEL)
    return tmp_path


@pytest.mark.skipif(not may_poll(None), reason="this machine has no core to spare")
@pytest.mark.parametrize("mode", ["auto", "off"])
def test_who_may_looks_for_the_next_call_instead_of_sleeping(run: Processes, either: Path, mode: str) -> None:
    front, grpc, ctrl = master(run, "--busy-poll", mode)
    hand = worker(run, either, ctrl, "--busy-poll", mode)
    hand.wait_for("Worker registered at")

    def as_expected() -> bool:
        """Asleep, a call wakes the master when it comes and when its batch is done, and two threads of the worker."""
        before = sleeps_of(front), sleeps_of(hand)
        call(grpc)
        masters, workers = sleeps_of(front) - before[0], sleeps_of(hand) - before[1]
        is_awake = masters < CALLS and workers < 1.8 * CALLS
        return is_awake if mode == "auto" else not is_awake

    until(as_expected, "calls that find everybody awake, or asleep")


@pytest.mark.parametrize("mode", ["auto", "off"])
def test_calls_are_answered_alike_and_who_has_nothing_to_do_sleeps(run: Processes, servables: Path, mode: str) -> None:
    front, grpc, ctrl = master(run, "--busy-poll", mode)
    hand = worker(run, servables, ctrl, "--busy-poll", mode)
    hand.wait_for("Worker registered at")
    call(grpc)
    until(lambda: sleeps(front) and sleeps(hand), "sleep")
    call(grpc)
    assert hand.stop() == 0
    assert front.stop() == 0


def test_a_mode_that_is_none_is_refused_by_option_and_by_environment(run: Processes) -> None:
    front = ("-m", "master", "--grpc", str(free_port()), "--ctrl", str(free_port()))
    hand = ("-m", "worker", "--servable", "add", "--master", "h:1")
    for command in (front, hand):
        refused = run.start(*command, "--busy-poll", "on")
        assert refused.wait() == 2
        assert "--busy-poll 'on'" in refused.last_line and "auto" in refused.last_line
        refused = run.start(*command, environment={"MINDSPORE_SERVING_BUSY_POLL": "on"})
        assert refused.wait() == 1
        assert "$MINDSPORE_SERVING_BUSY_POLL 'on'" in refused.last_line and "auto" in refused.last_line


def test_up_hands_it_on_to_its_workers(run: Processes, servables: Path) -> None:
    up = run.start(
        "-m", "mindspore_serving", "up", str(servables / "add"), "--grpc", str(free_port()), "--busy-poll", "off"
    )
    up.wait_for("all 1 workers are ready")
    (child,) = up.children()
    assert b"--busy-poll\0off" in Path(f"/proc/{child}/cmdline").read_bytes()
    assert up.stop() == 0
