"""`mindspore-serving chaos`: each fault at least once on a real cluster, and nothing is lost or wrong."""

import json
import re
import signal
from pathlib import Path

import pytest

from mindspore_serving.chaos.faults import Fault
from tests.end_to_end.test_docs import operator_commands
from tests.processes import ROOT, Process, Processes, until


@pytest.mark.parametrize("masters", [1, 2])
def test_nothing_is_lost_or_wrong_under_any_fault(run: Processes, tmp_path: Path, masters: int) -> None:
    figures, logs = tmp_path / "figures.json", tmp_path / "logs"
    commands = operator_commands("docs/reliability.md", {"--seconds 30": "--seconds 5"})
    short = ("--interval-seconds", "0.4", "--seed", "1", "--json", str(figures), "--logs", str(logs))
    chaos = run.start(*commands[masters - 1], *short)
    assert chaos.wait() == 0, chaos.output
    assert f"chaos: masters {masters}, workers 4" in chaos.output and "passed, seed 1" in chaos.output
    found = json.loads(figures.read_text())
    assert set(found["cluster"]["faults"]) == {fault.value for fault in Fault}
    assert (found["calls"]["lost"], found["calls"]["wrong"], found["duplicated"]) == (0, 0, 0)
    assert found["calls"]["isolated"] == found["cluster"]["faults"]["poison"]
    assert {log.name for log in logs.glob("*.log")} >= {"master-0.log", "worker-0.log", "worker-3.log", "clients.log"}
    assert not [log for log in logs.glob("*.log") if "Traceback" in log.read_text()]


def running_chaos(run: Processes, folder: Path) -> tuple[Process, set[int]]:
    """It runs until it is told to end; with the pids of its processes."""
    chaos = run.start(
        *("-m", "mindspore_serving", "chaos", "--seconds", "600", "--faults", "cut-network", "--workers", "2"),
        *("--logs", str(folder)),
    )
    chaos.wait_for(" s  cut-network")
    children = chaos.children()
    assert len(children) == 5  # one master, two workers, two clients
    return chaos, children


def alive(pids: set[int]) -> list[int]:
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_ctrl_c_ends_chaos_with_a_verdict_and_leaves_nobody(run: Processes, tmp_path: Path) -> None:
    chaos, children = running_chaos(run, tmp_path)
    assert chaos.stop(signal.SIGINT) == 0, chaos.output
    assert "passed, seed" in chaos.output
    assert not alive(children)


def test_killed_chaos_leaves_nobody(run: Processes, tmp_path: Path) -> None:
    chaos, children = running_chaos(run, tmp_path)
    chaos.kill()
    until(lambda: not alive(children), "the end of its processes")


def test_a_process_that_cannot_start_is_named_with_its_reason(run: Processes, tmp_path: Path) -> None:
    (tmp_path / "zmq.py").write_text("raise ModuleNotFoundError('no zmq here', name='zmq')\n")
    place = {"PYTHONPATH": f"{ROOT}:{tmp_path}"}
    chaos = run.start("-m", "mindspore_serving", "chaos", "--logs", str(tmp_path / "logs"), environment=place)
    assert chaos.wait() == 1
    reason = r"^(master|worker)-[0-3] ended with exit code 1 at its start: .* needs the package zmq.* \(the output of "
    assert re.search(reason, chaos.last_line)
    assert chaos.output.count("\n") == 1
