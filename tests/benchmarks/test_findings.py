"""What the benchmarks make of their rounds: medians, ratios, tables, the picture; and that they run."""

import json
import os
import subprocess
import sys
import xml.etree.ElementTree
from pathlib import Path

import pytest

from benchmarks import scale
from benchmarks.findings import Findings, Load, Round
from benchmarks.peers import PeerError, available
from benchmarks.picture import draw
from benchmarks.processor import cpu_seconds, descendants, resident_megabytes
from tests.processes import ROOT, Processes

LOAD = Load("add", 16, 8)


def a_round(rate: float, errors: int = 0, load_cpu_share: float = 0.1) -> Round:
    return Round(rate, 4.0, 3.0, 9.0, 50.0, 100.0, load_cpu_share, errors)


@pytest.fixture
def findings() -> Findings:
    """Two servers and an echo, over three rounds of which the second one was slow for all."""
    found = Findings(["ours", "original", "echo"], frozenset({"echo"}))
    for ours, original in ((300.0, 100.0), (100.0, 50.0), (200.0, 100.0)):
        found.add(LOAD, "ours", a_round(ours))
        found.add(LOAD, "original", a_round(original))
    found.add(LOAD, "echo", a_round(5000.0, errors=2))
    return found


def test_ratios_are_made_within_a_round_against_the_original(findings: Findings) -> None:
    assert findings.rate(LOAD, "ours") == 200.0
    assert findings.ratio(LOAD, "ours") == 2.0
    assert findings.ratio(LOAD, "echo") is None
    assert findings.errors == 2


def test_without_the_original_ratios_are_made_against_the_first_server() -> None:
    found = Findings(["echo", "one", "two"], frozenset({"echo"}))
    found.add(LOAD, "one", a_round(100.0))
    found.add(LOAD, "two", a_round(50.0))
    assert (found.baseline(), found.ratio(LOAD, "two")) == ("one", 0.5)


def test_the_table_has_a_line_for_each_server(findings: Findings) -> None:
    (table,) = findings.tables()
    assert table.startswith("**add**, 16 instances a request")
    assert "| 8 | ours | 200 (100-300) | 2.00 | 4.00 | 3.00 | 9.00 | 50 + 100 |" in table
    assert "| 8 | echo | 5000 (5000-5000) |  | 4.00 | 3.00 | 9.00 | 50 |" in table


def test_a_load_that_may_be_the_bottleneck_is_noted(findings: Findings) -> None:
    assert list(findings.notes()) == []
    for share in (0.95, 0.2, 0.9):
        findings.add(LOAD, "fast", a_round(9000.0, load_cpu_share=share))
    (note,) = findings.notes()
    assert note == "note: add, 16 instances, 8 callers: the load took 90% of a core, and may be what bounds fast"


def test_the_json_has_every_round(findings: Findings) -> None:
    ours, *_ = json.loads(json.dumps(findings.as_json()))
    assert (ours["workload"], ours["peer"], ours["ratio"]) == ("add", "ours", 2.0)
    assert [found["requests_per_second"] for found in ours["rounds"]] == [300.0, 100.0, 200.0]


def test_the_picture_is_svg_with_a_bar_for_each_server(findings: Findings) -> None:
    picture = xml.etree.ElementTree.fromstring(draw(findings))
    bars = [bar for bar in picture.iter("{http://www.w3.org/2000/svg}rect") if bar.get("width") == "30"]
    assert len(bars) == 3
    assert max(float(bar.attrib["height"]) for bar in bars) == 120.0


def test_a_process_tells_its_cpu_memory_and_children(run: Processes) -> None:
    child = run.start("-c", "print('ready', flush=True); input()")
    assert cpu_seconds([os.getpid()]) > 0
    assert child.pid in descendants(os.getpid())
    child.wait_for("ready")
    assert resident_megabytes(os.getpid()) > 1


def test_the_core_can_be_measured_at_any_scale() -> None:
    cell = scale.measure(20, 4)
    assert cell is not None and min(cell.request, cell.register, cell.drop, cell.lose) > 0


def test_servers_are_measured_side_by_side(tmp_path: Path) -> None:
    small = ("--workloads", "add", "--callers", "2", "--instances", "1", "--rounds", "1", "--seconds", "0.2")
    options = (*small, "--engine", "grpcio", "--peers", "asleep,ours,echo", "--out", str(tmp_path))
    command = [sys.executable, "-m", "benchmarks.serving", *options]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    found = json.loads((tmp_path / "serving.json").read_text())
    servers = {cell["peer"]: cell["rounds"][0] for cell in found["cells"]}
    assert set(servers) == {"asleep lean", "ours lean", "ours grpcio", "echo lean", "echo grpcio"}
    assert all(one["requests_per_second"] > 0 and not one["errors"] for one in servers.values())
    assert "| 2 | asleep" in done.stdout
    xml.etree.ElementTree.parse(tmp_path / "serving.svg")


def test_a_caller_who_comes_seldom_is_measured() -> None:
    options = ("--workloads", "add_batch", "--rates", "100,200", "--rounds", "1", "--seconds", "0.2")
    command = [sys.executable, "-m", "benchmarks.seldom", *options]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    heads = [line.partition(" us ")[0].rpartition(" ")[0] for line in done.stdout.splitlines()]
    assert heads == [f"add_batch, {rate} calls a second: ours lean" for rate in (100, 200)]


def test_callers_with_a_new_connection_for_each_call_are_measured() -> None:
    options = ("--workload", "add", "--callers", "1,4", "--rounds", "1", "--seconds", "0.2")
    command = [sys.executable, "-m", "benchmarks.connections", *options]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert [line.partition(",")[0].partition(" lean")[0] for line in done.stdout.splitlines()] == [
        f"{callers} at once: ours" for callers in (1, 4)
    ]


@pytest.mark.parametrize(
    "option, value", [("--rates", "0"), ("--rates", "10,-1"), ("--rounds", "0"), ("--seconds", "x")]
)
def test_what_cannot_be_measured_is_one_line(option: str, value: str) -> None:
    command = [sys.executable, "-m", "benchmarks.seldom", option, value]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert [line.partition(" ")[0] for line in done.stderr.splitlines()] == [option]


@pytest.mark.parametrize(
    "words, reason",
    [
        (("--workloads", "nope"), "'nope' is not one of add, add_batch, mlp, image, lenet"),
        (("--callers", "a"), "'a' is not numbers with commas between"),
    ],
)
def test_a_wrong_option_is_named(words: tuple[str, ...], reason: str) -> None:
    command = [sys.executable, "-m", "benchmarks.serving", *words]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert reason in done.stderr.splitlines()[-1]


def test_an_original_that_is_not_installed_is_said_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(PeerError, match=r"not installed in .*: run benchmarks/original/setup.sh"):
        available(tmp_path / "models", tmp_path, [])
