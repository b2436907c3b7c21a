"""Whether a process may use a core to wait: busy polling, see cluster/patience.py."""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from mindspore_serving.cluster.settings import BUSY_POLL_MODES, BUSY_POLL_VARIABLE, choice

_AUTO, _OFF = BUSY_POLL_MODES


def may_poll(mode: str | None, environment: Mapping[str, str] = os.environ, root: Path = Path("/")) -> bool:
    """By this mode, else the one that the environment names, else auto. Raises SetupError.

    auto: where there are two cores or more, and no quota of CPU time, which looking would use up. `root`: of the files
    that tell.
    """
    given: str = choice(f"${BUSY_POLL_VARIABLE}", *BUSY_POLL_MODES)(environment.get(BUSY_POLL_VARIABLE) or _AUTO)
    if (mode or given) == _OFF:
        return False
    return len(os.sched_getaffinity(0)) > 1 and not _has_quota(root)


class Crowd:
    """Whether more threads want to run than there are cores, of this machine. Called often: it takes a microsecond.

    `load`: the file that tells, proc(5), of which the fourth word has those that run or want to: 0.20 0.18 0.12 1/80
    11206. Where there is none, there is no crowd.
    """

    def __init__(self, load: Path = Path("/proc/loadavg"), cores: int = os.cpu_count() or 1) -> None:
        self._cores = cores
        self._file = -1
        with contextlib.suppress(OSError):
            self._file = os.open(load, os.O_RDONLY | os.O_CLOEXEC)

    def __call__(self) -> bool:
        return self._file >= 0 and int(os.pread(self._file, 64, 0).split()[3].partition(b"/")[0]) > self._cores


def _has_quota(root: Path) -> bool:
    """Whether a control group of this process, or one above it, limits its CPU time: cgroups(7), of both versions."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        _number, controllers, path = line.split(":", 2)
        if not controllers:
            place, name, free = root / "sys/fs/cgroup", "cpu.max", "max"
        elif "cpu" in controllers.split(","):
            place, name, free = root / "sys/fs/cgroup" / "cpu", "cpu.cfs_quota_us", "-1"
        else:
            continue
        folder = Path(path.lstrip("/"))
        for one in (folder, *folder.parents):
            if (_read(place / one / name).split() or [free])[0] != free:
                return True
    return False


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:  # a system without it
        return ""
