"""The benchmarks that the documentation names still run, each in its shortest form, and find what they compare."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ENOUGH_SECONDS = 120

TOOLS = {
    "hot_path": "us of CPU a request without sockets",
    "large_requests --rounds 1": "us",
    "grpc_door --calls 200 --rounds 1": "lean",
    "transports": "direct",
    "scale --quick": "| 1,000 | 100 |",
    "one_thread": "cores kept busy meanwhile",
    "policy --quick": "| idle, window 2 |",
    "processes --processes 1,2 --rounds 1 --seconds 0.2": "\n        2 ",
    "worker_path --workloads add_batch --rounds 1 --seconds 0.01": "add_batch         32",
    "worker_path --workloads add_batch --rounds 1 --seconds 0.01 --transports": "add_batch         32",
}
WITH_H2LOAD = {
    "compiled --callers 1 --rounds 1 --seconds 0.2": "sources",
    "doors --workloads add_batch --callers 1 --instances 1 --rounds 1 --seconds 0.1": "| v2 gRPC, shared memory |",
    "serving --workloads add_batch --callers 1 --instances 1 --rounds 1 --seconds 0.1": "| 1 | ours lean |",
}


def run(tool: str, folder: Path) -> str:
    name, *arguments = tool.split()
    if name == "serving":
        arguments += ["--out", str(folder)]
    command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=ENOUGH_SECONDS)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("tool", TOOLS)
def test_a_benchmark_runs(tool: str, tmp_path: Path) -> None:
    assert TOOLS[tool] in run(tool, tmp_path)


@pytest.mark.skipif(shutil.which("h2load") is None, reason="h2load is not installed")
@pytest.mark.parametrize("tool", WITH_H2LOAD)
def test_a_benchmark_that_needs_h2load_runs(tool: str, tmp_path: Path) -> None:
    assert WITH_H2LOAD[tool] in run(tool, tmp_path)
