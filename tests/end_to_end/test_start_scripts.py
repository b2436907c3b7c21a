"""Start scripts of MindSpore Serving 1.2, from a folder where they are called master.py, worker.py and client.py."""

import re
import signal
from pathlib import Path

import pytest

from tests.processes import ROOT, Process, Processes, free_port

CONFIG = '''"""The servable add, as 1.2 wrote it."""
import numpy as np
from mindspore_serving.worker import register


def cast(a, b):
    return a.astype(np.float32), b.astype(np.float32)


register.declare_servable(servable_file="tensor_add.mindir", model_format="MindIR", with_batch_dim=False)


@register.register_method(output_names=["y"])
def add_common(x1, x2):
    y = register.call_servable(x1, x2)
    return y


@register.register_method(output_names=["y"])
def add_cast(x1, x2):
    x1, x2 = register.call_preprocess(cast, x1, x2)
    y = register.call_servable(x1, x2)
    return y
'''

SCRIPTS = {
    "master.py": """
from mindspore_serving import master
master.start_grpc_server("127.0.0.1", GRPC)
master.start_master_server("127.0.0.1", CTRL)
print("script done", flush=True)
""",
    "worker.py": """
import os
from mindspore_serving import worker
worker.start_servable(os.path.abspath("."), "add", device_id=0, master_ip="127.0.0.1", master_port=CTRL,
                      worker_ip="127.0.0.1", worker_port=6600)
print("script done", flush=True)
""",
    "master_with_worker.py": """
import os
from mindspore_serving import master
from mindspore_serving import worker
worker.start_servable_in_master(os.path.abspath("."), "add", device_id=0)
master.start_grpc_server("127.0.0.1", GRPC)
master.start_restful_server("127.0.0.1", REST)
print("script done", flush=True)
""",
    "alike.py": """
import urllib.request
import numpy as np
from mindspore_serving.client import Client
one = np.ones((2, 2), np.float32)
print(Client("localhost", GRPC, "add", "add_cast").infer([{"x1": one, "x2": one}] * 2))
body = b'{"instances": [{"x1": 1, "x2": 1}, {"x1": 2, "x2": 2}]}'
print(urllib.request.urlopen("http://127.0.0.1:REST/model/add:add_cast", body).read().decode())
""",
    "client.py": """
import numpy as np
from mindspore_serving.client import Client
ones = np.ones((2, 2), np.float32)
print(Client("localhost", GRPC, "add", "add_common").infer([{"x1": ones, "x2": ones}, {"x1": ones * 2, "x2": ones}]))
print(Client("localhost", GRPC, "add", "add_cast").infer({"x1": np.ones((2, 2), np.int32), "x2": ones * 3}))
""",
    "mistakes.py": """
import os, socket
from mindspore_serving import master, start_scripts, worker
start_scripts.REGISTER_SECONDS = 0.3
here = os.path.abspath(".")
busy = socket.create_server(("127.0.0.1", GRPC))
for start in (lambda: worker.start_servable_in_master(here, "add", 9),
              lambda: worker.start_servable(here, "add", 9),
              lambda: worker.start_servable(here, "add", master_port=CTRL),
              lambda: master.start_master_server("127.0.0.1", GRPC),
              lambda: [master.start_master_server("127.0.0.1", CTRL) for _ in range(2)]):
    try:
        start()
    except RuntimeError as error:
        print(error)
master.stop()
print("ended", flush=True)
""",
    "busy.py": """
import socket
from mindspore_serving import master
busy = socket.create_server(("127.0.0.1", GRPC))
master.start_OPEN("127.0.0.1", GRPC)
""",
    "slow.py": """
import os
from mindspore_serving import worker
worker.start_servable_in_master(os.path.abspath("."), "add")
""",
    "again.py": """
import os
from mindspore_serving import master, worker
for time in (1, 2):
    worker.start_servable_in_master(os.path.abspath("."), "add")
    master.start_grpc_server("127.0.0.1", GRPC)
    for start in (lambda: master.start_grpc_server("127.0.0.1", GRPC),
                  lambda: worker.start_servable_in_master(os.path.abspath("."), "add"),
                  lambda: worker.start_servable(os.path.abspath("."), "add", device_type="TPU"),
                  lambda: master.start_master_server("127.0.0.1", 0),
                  lambda: master.start_restful_server("127.0.0.1", GRPC),
                  lambda: master.start_grpc_server(5, GRPC)):
        try:
            start()
        except RuntimeError as error:
            print(error)
    worker.stop()
    master.stop()
    master.stop()
print("ended", flush=True)
""",
}


@pytest.fixture
def folder(tmp_path: Path, servables: Path) -> Path:
    """The scripts' folder, with free ports in them."""
    (tmp_path / "add" / "1").mkdir(parents=True)
    (tmp_path / "add" / "servable_config.py").write_text(CONFIG)
    model = servables / "add" / "1" / "tensor_add.mindir"
    (tmp_path / "add" / "1" / model.name).write_bytes(model.read_bytes())
    ports = {"GRPC": str(free_port()), "CTRL": str(free_port()), "REST": str(free_port())}
    for name, text in SCRIPTS.items():
        for word, port in ports.items():
            text = text.replace(word, port)
        (tmp_path / name).write_text(text)
    return tmp_path


