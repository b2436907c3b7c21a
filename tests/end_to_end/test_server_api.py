"""Start scripts of MindSpore Serving 2.x: a master in the script's process, workers as its children."""

import os
import re
import signal
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from tests.processes import ROOT, Process, Processes, free_port, until

CONFIG = '''"""The servable add, as 2.x wrote it."""
import os
import numpy as np
from mindspore_serving.server import register


def cast(a, b):
    return a.astype(np.float32), b.astype(np.float32)


def whoami(a):
    return os.getpid()


def die(a):
    os.kill(os.getpid(), 9)


model = register.declare_model(model_file="tensor_add.mindir", model_format="MindIR", with_batch_dim=False)


@register.register_method(output_names=["y"])
def add_common(x1, x2):
    return register.add_stage(model, x1, x2, outputs_count=1)


@register.register_method(output_names=["y"])
def add_cast(x1, x2):
    x1, x2 = register.add_stage(cast, x1, x2, outputs_count=2)
    return register.add_stage(model, x1, x2, outputs_count=1)


@register.register_method(output_names=["pid"])
def pid(x):
    return register.add_stage(whoami, x, outputs_count=1)
'''

SERVER = """
import os
import sys
from mindspore_serving import server

def start():
    servable_dir = os.path.dirname(os.path.realpath(sys.argv[0]))
    config = server.ServableStartConfig(servable_directory=servable_dir, servable_name="add", DEVICES)
    server.start_servables(servable_configs=config)
    server.start_grpc_server(address="127.0.0.1:GRPC")
    print("script done", flush=True)

if __name__ == "__main__":
    start()
"""

CLIENT = """
import numpy as np
from mindspore_serving.client import Client
ones = np.ones((2, 2), np.float32)
client = Client("127.0.0.1:GRPC", "add", "add_common")
print(client.infer([{"x1": ones, "x2": ones}, {"x1": ones * 2, "x2": ones}]))
print(Client("127.0.0.1:GRPC", "add", "add_cast").infer_async({"x1": np.ones((2, 2), int), "x2": ones * 3}).result())
"""


class Folder:
    """A folder with the servable add and scripts that share free ports."""

    def __init__(self, run: Processes, path: Path) -> None:
        self.path = path
        self.grpc = free_port()
        self._run = run

    def start(
        self,
        script: str,
        name: str = "serving_server.py",
        cwd: Path | None = None,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> Process:
        (self.path / name).write_text(script.replace("GRPC", str(self.grpc)))
        environment = {"PYTHONPATH": str(ROOT), **environment}
        return self._run.start(str(self.path / name), cwd=cwd or self.path, environment=environment)

    def serve(self, devices: str = "device_ids=(0, 1)") -> Process:
        process = self.start(SERVER.replace("DEVICES", devices))
        process.wait_for("script done")
        return process

    def call(self) -> str:
        client = self.start(CLIENT, "serving_client.py")
        assert client.wait() == 0, client.output
        return client.output

    def log(self, name: str) -> str:
        return (self.path / "serving_logs" / name).read_text()


@pytest.fixture
def folder(run: Processes, tmp_path: Path, servables: Path) -> Folder:
    (tmp_path / "add" / "1").mkdir(parents=True)
    (tmp_path / "add" / "servable_config.py").write_text(CONFIG)
    model = servables / "add" / "1" / "tensor_add.mindir"
    (tmp_path / "add" / "1" / model.name).write_bytes(model.read_bytes())
    return Folder(run, tmp_path)


def gone(pids: set[int]) -> Callable[[], bool]:
    return lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids)


