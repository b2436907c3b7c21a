"""A worker as a child process: its command line, its log file, and what it says about itself on a notify socket."""

import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import mindspore_serving
from mindspore_serving.cluster.addresses import Endpoint
from mindspore_serving.worker.config import WorkerConfig
from mindspore_serving.worker.target import Target

_ROOT = Path(mindspore_serving.__file__).resolve().parent.parent
_LONGEST_WORD = 65536


@dataclass(frozen=True, kw_only=True)
class WorkerSpec:
    """What a worker process is started with. Two of them may be equal: `slot` tells them apart."""

    slot: int
    directory: Path
    name: str
    version: int
    target: Target
    extra: int | None = None  # its number among the workers beyond those of the devices
    busy_poll: str | None = None
    log_level: str = WorkerConfig.log_level

    def __str__(self) -> str:
        place = f"device id:{self.target.device_id}" if self.extra is None else f"extra worker:{self.extra}"
        return f"servable name:{self.name}, {place}"

    @property
    def log_name(self) -> str:
        """The file name that MindSpore Serving 2.x gives to a worker's log."""
        place = f"device{self.target.device_id}" if self.extra is None else f"extra{self.extra}"
        return f"log_{self.name}_{place}_version{self.version or 1}.log"

    def arguments(self, master: Endpoint) -> list[str]:
        """Of `python -m mindspore_serving.worker`; the key travels by a pipe, never here."""
        return [
            *("--servable", self.name),
            *("--directory", str(self.directory)),
            *("--version", str(self.version)),
            *("--device", str(self.target.device_id)),
            *("--device-type", self.target.device_type),
            *("--dec-mode", self.target.dec_mode),
            *("--master", str(master)),
            *(("--busy-poll", self.busy_poll) if self.busy_poll else ()),
            *("--log-level", self.log_level),
            "--stop-when-stdin-closes",
        ]


class WorkerProcess:
    """Runs from construction on. It ends when it is told to, by itself, or with the process that made it.

    Once it is ready it says every half of watchdog_seconds that its Python runs, until it is told to stop. Both
    `notifications` and `exit_fd` can be waited for: a word of it can be read, it has ended.
    """

    def __init__(
        self, spec: WorkerSpec, master: Endpoint, folder: Path, log: Path | None, watchdog_seconds: float
    ) -> None:
        self.spec = spec
        self._watchdog_seconds = watchdog_seconds
        self.ready = False
        self.answered = False
        self.told_to_stop = False
        self.beats = 0  # words of its watchdog
        self.status = ""
        self.notifications = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket_path = folder / f"notify-{spec.slot}"
        self._socket_path.unlink(missing_ok=True)
        self.notifications.bind(str(self._socket_path))
        self._popen = self._start(master, log)
        self.pid = self._popen.pid
        self.exit_fd = os.pidfd_open(self.pid)

    def read_notifications(self) -> None:
        """Takes in what it has said since."""
        while True:
            try:
                words = self.notifications.recv(_LONGEST_WORD).decode(errors="replace")
            except BlockingIOError:
                return
            self.ready = self.ready or words == "READY=1"
            self.answered = self.answered or words == "X_ANSWERED=1"
            self.told_to_stop = self.told_to_stop or words == "STOPPING=1"
            self.beats += words == "WATCHDOG=1"
            if words.startswith("STATUS="):
                self.status = words.removeprefix("STATUS=")

    def terminate(self) -> None:
        """Asks it to drain and end."""
        self._popen.terminate()

    def kill(self) -> None:
        """Ends it at once."""
        self._popen.kill()

    def reap(self) -> int:
        """After it has ended: its exit code, negative for a signal. Lets everything go."""
        code = self._popen.wait()
        self.read_notifications()
        if self._popen.stdin is not None:
            self._popen.stdin.close()
        os.close(self.exit_fd)
        self.notifications.close()
        self._socket_path.unlink(missing_ok=True)
        return code

    def _start(self, master: Endpoint, log: Path | None) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "mindspore_serving.worker", *self.spec.arguments(master)]
        environment = {**os.environ, "NOTIFY_SOCKET": str(self._socket_path)}
        environment["WATCHDOG_USEC"] = str(int(self._watchdog_seconds * 1e6))
        environment.pop("WATCHDOG_PID", None)  # that of our own service manager
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
        fds: tuple[int, ...] = ()
        key = self.spec.target.dec_key
        if key is not None:
            reader, writer = os.pipe()
            os.write(writer, key)
            os.close(writer)
            fds = (reader,)
            command += ["--dec-key-file", f"/dev/fd/{reader}"]
        output = sys.stdout.fileno() if log is None else os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
        try:
            return subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=fds,
                start_new_session=True,  # Ctrl-C is for this process: it stops the workers last
            )
        finally:
            for fd in (*fds, *(() if log is None else (output,))):
                os.close(fd)
