"""The systemd units: clean for systemd-analyze, and their command lines really serve and say so on a notify socket."""

import configparser
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mindspore_serving import systemd
from mindspore_serving.__main__ import main
from tests.processes import READY_SECONDS, ROOT, Process, Processes, free_port, free_ports

UNITS = ROOT / "deploy" / "systemd"
MASTER = UNITS / "mindspore-serving-master.service"
WORKER = UNITS / "mindspore-serving-worker@.service"
INSTALLED_PYTHON = "/opt/mindspore-serving/venv/bin/python"


def settings(file: Path) -> dict[str, str]:
    """An environment file as systemd reads it."""
    lines = [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def exec_start(unit: Path, environment: dict[str, str]) -> list[str]:
    """The ExecStart line as written, its variables filled in, after the interpreter's path."""
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(unit)
    words = shlex.split(parser["Service"]["ExecStart"])
    assert words[0] == INSTALLED_PYTHON
    filled: list[str] = []
    for word in words[1:]:
        if word.startswith("$") and not word.startswith("${"):
            filled += environment[word[1:]].split()  # any number of words, as in systemd.service(5)
        else:
            filled.append(re.sub(r"\$\{(\w+)\}", lambda match: environment[match[1]], word))
    return filled


class NotifySocket:
    """What systemd gives to a service of Type=notify."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        self._socket.settimeout(READY_SECONDS)

    def next(self) -> str:
        return self._socket.recv(1000).decode()

    def close(self) -> None:
        self._socket.close()


def start(run: Processes, unit: Path, environment: dict[str, str], tmp_path: Path) -> tuple[Process, NotifySocket]:
    notified = NotifySocket(tmp_path / f"{unit.stem}.notify")
    process = run.start(*exec_start(unit, environment), environment={"NOTIFY_SOCKET": notified.path})
    return process, notified


def test_the_units_commands_serve_and_notify(run: Processes, servables: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    assert main(["keygen", str(keys)]) == 0
    control = f"127.0.0.1:{free_port()}"
    doors = {"GRPC": f"127.0.0.1:{free_port()}", "REST": f"127.0.0.1:{free_port()}"}
    in_master = {**settings(UNITS / "master.env"), **doors, "CTRL": control, "SECURITY": f"--curve-dir {keys}"}
    in_worker = {**settings(UNITS / "worker-add-0.env"), "DIRECTORY": str(servables), "MASTER": control}
    in_worker["SECURITY"] = f"--curve-dir {keys / 'for-workers' / 'worker'}"
    worker, worker_says = start(run, WORKER, in_worker, tmp_path)
    master, master_says = start(run, MASTER, in_master, tmp_path)
    assert (master_says.next(), worker_says.next()) == ("READY=1", "READY=1")
    worker.wait_for("Worker registered at")
    master.wait_for("Serving gRPC start success")
    master.wait_for("Serving RESTful server start success")
    assert (worker.stop(), worker_says.next()) == (0, "STOPPING=1")
    assert (master.stop(), master_says.next()) == (0, "STOPPING=1")
    master_says.close()
    worker_says.close()


def test_a_master_of_several_processes_is_ready_once_and_stops_as_one(run: Processes, tmp_path: Path) -> None:
    doors = {"GRPC": f"127.0.0.1:{free_port()}", "REST": f"127.0.0.1:{free_port()}"}
    several = {**settings(UNITS / "master.env"), **doors, "CTRL": str(free_ports(2)[0]), "PROCESSES": "2"}
    master, says = start(run, MASTER, several, tmp_path)
    assert says.next() == "READY=1"
    master.wait_for("Serving RESTful server start success", times=2)
    assert (master.stop(), says.next()) == (0, "STOPPING=1")
    says.close()


def test_a_process_that_stands_still_is_killed_and_started_again(run: Processes, tmp_path: Path) -> None:
    notified = NotifySocket(tmp_path / "watchdog.notify")
    environment = {"NOTIFY_SOCKET": notified.path, "WATCHDOG_USEC": "2000000"}
    doors = ("--grpc", str(free_port()), "--ctrl", str(free_ports(2)[0]))
    master = run.start("-m", "master", *doors, "--processes", "2", environment=environment)
    while notified.next() != "READY=1":
        pass
    notified.close()  # nobody reads on, and a full socket would hold the master up
    stopped = min(master.children())
    os.kill(stopped, signal.SIGSTOP)
    master.wait_for(f"pid {stopped} takes too long to stop, or has fallen silent: killed")
    master.wait_for("Serving gRPC start success", times=3)
    assert master.stop() == 0


@pytest.mark.parametrize("unit, example", [(MASTER, "master.env"), (WORKER, "worker-add-0.env")])
def test_the_environment_examples_hold_every_setting_of_the_command(unit: Path, example: str) -> None:
    used = set(re.findall(r"\$\{?(\w+)", unit.read_text()))
    assert used == set(settings(UNITS / example))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_finds_no_fault_in_the_units(tmp_path: Path) -> None:
    for unit in (MASTER, WORKER):
        # Only what must exist on this machine is put in place of what an installation brings.
        text = unit.read_text().replace(INSTALLED_PYTHON, sys.executable)
        (tmp_path / unit.name.replace("@", "@add-0")).write_text(text)
    files = sorted(str(file) for file in tmp_path.iterdir())
    environment = {**os.environ, "SYSTEMD_LOG_LEVEL": "warning"}
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *files], capture_output=True, text=True, env=environment, check=False
    )
    mine = [line for line in (verified.stdout + verified.stderr).splitlines() if "mindspore" in line]
    assert mine == []
    assert verified.returncode == 0, verified.stderr


def test_without_systemd_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    systemd.ServiceManager()("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere/notify")
    systemd.ServiceManager()("READY=1")


def test_an_abstract_socket_is_notified(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"mindspore-serving-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0" + name)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + name)
        systemd.ServiceManager()("READY=1")
        assert listener.recv(100) == b"READY=1"


def test_the_watchdog_hears_from_both_processes(run: Processes, servables: Path, tmp_path: Path) -> None:
    notified = NotifySocket(tmp_path / "watchdog.notify")
    environment = {"NOTIFY_SOCKET": notified.path, "WATCHDOG_USEC": "200000"}
    ctrl = str(free_port())
    master = run.start("-m", "master", "--grpc", str(free_port()), "--ctrl", ctrl, environment=environment)
    while notified.next() != "WATCHDOG=1":
        pass
    master.stop()
    worker = run.start(
        *("-m", "worker", "--servable", str(servables / "add"), "--master", f"127.0.0.1:{free_port()}"),
        environment=environment,
    )
    while notified.next() != "WATCHDOG=1":
        pass
    worker.stop()
    notified.close()


@pytest.mark.parametrize(
    "pid, seconds", [("", 2.0), (str(os.getpid()), 2.0), ("1", None)], ids=["nobody", "this one", "another one"]
)
def test_the_watchdog_is_for_the_process_that_it_names(
    pid: str, seconds: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert systemd.ServiceManager().watchdog_seconds is None
    monkeypatch.setenv("WATCHDOG_USEC", "2000000")
    monkeypatch.setenv("WATCHDOG_PID", pid)
    assert systemd.ServiceManager().watchdog_seconds == seconds