def assert_right(output: str) -> None:
    for sum_ in ("[[2., 2.]", "[[3., 3.]", "[[4., 4.]"):
        assert f"array({sum_}" in output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_start_script_serves_with_a_child_for_each_device_until_it_is_signalled(
    folder: Folder, number: signal.Signals
) -> None:
    server = folder.serve()
    port = f"127.0.0.1:{folder.grpc}"
    assert f"Serving: Serving gRPC server start success, listening on {port}" in server.output
    assert "Serving: Master server start success, listening on unix:" in server.output
    workers = server.children()
    assert len(workers) == 2
    assert_right(folder.call())
    for device in (0, 1):
        assert "Start servable success" in folder.log(f"log_add_device{device}_version1.log")
    assert server.stop(number) == 0
    assert gone(workers)()


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, 0)])
def test_a_script_with_a_loop_of_its_own_gets_the_signal_when_all_is_stopped(
    folder: Folder, number: signal.Signals, code: int
) -> None:
    loop = """
    try:
        while True:
            time.sleep(0.1)
    except KeyboardInterrupt:
        print("good bye", flush=True)
"""
    script = SERVER.replace("DEVICES", "device_ids=0").replace("import sys\n", "import sys, time\n")
    server = folder.start(script.replace("\nif __name__", f"{loop}\nif __name__"))
    server.wait_for("script done")
    workers = server.children()
    assert_right(folder.call())
    assert server.stop(number) == code
    assert gone(workers)()
    assert ("good bye" in server.output) == (code == 0)


def test_workers_beyond_the_devices_are_started_too(folder: Folder) -> None:
    server = folder.serve("device_ids=0, num_parallel_workers=2")
    assert len(server.children()) == 2
    assert "Start servable success" in folder.log("log_add_extra0_version1.log")
    assert server.stop() == 0


def test_without_devices_there_is_one_worker_and_no_device_to_name(folder: Folder) -> None:
    server = folder.serve("version_number=1")
    assert len(server.children()) == 1
    assert_right(folder.call())
    assert server.stop() == 0


def test_a_killed_worker_that_has_answered_is_started_again(folder: Folder) -> None:
    server = folder.serve("device_ids=0")
    assert_right(folder.call())
    (old,) = server.children()
    os.kill(old, signal.SIGKILL)
    until(lambda: server.children() - {old}, "another worker")
    until(lambda: folder.log("log_add_device0_version1.log").count("Worker registered") == 2, "its registration")
    assert_right(folder.call())
    assert server.stop() == 0


def test_the_last_worker_that_goes_for_good_takes_the_server_along(folder: Folder) -> None:
    server = folder.serve("device_ids=0")
    (only,) = server.children()
    os.kill(only, signal.SIGTERM)
    assert server.wait() == 0
    server = folder.serve("device_ids=0")
    (only,) = server.children()
    os.kill(only, signal.SIGKILL)  # before it ever answered: it might do the same again and again
    assert server.wait() == 0


def test_workers_end_with_a_master_that_is_killed(folder: Folder) -> None:
    server = folder.serve()
    workers = server.children()
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    until(gone(workers), "the end of the workers")


def test_a_start_that_fails_says_the_workers_reason_and_leaves_nothing(folder: Folder) -> None:
    (folder.path / "add" / "1" / "tensor_add.mindir").write_bytes(b"not a model")
    server = folder.start(SERVER.replace("DEVICES", "device_ids=(0, 1)"))
    assert server.wait() == 1
    assert "RuntimeError" in server.output or "SetupError" in server.output
    assert "Fail to start workers: {servable name:add, device id:" in server.last_line
    assert "tensor_add.mindir' is not a MindIR file, or is damaged" in server.last_line


def test_a_worker_that_dies_without_a_word_is_named_with_how_it_died(folder: Folder) -> None:
    """As one does that needs more memory than there is; its log is empty."""
    (folder.path / "add" / "servable_config.py").write_text("import os\nos.kill(os.getpid(), 9)")
    server = folder.start(SERVER.replace("DEVICES", "device_ids=0"))
    assert server.wait() == 1
    reason = "Fail to start workers because of death of one worker: {servable name:add, device id:0, killed by SIGKILL}"
    assert reason in server.last_line


AGAIN = """
import os
from mindspore_serving import server

def start(name):
    server.start_servables(server.ServableStartConfig(os.getcwd(), name))

for _ in range(5):
    try:
        start("broken")
    except RuntimeError:
        start("echo")
    print("up", flush=True)
    server.stop()
"""
ECHO = """
from mindspore_serving.server import register


@register.register_method(output_names=["y"])
def echo(x):
    return x
"""


def test_a_start_that_fails_leaves_the_next_one_alone(folder: Folder) -> None:
    for name, config in {"broken": "1 / 0", "echo": ECHO}.items():
        (folder.path / name).mkdir()
        (folder.path / name / "servable_config.py").write_text(config)
    script = folder.start(AGAIN)
    assert script.wait() == 0, script.output
    assert script.output.count("up\n") == 5
    assert "all workers have gone" not in script.output


