"""The RESTful door with real commands and a real model: from the command line and from a 1.2 start script."""

import json
import signal
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.processes import ROOT, Process, Processes, free_port

ONES = [[1.0, 1.0], [1.0, 1.0]]


def post(port: int, method: str, instances: Any) -> Any:
    url = f"http://127.0.0.1:{port}/model/add:{method}"
    with urllib.request.urlopen(url, json.dumps({"instances": instances}).encode(), timeout=60) as response:
        return json.load(response)


def check_sums(port: int) -> None:
    """Both methods of the example answer; a wrong instance has its error in its place."""
    assert post(port, "add_common", {"x1": ONES, "x2": [[1.5, 2], [3, 4]]}) == {
        "error_msg": "Parser request failed, json array, elements type is not equal"
    }
    assert post(port, "add_common", {"x1": ONES, "x2": [[1.5, 2.0], [3.0, 4.0]]}) == {
        "instances": [{"y": [[2.5, 3.0], [4.0, 5.0]]}]
    }
    assert post(port, "add_cast", [{"x1": [[1, 2], [3, 4]], "x2": ONES}]) == {
        "instances": [{"y": [[2.0, 3.0], [4.0, 5.0]]}]
    }
    good, bad = post(port, "add_common", [{"x1": ONES, "x2": ONES}, {"x1": [[1, 2], [3, 4]], "x2": ONES}])["instances"]
    assert good == {"y": [[2.0, 2.0], [2.0, 2.0]]}
    assert bad == {
        "error_msg": "Given model input 0 data type kMSI_Int32 not match the data type kMSI_Float32 defined in model"
    }


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_commands_serve_json_and_end_cleanly(run: Processes, servables: Path, number: int) -> None:
    rest, ctrl = free_port(), free_port()
    desk = run.start("-m", "master", "--grpc", str(free_port()), "--rest", str(rest), "--ctrl", str(ctrl))
    desk.wait_for(f"Serving: Serving RESTful server start success, listening on 127.0.0.1:{rest}")
    place = ("--directory", str(servables), "--master", f"127.0.0.1:{ctrl}")
    hand = run.start("-m", "worker", "--servable", "add", *place)
    hand.wait_for("Worker registered at")
    check_sums(rest)
    assert hand.stop(number) == 0
    assert desk.stop(number) == 0
    assert "Traceback" not in desk.output


SCRIPT = """
import os
from mindspore_serving import master, worker
worker.start_servable_in_master(os.path.abspath("."), "add")
master.start_restful_server("127.0.0.1", REST)
for wrong in (lambda: master.start_restful_server("127.0.0.1", REST),
              lambda: master.start_restful_server(restful_port=0),
              lambda: master.start_restful_server(max_msg_mb_size=513)):
    try:
        wrong()
    except RuntimeError as error:
        print(error)
print("script done", flush=True)
"""


def test_a_start_script_of_1_2_serves_json(run: Processes, servables: Path, tmp_path: Path) -> None:
    rest = free_port()
    (tmp_path / "master.py").write_text(SCRIPT.replace("REST", str(rest)))
    (tmp_path / "add").symlink_to(servables / "add")
    script: Process = run.start("master.py", cwd=tmp_path, environment={"PYTHONPATH": str(ROOT)})
    script.wait_for("script done")
    assert f"RESTful server start success, listening on 127.0.0.1:{rest}" in script.output
    assert "Serving Error: RESTful server is already running" in script.output
    assert "Parameter 'restful_port' should be in range [1,65535]" in script.output
    assert "Parameter 'max_msg_mb_size' should be in range [1,512]" in script.output
    check_sums(rest)
    assert script.stop() == 0
