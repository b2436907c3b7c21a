"""Whether a process may use a core to wait: busy polling, see cluster/patience.py."""

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