def test_a_log_folder_that_cannot_be_made_ends_the_start_with_its_reason(folder: Folder) -> None:
    (folder.path / "serving_logs").write_text("a file")
    server = folder.start(SERVER.replace("DEVICES", "device_ids=0"))
    assert server.wait() == 1
    assert "Fail to start workers: {servable name:add, device id:" in server.last_line
    assert f"cannot be started: [Errno 17] File exists: '{folder.path / 'serving_logs'}'" in server.last_line


def test_a_door_that_cannot_be_opened_ends_the_workers_too(folder: Folder) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        folder.grpc = busy.getsockname()[1]
        server = folder.start(SERVER.replace("DEVICES", "device_ids=0"))
        assert server.wait() == 1
    assert f"create server failed, address 127.0.0.1:{folder.grpc}: Address already in use" in server.last_line
    assert not server.children()


def test_the_last_worker_of_one_start_leaves_those_of_another(folder: Folder) -> None:
    twice = 'server.start_servables(server.ServableStartConfig(servable_dir, "add", version_number=1))'
    script = SERVER.replace("DEVICES", "device_ids=0").replace("    print(", f"    {twice}\n    print(")
    server = folder.start(script)
    server.wait_for("script done")
    first, second = sorted(server.children())
    os.kill(first, signal.SIGTERM)
    until(gone({first}), "its end")
    assert_right(folder.call())
    assert server.children() == {second}
    assert server.stop() == 0


def test_a_signal_while_workers_load_ends_the_start(folder: Folder) -> None:
    (folder.path / "add" / "servable_config.py").write_text(
        f"import time, pathlib\npathlib.Path({str(folder.path / 'loading')!r}).touch()\ntime.sleep(600)"
    )
    server = folder.start(SERVER.replace("DEVICES", "device_ids=0"))
    until((folder.path / "loading").exists, "the worker's start")
    workers = server.children()
    assert server.stop(signal.SIGINT) == 1
    assert "Fail to start workers because of signal SIGINT or SIGTERM" in server.last_line
    assert gone(workers)()


def test_a_process_that_only_opens_a_door_ends_with_its_script(folder: Folder) -> None:
    server = folder.start("from mindspore_serving import server\nserver.start_grpc_server('127.0.0.1:GRPC')\n")
    assert server.wait() == 0
    assert "Serving gRPC server start success" in server.output


def test_an_encrypted_model_is_served_with_its_key_which_no_process_list_shows(folder: Folder, models: Path) -> None:
    (folder.path / "add" / "1" / "tensor_add.mindir").write_bytes(
        (models / "secret" / "1" / "model.mindir").read_bytes()
    )
    server = folder.serve('device_ids=0, dec_key=b"0123456789ABCDEF"')
    assert_right(folder.call())
    for pid in server.children():
        assert b"0123456789" not in Path(f"/proc/{pid}/cmdline").read_bytes()
        assert b"0123456789" not in Path(f"/proc/{pid}/environ").read_bytes()
    assert server.stop() == 0
    assert "0123456789" not in folder.log("log_add_device0_version1.log")


def test_a_relative_directory_starts_at_the_script(folder: Folder, tmp_path_factory: pytest.TempPathFactory) -> None:
    script = SERVER.replace("servable_directory=servable_dir", 'servable_directory="."').replace("DEVICES", "")
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    server = folder.start(script, cwd=elsewhere)
    server.wait_for("script done")
    assert_right(folder.call())
    assert (elsewhere / "serving_logs" / "log_add_extra0_version1.log").exists()
    assert server.stop() == 0


