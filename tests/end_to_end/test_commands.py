"""The commands as users type them: what they print, how they end, and how they refuse."""

import os
import signal
import socket
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest

from mindspore_serving.worker.signal_pipe import stop_signals
from tests.processes import ROOT, Process, Processes, free_port


def master(run: Processes, *arguments: str) -> tuple[Process, int, int]:
    """A master that serves, with its gRPC port and its control port."""
    grpc, ctrl = free_port(), free_port()
    process = run.start("-m", "master", "--grpc", str(grpc), "--ctrl", str(ctrl), *arguments)
    process.wait_for(f"Serving gRPC start success, listening on 127.0.0.1:{grpc}")
    process.wait_for(f"Serving: Master server start success, listening on 127.0.0.1:{ctrl}")
    return process, grpc, ctrl


def worker(run: Processes, servables: Path, ctrl: int, *arguments: str) -> Process:
    place = ("--servable", "add", "--directory", str(servables), "--master", f"127.0.0.1:{ctrl}")
    return run.start("-m", "worker", *place, *arguments)


@pytest.mark.parametrize("module", ["master", "worker"])
def test_help_needs_no_mindspore(module: str) -> None:
    code = (
        "import runpy, sys; sys.argv = ['x', '--help']\n"
        f"try: runpy.run_module('{module}', run_name='__main__')\n"
        "except SystemExit as end: assert not end.code\n"
        "assert 'mindspore' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--drain-seconds" in done.stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_worker_may_start_before_its_master_and_both_end_cleanly(
    run: Processes, servables: Path, number: int
) -> None:
    grpc, ctrl = free_port(), free_port()
    early = worker(run, servables, ctrl)
    early.wait_for("Start servable success")
    desk = run.start("-m", "master", "--grpc", str(grpc), "--ctrl", str(ctrl))
    early.wait_for(f"Worker registered at 127.0.0.1:{ctrl}")
    # After a call: MindSpore changes how signals arrive.
    client = run.start(str(servables / "client.py"), f"127.0.0.1:{grpc}")
    assert client.wait() == 0, client.output
    assert early.stop(number) == 0
    assert desk.stop(number) == 0


def test_a_closed_terminal_is_nothing_to_whoever_is_to_outlive_it() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert stop_signals() == (signal.SIGTERM, signal.SIGINT)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert signal.SIGHUP in stop_signals()


def test_a_worker_that_waits_for_its_master_ends_when_told(run: Processes, servables: Path) -> None:
    lonely = worker(run, servables, free_port())
    lonely.wait_for("Start servable success")
    assert lonely.stop() == 0


def test_a_worker_stops_while_it_loads(run: Processes, tmp_path: Path) -> None:
    (tmp_path / "slow").mkdir()
    (tmp_path / "slow" / "servable_config.py").write_text(
        "import threading\nprint('loading', flush=True)\nthreading.Event().wait()\n"
    )
    loading = run.start("-m", "worker", "--servable", str(tmp_path / "slow"), "--master", f"127.0.0.1:{free_port()}")
    loading.wait_for("loading")
    assert loading.stop(signal.SIGINT) == 0


def test_workers_register_again_at_a_restarted_master(run: Processes, servables: Path) -> None:
    first, grpc, ctrl = master(run)
    hand = worker(run, servables, ctrl)
    hand.wait_for("Worker registered at")
    first.kill()
    again = run.start("-m", "master", "--grpc", str(grpc), "--ctrl", str(ctrl))
    hand.wait_for("Worker registered at", times=2)
    client = run.start(str(servables / "client.py"), f"127.0.0.1:{grpc}")
    assert client.wait() == 0, client.output
    assert again.stop() == 0


def test_the_master_runs_servables_of_its_own(run: Processes, servables: Path) -> None:
    grpc = free_port()
    both = run.start("-m", "master", "--grpc", str(grpc), "--servable", f"{servables / 'add'}:1")
    both.wait_for("Serving gRPC start success")
    client = run.start(str(servables / "client.py"), f"127.0.0.1:{grpc}")
    assert client.wait() == 0, client.output
    assert both.stop() == 0


def test_a_master_may_wait_for_a_servable_of_its_own(run: Processes, servables: Path) -> None:
    place = str(servables / "add")
    master = run.start("-m", "master", "--grpc", str(free_port()), "--servable", place, "--wait-for", "add")
    master.wait_for("Serving gRPC start success")
    assert master.stop() == 0


def test_the_directory_comes_from_the_environment_or_is_the_current_one(run: Processes, servables: Path) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    place = {"MINDSPORE_SERVING_DIRECTORY": str(servables)}
    told = run.start("-m", "worker", "--servable", "add", "--master", nobody, environment=place)
    found = run.start(
        "-m", "worker", "--servable", "add", "--master", nobody, cwd=servables, environment={"PYTHONPATH": str(ROOT)}
    )
    for process in (told, found):
        process.wait_for("Start servable success")


BAD_ARGUMENTS = [
    (("master",), 2, "--grpc"),
    (("master", "--grpc", "5500"), 2, "give --ctrl"),
    (("master", "--grpc", "x", "--ctrl", "1"), 2, "the port 'x' is not a number"),
    (("master", "--grpc", "70000", "--ctrl", "1"), 2, "should be in range [1,65535]"),
    (("master", "--grpc", "1.2.3.4:5500", "--ctrl", "6500"), 1, "Serving gRPC server start failed"),
    (("master", "--grpc", "5500", "--rest", "x", "--ctrl", "1"), 2, "--rest 'x'"),
    (("master", "--grpc", "5500", "--nonsense"), 2, "--nonsense"),
    (("master", "--grpc", "5500", "--ctrl", "6500", "--max-message-mb", "513"), 2, "[1,512]"),
    (("master", "--grpc", "5500", "--servable", ":3"), 2, "PATH[:DEVICE]"),
    (("master", "--grpc", "5500", "--ctrl", "6500", "--wait-for", "add,lenet"), 2, "give --wait-for once for each"),
    (("master", "--grpc", "5500", "--ctrl", "6500", "--wait-for", ""), 2, "is not a servable's name"),
    (("master", "--grpc", "5500", "--servable", "./add", "--wait-for", "lenet"), 2, "no worker comes without --ctrl"),
    (("master", "--grpc", "5500", "--ctrl", "6500", "--processes", "0"), 2, "[1,64]"),
    (("master", "--grpc", "unix:/x", "--ctrl", "6500", "--processes", "2"), 2, "give --grpc [HOST:]PORT"),
    (("master", "--grpc", "5500", "--servable", "x", "--processes", "2"), 2, "serve it by a worker"),
    (("master", "--grpc", "6501", "--ctrl", "6500", "--processes", "2"), 2, "up to 127.0.0.1:6501: --grpc is in"),
    (("master", "--grpc", "1", "--rest", "6502", "--ctrl", "6500", "--processes", "3"), 2, "--rest is in the way"),
    (("master", "--grpc", "5500", "--ctrl", "65535", "--processes", "2"), 2, "the last port is 65535"),
    (("worker", "--servable", "add"), 2, "--master"),
    (("worker", "--servable", "add", "--master", "6500"), 2, "HOST:PORT"),
    (("worker", "--servable", "add", "--master", "h:1", "--device", "-1"), 2, "--device -1"),
    (("worker", "--servable", "add", "--master", "h:1", "--device", "x"), 2, "--device 'x'"),
    (("worker", "--servable", "add", "--master", "h:1", "--device-type", "TPU"), 2, "not one of CPU, GPU, Ascend"),
    (("worker", "--servable", "add", "--master", "h:1", "--cpu-affinity", "0-x"), 2, "not a list of CPU cores"),
    (("worker", "--servable", "add", "--master", "h:1", "--cpu-affinity", "9999"), 2, "has only the cores"),
    (("worker", "--servable", "add", "--master", "h:1", "--dec-mode", "ROT13"), 2, "not one of AES-GCM, AES-CBC"),
    (("worker", "--servable", "add", "--master", "h:1", "--dec-key-file", "/nowhere"), 1, "cannot be read"),
    (("worker", "--servable", "add", "--master", "unix:"), 2, "--master 'unix:' has no path"),
    (("worker", "--servable", "nope", "--directory", "/nowhere", "--master", "h:1"), 1, "'/nowhere/nope' not exist"),
    (("worker", "--servable", "examples", "--master", "h:1"), 1, "servable_config.py' not exist"),
]


@pytest.mark.parametrize("arguments, code, text", BAD_ARGUMENTS)
def test_a_mistake_is_one_clear_line(run: Processes, arguments: tuple[str, ...], code: int, text: str) -> None:
    process = run.start("-m", *arguments)
    assert process.wait() == code
    assert text in process.last_line
    assert len(process.output.splitlines()) == 1


def test_a_busy_port_is_named(run: Processes) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for busy in ("--grpc", "--rest", "--ctrl"):
            doors = {"--grpc": str(free_port()), "--rest": str(free_port()), "--ctrl": str(free_port()), busy: port}
            process = run.start("-m", "master", *chain.from_iterable(doors.items()))
            assert process.wait() == 1
            assert f"127.0.0.1:{port}" in process.last_line
            assert len(process.output.splitlines()) <= 2  # the control port may have been opened before


@pytest.mark.parametrize(
    "arguments, text",
    [
        (("--version", "7"), "specified version number: 7"),
        (("--device-type", "GPU"), "device GPU:0 cannot be used"),
    ],
)
def test_a_servable_that_cannot_be_loaded_ends_the_worker_with_the_reason(
    run: Processes, servables: Path, arguments: tuple[str, ...], text: str
) -> None:
    process = worker(run, servables, free_port(), *arguments)
    assert process.wait() == 1
    assert text in process.last_line


def test_the_line_of_the_users_mistake_is_named(run: Processes, tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    config = tmp_path / "broken" / "servable_config.py"
    config.write_text('"""A servable."""\n\n1 / 0\n')
    process = run.start("-m", "worker", "--servable", str(config.parent), "--master", f"127.0.0.1:{free_port()}")
    assert process.wait() == 1
    assert f"{config}:3: ZeroDivisionError: division by zero" in process.last_line


def test_a_refused_worker_says_why(run: Processes, servables: Path, tmp_path: Path) -> None:
    _, _, ctrl = master(run)
    worker(run, servables, ctrl).wait_for("Worker registered at")
    (tmp_path / "add").mkdir()
    (tmp_path / "add" / "servable_config.py").write_text(
        "from mindspore_serving.server import register\n"
        "@register.register_method(output_names='y')\ndef echo(x):\n    return x\n"
    )
    other = worker(run, tmp_path, ctrl)
    assert other.wait() == 1
    assert "already served with other methods" in other.last_line


def test_a_worker_keeps_to_its_cores(run: Processes, servables: Path) -> None:
    desk, _, ctrl = master(run)
    core = min(os.sched_getaffinity(0))
    hand = worker(run, servables, ctrl, "--cpu-affinity", str(core))
    hand.wait_for("Worker registered at")
    assert all(os.sched_getaffinity(int(task.name)) == {core} for task in Path(f"/proc/{hand.pid}/task").iterdir())
    assert (hand.stop(), desk.stop()) == (0, 0)


def test_the_control_port_may_be_a_unix_socket(run: Processes, servables: Path, tmp_path: Path) -> None:
    grpc, ctrl = free_port(), f"unix:{tmp_path / 'control'}"
    desk = run.start("-m", "master", "--grpc", str(grpc), "--ctrl", ctrl)
    desk.wait_for(f"Serving: Master server start success, listening on {ctrl}")
    place = ("--servable", "add", "--directory", str(servables), "--master", ctrl)
    hand = run.start("-m", "worker", *place)
    hand.wait_for(f"Worker registered at {ctrl}")
    client = run.start(str(servables / "client.py"), f"127.0.0.1:{grpc}")
    assert client.wait() == 0, client.output
    second = run.start("-m", "master", "--grpc", str(free_port()), "--ctrl", ctrl)
    assert second.wait() == 1
    assert (
        second.last_line == f"Master server start failed, create server failed, address {ctrl}: Address already in use"
    )
    assert (hand.stop(), desk.stop()) == (0, 0)


def test_a_worker_may_end_with_its_standard_input(run: Processes, servables: Path) -> None:
    # The tests' processes have no standard input: it has ended before the worker looks.
    desk, _, ctrl = master(run)
    hand = worker(run, servables, ctrl, "--stop-when-stdin-closes")
    assert hand.wait() == 0
    assert desk.stop() == 0


def test_the_demo_passes(run: Processes) -> None:
    demo = run.start("examples/add/demo.py")
    assert demo.wait() == 0, demo.output
    assert "demo passed" in demo.output


def test_that_nothing_is_compiled_is_told_when_it_serves_and_never_beside_a_mistake(run: Processes) -> None:
    sources = {"MINDSPORE_SERVING_COMPILED": "0"}
    refused = run.start("-m", "master", "--grpc", "1.2.3.4:5500", "--ctrl", str(free_port()), environment=sources)
    assert refused.wait() == 1
    assert refused.output.rstrip().count("\n") == 0, refused.output
    front = run.start("-m", "master", "--grpc", str(free_port()), "--ctrl", str(free_port()), environment=sources)
    front.wait_for("the hot path runs from its Python sources: ")
    assert front.stop() == 0


def test_a_control_port_at_an_unknown_host_is_refused_with_a_reason(run: Processes) -> None:
    ctrl = "nowhere.invalid:6500"
    desk = run.start("-m", "master", "--grpc", str(free_port()), "--ctrl", ctrl, "--insecure")
    assert desk.wait() == 1
    failed = f"Master server start failed, create server failed, address {ctrl}"
    assert desk.last_line == f"{failed}: no address of this machine is called so"
