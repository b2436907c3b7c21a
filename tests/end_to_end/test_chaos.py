"""`mindspore-serving chaos`: each fault at least once on a real cluster, and nothing is lost or wrong."""

import json
import signal
from pathlib import Path

from mindspore_serving.chaos.faults import POISON_DEATHS, Fault
from tests.processes import Processes


def test_nothing_is_lost_or_wrong_under_any_fault(run: Processes, tmp_path: Path) -> None:
    figures, logs = tmp_path / "figures.json", tmp_path / "logs"
    chaos = run.start(
        *("-m", "mindspore_serving", "chaos", "--seed", "1", "--seconds", "8", "--interval-seconds", "0.5"),
        *("--json", str(figures), "--logs", str(logs)),
    )
    assert chaos.wait() == 0, chaos.output
    assert "passed, seed 1" in chaos.output
    found = json.loads(figures.read_text())
    assert set(found["cluster"]["faults"]) == {fault.value for fault in Fault}
    assert (found["calls"]["lost"], found["calls"]["wrong"], found["duplicated"]) == (0, 0, 0)
    assert found["calls"]["isolated"] == found["cluster"]["faults"]["poison"]
    assert found["cluster"]["poison_deaths"] <= POISON_DEATHS * found["cluster"]["faults"]["poison"]
    assert {log.name for log in logs.glob("*.log")} >= {"master-0.log", "worker-0.log", "worker-3.log", "clients.log"}
    assert not [log for log in logs.glob("*.log") if "Traceback" in log.read_text()]


def test_ctrl_c_ends_chaos_with_a_verdict_and_leaves_nobody(run: Processes) -> None:
    chaos = run.start("-m", "mindspore_serving", "chaos", "--seconds", "600", "--faults", "stop-worker")
    chaos.wait_for(" s  stop-worker")
    children = chaos.children()
    assert chaos.stop(signal.SIGINT) == 0, chaos.output
    assert "passed, seed" in chaos.output
    assert children and not [pid for pid in children if Path(f"/proc/{pid}").exists()]
