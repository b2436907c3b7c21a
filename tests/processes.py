"""Real processes for tests: started with a log that can be waited for, and ended by pid. Nothing is left behind."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from mindspore_serving.chaos import free_ports as chosen

__all__ = ["READY_SECONDS", "ROOT", "Process", "Processes", "free_port", "free_ports", "listens", "processes", "until"]

ROOT = Path(__file__).resolve().parent.parent
READY_SECONDS = 120.0  # generous: a busy machine is not a failure
STOP_SECONDS = 180.0  # the same, also for a program that trains a network first


def free_ports(count: int) -> list[int]:
    """So many in a row that nobody uses now, nor the other process that runs tests (pytest-xdist) will choose."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    return chosen.free_ports(count, number, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))


def listens(port: int) -> bool:
    """Whether somebody accepts connections at this port of the loopback address."""
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionError:  # refused; or reset, at the moment of the end
        return False
    return True


def free_port() -> int:
    """A port of the loopback address that nobody uses now."""
    return free_ports(1)[0]


class Process:
    """A command and everything it has printed, both streams together."""

    def __init__(
        self, arguments: Sequence[str], cwd: Path = ROOT, environment: Mapping[str, str] | None = None
    ) -> None:
        self.arguments = list(arguments)
        self._popen = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=cwd,
            env={"PYTHONFAULTHANDLER": "1", **os.environ, **(environment or {})},  # what dies of a signal tells where
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.pid = self._popen.pid
        self._lines: list[str] = []
        self._ended = False
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def output(self) -> str:
        with self._news:
            return "".join(self._lines)

    @property
    def last_line(self) -> str:
        return self.output.rstrip().rpartition("\n")[2]

    def wait_for(self, text: str, times: int = 1) -> None:
        """Returns when the text has been printed so often. Fails when the process ends without."""

        def seen() -> bool:
            return sum(line.count(text) for line in self._lines) >= times

        with self._news:
            self._news.wait_for(lambda: seen() or self._ended, READY_SECONDS)
            assert seen(), f"{self.arguments} did not print {text!r}, but:\n{''.join(self._lines)}"

    def send(self, number: int) -> None:
        self._popen.send_signal(number)

    def children(self) -> set[int]:
        """The pids of the processes that it has started and not yet reaped."""
        tasks = Path(f"/proc/{self.pid}/task").glob("*/children")
        return {int(pid) for task in tasks for pid in task.read_text().split()}

    def wait(self) -> int:
        """The exit code, when it ends."""
        code = self._popen.wait(STOP_SECONDS)
        self._reader.join(STOP_SECONDS)
        return code

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Asks it to end and returns its exit code."""
        self.send(number)
        return self.wait()

    def kill(self) -> None:
        """Ends it without asking, if it still runs."""
        if self._popen.poll() is None:
            self._popen.kill()
        self._popen.wait(STOP_SECONDS)
        self._reader.join(STOP_SECONDS)
        assert self._popen.stdout is not None
        self._popen.stdout.close()

    def _read(self) -> None:
        assert self._popen.stdout is not None
        for line in self._popen.stdout:
            with self._news:
                self._lines.append(line)
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()


class Processes:
    """The processes of one test."""

    def __init__(self) -> None:
        self._all: list[Process] = []

    def start(self, *arguments: str, cwd: Path = ROOT, environment: Mapping[str, str] | None = None) -> Process:
        process = Process(arguments, cwd, environment)
        self._all.append(process)
        return process

    def end(self) -> None:
        for process in self._all:
            process.kill()


@contextmanager
def processes() -> Iterator[Processes]:
    """Kills, at the end, whatever the test has not stopped."""
    group = Processes()
    try:
        yield group
    finally:
        group.end()


def until(condition: Callable[[], object], what: str) -> None:
    """Waits for something that no line of output tells. Fails after READY_SECONDS."""
    deadline = time.monotonic() + READY_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for: {what}"
        threading.Event().wait(0.02)