def start(run: Processes, folder: Path, script: str) -> Process:
    return run.start(script, cwd=folder, environment={"PYTHONPATH": str(ROOT)})


def test_instances_that_fail_alike_have_an_error_each_as_in_1_2(run: Processes, folder: Path) -> None:
    config = folder / "add" / "servable_config.py"
    config.write_text(config.read_text().replace("return a.astype(np.float32), b", "return b"))
    both = start(run, folder, "master_with_worker.py")
    both.wait_for("script done")
    client = start(run, folder, "alike.py")
    assert client.wait() == 0, client.output
    by_grpc, by_http = client.output.splitlines()
    assert by_grpc.startswith("[{'error': \"Call Preprocess Failed, method: 'add_cast'")
    assert by_grpc.count("{'error': ") == 2
    assert by_http.startswith('{"instances":[{"error_msg":"Call Preprocess Failed, method: ')
    assert by_http.count('"error_msg":') == 2
    assert both.stop() == 0


def check_client(run: Processes, folder: Path) -> None:
    client = start(run, folder, "client.py")
    assert client.wait() == 0, client.output
    assert "array([[2., 2.]" in client.output
    assert "array([[3., 3.]" in client.output
    assert "array([[4., 4.]" in client.output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_lightweight_deployment(run: Processes, folder: Path, number: int) -> None:
    both = start(run, folder, "master_with_worker.py")
    both.wait_for("script done")
    assert "start success, listening on 127.0.0.1:" in both.output
    check_client(run, folder)
    assert both.stop(number) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_cluster_deployment(run: Processes, folder: Path, number: int) -> None:
    hand = start(run, folder, "worker.py")
    hand.wait_for("Worker connects to the master")
    desk = start(run, folder, "master.py")
    hand.wait_for("script done")
    assert "Worker registered at" in hand.output
    check_client(run, folder)
    assert hand.stop(number) == 0
    assert desk.stop(number) == 0


def test_a_worker_that_waits_for_its_master_can_be_ended(run: Processes, folder: Path) -> None:
    hand = start(run, folder, "worker.py")
    hand.wait_for("Worker connects to the master at 127.0.0.1:")
    assert hand.stop(signal.SIGTERM) == 0
    assert "Traceback" not in hand.output


@pytest.mark.parametrize("opened", ["grpc_server", "restful_server", "master_server"])
def test_a_script_whose_address_is_taken_ends_with_the_reason(run: Processes, folder: Path, opened: str) -> None:
    script = folder / "busy.py"
    script.write_text(script.read_text().replace("OPEN", opened))
    process = start(run, folder, "busy.py")
    assert process.wait() == 1
    assert "SetupError: Serving Error: " in process.last_line and "Address already in use" in process.last_line


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_master_that_loads_its_servable(run: Processes, folder: Path, number: signal.Signals) -> None:
    config = folder / "add" / "servable_config.py"
    config.write_text(f"import time\nprint('loading', flush=True)\ntime.sleep(600)\n{config.read_text()}")
    process = start(run, folder, "slow.py")
    process.wait_for("loading")
    assert process.stop(number) == 0
    assert process.last_line == "Serving: stopped while loading"


def test_a_process_can_start_again_after_stop_and_second_starts_are_refused(run: Processes, folder: Path) -> None:
    process = start(run, folder, "again.py")
    assert process.wait() == 0, process.output
    assert process.output.count("Serving Error: Serving gRPC server is already running") == 2
    assert process.output.count("A servable has been started, only one servable can run in a process currently.") == 2
    assert process.output.count("Unsupported device type 'TPU'") == 2
    assert process.output.count("Parameter 'master_port' should be in range [1,65535]") == 2
    assert process.output.count("Parameter 'ip' should be str, but actually <class 'int'>") == 2
    busy = "Serving Error: RESTful server start failed, create http listener failed, port "
    assert len(re.findall(rf"{busy}\d+: Address already in use", process.output)) == 2
    assert "Traceback" not in process.output
    assert process.last_line == "ended"


def test_the_start_calls_word_mistakes_as_1_2_did(run: Processes, folder: Path) -> None:
    process = start(run, folder, "mistakes.py")
    assert process.wait() == 0, process.output
    version = (
        "Start servable failed, there is no servable of the specified version number, specified version number: 9. "
        "There is no specified version directory of models, specified version number: 9"
    )
    assert process.output.count(version) == 2
    assert re.search(r"^Register TimeOut: no master answered at 127.0.0.1:\d+ in 0 seconds", process.output, re.M)
    assert "Serving Error: Master server is already running" in process.output
    busy = (
        r"^Serving Error: Master server start failed, create server failed, address 127.0.0.1:\d+: Address already in"
    )
    assert re.search(busy, process.output, re.M)
    assert "Traceback" not in process.output
    assert process.last_line == "ended"


def test_a_servable_that_cannot_be_loaded_ends_the_script_with_the_reason(run: Processes, folder: Path) -> None:
    (folder / "add" / "1" / "tensor_add.mindir").write_bytes(b"not a model")
    both = start(run, folder, "master_with_worker.py")
    assert both.wait() == 1
    assert "tensor_add.mindir' is not a MindIR file, or is damaged" in both.last_line
