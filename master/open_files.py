"""How many files a master may open: each connection is one."""

import resource
import sys

_OWN_FILES = 100  # workers, libraries, everything else


def allow_many() -> None:
    """Takes what the process may have: shells and service managers give 1024 at first."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def share_of_a_door() -> int:
    """So many connections each of two doors may have."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if files == resource.RLIM_INFINITY else max(1, (files - _OWN_FILES) // 2)
