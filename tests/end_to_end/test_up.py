"""`mindspore-serving up`: a master and workers in one command, kept running until Ctrl-C."""

import json
import os
import re
import signal
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from mindspore_serving.client import Client
from tests.processes import Processes, free_port, until

TO_A_FULL_DISK = """
import os, sys
from mindspore_serving.__main__ import main
os.dup2(os.open("/dev/full", os.O_WRONLY), 1)
sys.exit(main())
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_up_serves_keeps_its_workers_running_and_drains(
    run: Processes, servables: Path, tmp_path: Path, number: signal.Signals
) -> None:
    grpc, rest = free_port(), free_port()
    up = run.start(
        *("-m", "mindspore_serving", "up", f"{servables / 'add'}:0,1", "--logs", str(tmp_path / "logs")),
        *("--grpc", str(grpc), "--rest", str(rest), "--shared-memory", "mindspore-serving-test-*"),
    )
    up.wait_for("all 2 workers are ready")
    assert re.search(r"add on CPU:1: ready after [0-9.]+ s", up.output)
    assert {file.name for file in (tmp_path / "logs").iterdir()} == {f"log_add_device{i}_version1.log" for i in (0, 1)}
    with urllib.request.urlopen(f"http://127.0.0.1:{rest}/v2") as answer:
        assert "system_shared_memory" in json.load(answer)["extensions"]
    one = np.ones((2, 2), np.float32)
    with Client(f"127.0.0.1:{grpc}", "add", "add_common") as client:
        before = up.children()
        os.kill(min(before), signal.SIGKILL)
        results = client.infer([{"x1": one, "x2": one}] * 20)
        assert isinstance(results, list), results
        assert all(np.array_equal(result["y"], one + one) for result in results), results
        up.wait_for("killed by SIGKILL, starting again in 1 s")
        up.wait_for(": ready after", times=3)
        workers = up.children()
        assert len(workers) == 2
    assert up.stop(number) == 0, up.output
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), "the end of the workers")
    assert up.output.count("ended with exit code 0") == 2


def test_up_tries_a_worker_that_cannot_load_again_and_says_why(run: Processes, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "servable_config.py").write_text("import nothing_of_the_kind\n")
    up = run.start("-m", "mindspore_serving", "up", str(tmp_path / "mine"), "--grpc", str(free_port()))
    up.wait_for("starting again in 2 s")
    assert "servable_config.py:1: ModuleNotFoundError: No module named 'nothing_of_the_kind'" in up.output
    assert up.stop() == 0


def test_a_busy_port_ends_up_with_one_line_and_leaves_nothing(run: Processes, servables: Path) -> None:
    port = free_port()
    first = run.start("-m", "mindspore_serving", "up", str(servables / "add"), "--grpc", str(port))
    first.wait_for("all 1 workers are ready")
    second = run.start("-m", "mindspore_serving", "up", str(servables / "add"), "--grpc", str(port))
    assert second.wait() == 1
    assert second.output.count("\n") == 1
    assert f"create server failed, address 127.0.0.1:{port}" in second.output
    assert first.stop() == 0


def test_up_keeps_its_workers_running_where_nobody_can_read_what_it_prints(
    run: Processes, servables: Path, tmp_path: Path
) -> None:
    port, log = free_port(), tmp_path / "log_add_device0_version1.log"
    up = run.start(
        *("-c", TO_A_FULL_DISK, "up", str(servables / "add"), "--grpc", str(port), "--logs", str(tmp_path)),
    )

    def workers_so_far() -> int:
        return log.read_text().count("Worker registered at") if log.exists() else 0

    until(lambda: workers_so_far() == 1, "the worker")
    (worker,) = up.children()
    os.kill(worker, signal.SIGKILL)
    until(lambda: workers_so_far() == 2, "the next worker")
    one = np.ones((2, 2), np.float32)
    with Client(f"127.0.0.1:{port}", "add", "add_common") as client:
        results = client.infer({"x1": one, "x2": one})
    assert isinstance(results, list), results
    assert np.array_equal(results[0]["y"], one + one), results
    assert up.stop() == 0, up.output
    assert "Traceback" not in up.output
