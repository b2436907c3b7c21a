"""The whole job in one command: export, one master, two workers, a client, and everything shut down again.

Exit code 0 only when every result was right, every process ended by itself with exit code 0, and nothing is left.
"""

import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent  # the commands run from a checkout as well as from an installation
READY_SECONDS = 120.0
STOP_SECONDS = 60.0


def free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:  # both at once: two ports, not the same one twice
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1]), int(other.getsockname()[1])


class Command:
    """A process of the demo: what it prints is shown, and lines can be waited for."""

    def __init__(self, name: str, *arguments: str) -> None:
        self.name = name
        print(f"$ python {' '.join(arguments)}", flush=True)
        self.process = subprocess.Popen(
            [sys.executable, *arguments], cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self._lines: list[str] = []
        self._news = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def wait_for(self, text: str) -> None:
        with self._news:
            seen = self._news.wait_for(lambda: self._ended or any(text in line for line in self._lines), READY_SECONDS)
            if not seen or not any(text in line for line in self._lines):
                raise RuntimeError(f"{self.name} did not print '{text}'")

    def wait(self, seconds: float) -> int:
        code = self.process.wait(seconds)
        self._reader.join()
        return code

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            print(f"[{self.name}] {line}", end="", flush=True)
            with self._news:
                self._lines.append(line)
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()


def stop(commands: list[Command]) -> list[str]:
    """Ends the processes, workers first; says what went wrong."""
    faults = []
    for command in reversed(commands):
        if command.process.poll() is None:
            command.process.send_signal(signal.SIGTERM)
        try:
            code = command.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            command.process.kill()
            command.wait(STOP_SECONDS)
            faults.append(f"{command.name} had to be killed")
        else:
            if code:
                faults.append(f"{command.name} ended with exit code {code}")
    return faults


def main() -> int:
    exporter = Command("export", str(HERE / "export_model.py"))
    if exporter.wait(READY_SECONDS):
        return 1
    grpc, ctrl = free_ports()
    commands: list[Command] = []
    faults: list[str] = []
    try:
        commands.append(Command("master", "-m", "master", "--grpc", str(grpc), "--ctrl", str(ctrl)))
        for device in ("0", "1"):
            place = ("--servable", "add", "--directory", str(HERE), "--device", device)
            commands.append(Command(f"worker{device}", "-m", "worker", *place, "--master", f"127.0.0.1:{ctrl}"))
        commands[0].wait_for("start success, listening on")
        for worker in commands[1:]:
            worker.wait_for("registered at")
        if Command("client", str(HERE / "client.py"), f"127.0.0.1:{grpc}").wait(READY_SECONDS):
            faults.append("the client got a wrong result")
    except RuntimeError as error:
        faults.append(str(error))
    finally:
        faults += stop(commands)
    print("demo failed: " + "; ".join(faults) if faults else "demo passed: every sum is right, every process has ended")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