@pytest.mark.parametrize(
    "environment, levels",
    [
        ({}, {"WARNING", "ERROR"}),
        ({"GLOG_v": "0"}, {"DEBUG", "INFO", "WARNING", "ERROR"}),
        ({"GLOG_v": "1"}, {"INFO", "WARNING", "ERROR"}),
        ({"GLOG_v": "3"}, {"ERROR"}),
        ({"GLOG_v": "3", "MS_SUBMODULE_LOG_v": "{SERVING:1}"}, {"INFO", "WARNING", "ERROR"}),
        ({"GLOG_v": "many"}, {"WARNING", "ERROR"}),
    ],
)
def test_logs_of_a_script_follow_the_originals_variables(
    run: Processes, tmp_path: Path, environment: dict[str, str], levels: set[str]
) -> None:
    (tmp_path / "script.py").write_text(
        "from mindspore_serving import log as logger, server\n"
        "for write in (logger.debug, logger.info, logger.warning, logger.error): write('%s here', 'I am')\n"
        "try: server.start_grpc_server('localhost')\n"
        "except RuntimeError: pass\n"
    )
    script = run.start(str(tmp_path / "script.py"), environment={"PYTHONPATH": str(ROOT), **environment})
    assert script.wait() == 0
    found = set(re.findall(r"\[(\w+)\] SERVING\(\d+,\w+,MainProcess\):.* \[script.py:2\] I am here", script.output))
    assert found == levels


@pytest.mark.parametrize("environment, levels", [("0", "DIWE"), ("1", "DIWE"), ("2", "WE"), ("3", "E")])
def test_logs_of_a_scripts_workers_follow_glog_v_and_tell_the_time_of_each_batch(
    folder: Folder, environment: str, levels: str
) -> None:
    config = folder.path / "add" / "servable_config.py"
    words = "from mindspore_serving import log\n" + "".join(
        f"log.{name}('servable says {name[0].upper()}')\n" for name in ("debug", "info", "warning", "error")
    )
    config.write_text(config.read_text() + words)
    server = folder.start(SERVER.replace("DEVICES", "device_ids=0"), environment={"GLOG_v": environment})
    server.wait_for("script done")
    assert_right(folder.call())
    text = folder.log("log_add_device0_version1.log")
    assert "".join(re.findall(r"servable says (\w)", text)) == levels
    batch = r"WorkerRequestHandle Time Cost # [0-9.]+ ms: method add_common, \d instances, 0 failed"
    assert bool(re.search(batch, text)) is ("D" in levels)
    assert server.stop() == 0


def test_a_process_can_stop_and_start_again(folder: Folder) -> None:
    script = """
import numpy as np
from mindspore_serving import client, server
server.master.context.set_max_enqueued_requests(3)
for address in ("127.0.0.1:GRPC", "unix:unix_socket_files/door.sock", "unix:door.sock"):
    server.start_grpc_server(address)
    server.start_servables([server.ServableStartConfig(".", "add"), server.ServableStartConfig(".", "add", 0)])
    one = np.ones((2, 2), np.float32)
    print(client.Client(address, "add", "add_common").infer({"x1": one, "x2": one}))
    try:
        server.start_grpc_server(address)
    except RuntimeError as error:
        print(error)
    server.stop()
    server.stop()
print("ended", flush=True)
"""
    process = folder.start(script)
    assert process.wait() == 0, process.output
    assert process.last_line == "ended"
    assert process.output.count("array([[2., 2.]") == 3
    assert process.output.splitlines().count("Serving Error: Serving gRPC server is already running") == 3


def test_several_versions_are_served_and_version_0_falls_back_when_the_newest_goes(folder: Folder) -> None:
    (folder.path / "add" / "2").mkdir()
    model = folder.path / "add" / "1" / "tensor_add.mindir"
    (folder.path / "add" / "2" / model.name).write_bytes(model.read_bytes())
    script = SERVER.replace(
        'config = server.ServableStartConfig(servable_directory=servable_dir, servable_name="add", DEVICES)',
        "config = [server.ServableStartConfig(servable_dir, 'add', version, version) for version in (1, 2)]",
    )
    server = folder.start(script)
    server.wait_for("script done")
    client = """
import sys
import numpy as np
from mindspore_serving.client import Client
for version in (0, 1, 2):
    print(version, Client("127.0.0.1:GRPC", "add", "pid", version).infer({"x": np.zeros(1)})[0]["pid"])
"""

    def pids() -> dict[str, str]:
        caller = folder.start(client, "pids.py")
        caller.wait()
        return dict(line.split() for line in caller.output.splitlines() if len(line.split()) == 2)

    before = pids()
    assert before["0"] == before["2"] != before["1"]
    os.kill(int(before["2"]), signal.SIGTERM)
    until(gone({int(before["2"])}), "the end of version 2")
    after = pids()
    assert after["0"] == after["1"] == before["1"]
    assert "2" not in after
    assert server.stop() == 0
