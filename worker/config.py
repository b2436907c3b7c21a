"""Every setting of a worker, read once when it starts."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from mindspore_serving.cluster.addresses import Endpoint, parse_endpoint
from mindspore_serving.cluster.errors import SetupError
from mindspore_serving.cluster.settings import LOG_LEVELS, busy_poll, choice, integer, seconds, setting, switch
from mindspore_serving.worker.engine_settings import ONE_THREAD
from mindspore_serving.worker.target import DEC_MODES, Target

DIRECTORY_VARIABLE = "MINDSPORE_SERVING_DIRECTORY"
TUNE_VARIABLE = "MINDSPORE_SERVING_TUNE"
AUTO, AGAIN, OFF = TUNE_MODES = ("auto", "again", "off")
_, ZEROMQ = TRANSPORTS = ("auto", "zeromq")
_CORES = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", re.ASCII)


def read_cores(text: str) -> frozenset[int]:
    """Reads a list of CPU cores, such as 0,2-3. Raises SetupError."""
    cores: set[int] = set()
    for part in text.split(","):
        match = _CORES.fullmatch(part)
        if match is None:
            raise SetupError(f"--cpu-affinity '{text}' is not a list of CPU cores such as 0,2-3")
        first, last = int(match[1]), int(match[2] or match[1])
        cores.update(range(first, last + 1))
    absent = cores - os.sched_getaffinity(0)
    if absent or not cores:
        raise SetupError(f"--cpu-affinity '{text}': this process has only the cores {sorted(os.sched_getaffinity(0))}")
    return frozenset(cores)


def read_key(path: Path) -> bytes:
    """The key of encrypted models in this file. Raises SetupError, which never shows it."""
    try:
        with path.open("rb") as file:
            key = file.read(33)
    except OSError as error:
        raise SetupError(f"--dec-key-file '{path}' cannot be read: {error.strerror}") from error
    if len(key) not in (16, 24, 32):
        raise SetupError(f"--dec-key-file '{path}' should hold 16, 24 or 32 bytes, and not even a line end more")
    return key


def read_masters(text: str) -> tuple[Endpoint, ...]:
    """Reads the control ports of one or more masters. Raises SetupError."""
    masters = tuple(parse_endpoint(part, "--master", default_host=None) for part in text.split(","))
    if len(set(masters)) < len(masters):
        raise SetupError(f"--master '{text}' names a master twice")
    return masters


def read_tuning(mode: str | None) -> str:
    """This mode, else the one that the environment names, else auto. Raises SetupError."""
    given: str = choice(f"${TUNE_VARIABLE}", *TUNE_MODES)(os.environ.get(TUNE_VARIABLE) or AUTO)
    return mode or given


@dataclass(frozen=True, kw_only=True)
class WorkerConfig:
    """What a worker is told."""

    servable: str = setting("NAME_OR_PATH", "the servable: a name below --directory, or the path of its folder", str)
    directory: str | None = setting(
        "DIR", f"where servables stand (default: ${DIRECTORY_VARIABLE}, else the current directory)", str, None
    )
    device: int = setting("N", "the device id", integer("--device", 0, 65535), 0)
    device_type: str = setting("TYPE", "CPU, GPU or Ascend", choice("--device-type", "CPU", "GPU", "Ascend"), "CPU")
    version: int = setting("N", "the version to load; 0 is the newest", integer("--version", 0, 2**31 - 1), 0)
    master: tuple[Endpoint, ...] = setting(
        "HOST:PORT[,HOST:PORT]",
        "the control port of the master, or unix:PATH; with commas between them: of several masters, which share it",
        read_masters,
    )
    dec_key_file: Path | None = setting(
        "FILE",
        "a file of 16, 24 or 32 bytes: the key of encrypted MindIR files; may be a pipe, such as /dev/fd/3",
        Path,
        None,
    )
    dec_mode: str = setting(
        "MODE", f"how they are encrypted: {' or '.join(DEC_MODES)}", choice("--dec-mode", *DEC_MODES), DEC_MODES[0]
    )
    cpu_affinity: frozenset[int] | None = setting(
        "CORES",
        "the CPU cores to keep to, such as 0,2-3 (default: all that the system gives)",
        read_cores,
        None,
    )
    stop_when_stdin_closes: bool = switch("drain and stop when standard input ends: with the process that holds it")
    curve_dir: Path | None = setting(
        "DIR",
        "this worker's keys for a master with --curve-dir: the folder that `mindspore-serving keygen` made for it",
        Path,
        None,
    )
    drain_seconds: float = setting(
        "S", "when told to stop, finish what is open for at most so long", seconds("--drain-seconds"), 30.0
    )
    tune: str | None = setting(
        "MODE",
        f"{', '.join(TUNE_MODES)}: before loading, measure which instructions and threads suit the models on this "
        f"machine: once, again, or not at all (default: ${TUNE_VARIABLE}, else {AUTO}); ${ONE_THREAD}=on or off "
        "decides whether MindSpore computes in one thread, whatever would be measured",
        choice("--tune", *TUNE_MODES),
        None,
    )
    transport: str = setting(
        "WAY",
        "how it talks to masters: auto takes a unix socket beside ZeroMQ to those on this machine, zeromq never does",
        choice("--transport", *TRANSPORTS),
        TRANSPORTS[0],
    )
    busy_poll: str | None = busy_poll()
    log_level: str = setting("LEVEL", "debug, info, warning or error", choice("--log-level", *LOG_LEVELS), "info")

    def target(self) -> Target:
        """The device, and the key if there is one. Raises SetupError when its file holds none."""
        return Target(
            device_type=self.device_type,
            device_id=self.device,
            dec_key=None if self.dec_key_file is None else read_key(self.dec_key_file),
            dec_mode=self.dec_mode,
        )

    def tuning(self) -> str:
        """How to tune. Raises SetupError when the environment says something else."""
        return read_tuning(self.tune)

    def place(self) -> tuple[Path, str]:
        """The folder that servables stand in, and this servable's name."""
        named = Path(self.servable)
        if named.name == self.servable and self.servable not in ("", ".", ".."):
            return Path(self.directory or os.environ.get(DIRECTORY_VARIABLE) or "."), self.servable
        path = (Path(self.directory or ".") / named).resolve()
        return path.parent, path.name
