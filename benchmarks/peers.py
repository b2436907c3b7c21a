"""The servers that are measured side by side: how each is started, waited for and stopped, and which pids do its work.

A further peer is one function more in `available()`.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.echo import ENGINES
from benchmarks.processor import descendants

ROOT = Path(__file__).resolve().parent.parent
READY_SECONDS = 120.0
STOP_SECONDS = 20.0
ORIGINAL_BATCH = 32  # fixed in the original's models
MEMORY = "mindspore-serving-bench-"  # how the names of shared memory begin that our masters may be given

_given: set[int] = set()  # ports that somebody was told of


class PeerError(RuntimeError):
    """A peer cannot be started."""


@dataclass(slots=True)
class Running:
    """A started peer. `master` is what clients talk to; `workers` run the model, if somebody does."""

    port: int  # for gRPC
    rest_port: int = 0  # 0: it has none
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    master: list[int] = field(default_factory=list)
    workers: list[int] = field(default_factory=list)

    def stop(self) -> None:
        """Ends what was started, workers first."""
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@dataclass(frozen=True, slots=True)
class Peer:
    """`start(servable, folder)` starts it; its logs go into the folder. `is_echo`: a ceiling, it computes nothing.

    `is_extra`: measured only when it is asked for by name.
    """

    name: str
    start: Callable[[str, Path], Running]
    is_echo: bool = False
    is_extra: bool = False


def available(servables: Path, original: Path | None, workloads: Sequence[str]) -> list[Peer]:
    """Every peer that can be started here. `servables` gets these workloads' exported models. Raises PeerError."""
    python = original / "venv" / "bin" / "python" if original is not None else None
    if python is not None and not python.is_file():
        raise PeerError(f"the original is not installed in {original}: run benchmarks/original/setup.sh {original}")
    ours, theirs = servables / "ours", servables / "original"
    _export(Path(sys.executable), ours, 0, workloads)
    peers = [Peer("asleep lean", _ours(ours, "lean", "--busy-poll", "off"), is_extra=True)]
    peers += [Peer(f"ours {engine}".rstrip(), _ours(ours, engine)) for engine in _engines() or ("",)]
    if original is not None and python is not None:
        _export(python, theirs, ORIGINAL_BATCH, workloads)
        peers.append(Peer("original", _original(original, theirs)))
    return peers + [Peer(f"echo {engine}", _echo(engine), is_echo=True) for engine in ENGINES]


def _engines() -> list[str]:
    """The gRPC engines that this master offers; none: it has one only."""
    text = subprocess.run(
        [sys.executable, "-m", "master", "--help"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    return [engine for engine in ("lean", "grpcio") if engine in text] if "--grpc-engine" in text else []


def _export(python: Path, folder: Path, batch: int, workloads: Sequence[str]) -> None:
    command = [str(python), "-m", "benchmarks.export_models", str(folder), str(batch), *workloads]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    if done.returncode:
        raise PeerError(f"the models cannot be exported by {python}: {done.stderr.strip()[-300:]}")


def _ours(servables: Path, engine: str, *options: str) -> Callable[[str, Path], Running]:
    """`options`: of master and worker."""

    def start(servable: str, folder: Path) -> Running:
        running = Running(free_port(), free_port())
        control = free_port()
        choice = ["--grpc-engine", engine] if engine else []
        master = [
            sys.executable,
            "-m",
            "master",
            "--grpc",
            str(running.port),
            "--rest",
            str(running.rest_port),
            "--ctrl",
            str(control),
            "--shared-memory",
            f"{MEMORY}*",
            *choice,
            *options,
        ]
        place = ["--servable", servable, "--directory", str(servables), "--device", "0"]
        worker = [sys.executable, "-m", "worker", *place, "--master", f"127.0.0.1:{control}", *options]
        running.master.append(_launch(running, master, folder / "master.log", "Serving gRPC start success", ROOT))
        running.workers.append(_launch(running, worker, folder / "worker.log", "registered at", ROOT))
        return running

    return start


def _original(place: Path, servables: Path) -> Callable[[str, Path], Running]:
    def start(servable: str, folder: Path) -> Running:
        running = Running(free_port(), free_port())
        script = str(ROOT / "benchmarks" / "original" / "serve.py")
        ports = (str(running.port), str(running.rest_port))
        command = [str(place / "venv" / "bin" / "python"), script, str(servables), servable, *ports]
        libraries = {"LD_LIBRARY_PATH": (place / "lite" / "ld_library_path").read_text().strip(), "PYTHONPATH": ""}
        ready = "Serving gRPC server start success"
        running.master.append(_launch(running, command, folder / "original.log", ready, folder, libraries))
        running.workers += descendants(running.master[0])
        return running

    return start


def _echo(engine: str) -> Callable[[str, Path], Running]:
    def start(servable: str, folder: Path) -> Running:
        del servable  # all the same to it
        running = Running(free_port())
        command = [sys.executable, "-m", "benchmarks.echo", engine, str(running.port)]
        running.master.append(_launch(running, command, folder / "echo.log", "listening on", ROOT))
        return running

    return start


def _launch(
    running: Running,
    command: Sequence[str],
    log: Path,
    ready: str,
    cwd: Path,
    environment: Mapping[str, str] | None = None,
) -> int:
    """Starts a process and waits for a line of its output. Returns its pid. Raises PeerError."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=cwd, env={**os.environ, **(environment or {})}, stdout=output, stderr=subprocess.STDOUT
        )
    running.processes.append(process)
    deadline = time.monotonic() + READY_SECONDS
    while ready not in (said := log.read_text(errors="replace")):
        if process.poll() is not None or time.monotonic() > deadline:
            running.stop()
            raise PeerError(f"{command[1]} {command[2]} is not ready, its last words: {said.strip()[-300:]}")
        time.sleep(0.05)
    return process.pid


def free_port() -> int:
    """A port of the loopback address that nobody uses now, and that was not given before."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in _given:
            _given.add(port)
            return port
