"""What a supervisor does when its workers end, fall silent, or cannot be started. The workers are small scripts."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mindspore_serving.cluster.addresses import Address
from mindspore_serving.cluster.errors import SetupError
from mindspore_serving.supervisor import Supervisor
from mindspore_serving.worker.target import Target
from mindspore_serving.worker_process import WorkerSpec
from tests.processes import until

SPEC = WorkerSpec(slot=0, directory=Path("/"), name="add", version=0, target=Target())

# Each start is a line in `starts`; say() is a word to the supervisor.
BEGIN = """#!{python}
import os, pathlib, signal, socket, sys, time

def say(words):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.sendto(words.encode(), os.environ["NOTIFY_SOCKET"])

def told(*_):
    say("STOPPING=1")
    sys.exit(0)

signal.signal(signal.SIGTERM, told)
with open({starts!r}, "a") as starts:
    print(os.getpid(), file=starts)
seconds = int(os.environ["WATCHDOG_USEC"]) / 1e6
assert "WATCHDOG_PID" not in os.environ
say("READY=1")
"""
SERVE = """
while True:
    time.sleep(seconds / 2)
    say("WATCHDOG=1")
"""


class Watched:
    """A supervisor of one such worker, and what it has told."""

    def __init__(self, supervisor: Supervisor, told: list[str], gone: threading.Event, starts: Path) -> None:
        self.supervisor = supervisor
        self.told = told
        self.gone = gone
        self._starts = starts

    @property
    def pids(self) -> list[int]:
        """Of the workers so far."""
        return [int(line) for line in self._starts.read_text().splitlines()] if self._starts.exists() else []

    def has_told(self, text: str) -> bool:
        return any(text in line for line in self.told)


class Start:
    """Starts a supervisor with a worker that goes on in this way after it has said that it is ready."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._patch = patch
        self.started: list[Watched] = []

    def __call__(self, worker: str, silent_seconds: float = 60.0, log_folder: Path | None = None) -> Watched:
        script, starts = self._folder / "worker", self._folder / "starts"
        script.write_text(BEGIN.format(python=sys.executable, starts=str(starts)) + worker)
        script.chmod(0o700)
        self._patch.setattr(sys, "executable", str(script))
        told: list[str] = []
        gone = threading.Event()
        supervisor = Supervisor(
            [SPEC],
            Address("127.0.0.1", 1),
            self._folder,
            log_folder=log_folder or self._folder / "logs",
            only_after_an_answer=False,
            tell=lambda _, text: told.append(text),
            on_gone=gone.set,
            silent_seconds=silent_seconds,
        )
        supervisor.start()
        self.started.append(Watched(supervisor, told, gone, starts))
        return self.started[-1]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    monkeypatch.setattr("mindspore_serving.restarts.FIRST_WAIT_SECONDS", 0.01)
    starter = Start(tmp_path, monkeypatch)
    yield starter
    for watched in starter.started:
        watched.supervisor.stop(0.0)


def test_exit_code_0_without_a_word_is_no_end_that_was_wanted(start: Start) -> None:
    watched = start("os._exit(0)  # as a user's function may do\n")
    until(lambda: len(watched.pids) >= 3, "the third start")
    assert watched.has_told("ended with exit code 0, starting again in")
    assert not watched.gone.is_set()


def test_who_was_told_to_stop_by_somebody_else_is_gone_for_good(start: Start) -> None:
    watched = start(SERVE)
    until(lambda: watched.has_told("ready after"), "the worker")
    (pid,) = watched.pids
    os.kill(pid, signal.SIGTERM)
    assert watched.gone.wait(60.0)
    assert watched.has_told("ended with exit code 0, not started again")


def test_whose_python_stands_still_is_killed_and_started_again(start: Start) -> None:
    watched = start(
        f"if sum(1 for _ in open({str(start_file(start))!r})) == 1:\n    time.sleep(600)\n" + SERVE, silent_seconds=0.5
    )
    until(lambda: len(watched.pids) == 2, "the second start")
    assert watched.has_told("its Python has stood still for 0.5 s: killed")
    assert watched.has_told("killed by SIGKILL, starting again in")
    until(lambda: sum("ready after" in text for text in watched.told) == 2, "the second worker")
    began = time.monotonic()
    until(lambda: time.monotonic() - began > 1.0, "two of its times of silence")
    assert len(watched.pids) == 2


def test_who_drains_may_be_silent(start: Start) -> None:
    watched = start('say("STOPPING=1")\ntime.sleep(600)\n', silent_seconds=0.2)
    until(lambda: watched.has_told("ready after"), "the worker")
    began = time.monotonic()
    until(lambda: time.monotonic() - began > 0.5, "two of its times of silence")
    assert len(watched.pids) == 1 and not watched.has_told("killed")
    os.kill(watched.pids[0], signal.SIGKILL)


def test_a_log_folder_that_cannot_be_made_is_a_reason(start: Start, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    watched = start(SERVE, log_folder=tmp_path / "file" / "logs")
    with pytest.raises(SetupError, match=r"cannot be started: .*Not a directory"):
        watched.supervisor.wait_ready()
    assert watched.supervisor.is_alive() and watched.supervisor.failed_to_start


def test_who_is_interrupted_just_after_the_wait_hears_of_it(start: Start) -> None:
    watched = start(SERVE)
    watched.supervisor.wait_ready()
    watched.supervisor.check_not_interrupted()
    watched.supervisor.interrupt()
    with pytest.raises(SetupError, match="because of signal SIGINT or SIGTERM"):
        watched.supervisor.check_not_interrupted()


def start_file(start: Start) -> Path:
    return start._folder / "starts"
