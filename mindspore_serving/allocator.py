"""What the C library does with memory that is free: master and worker take and free it for each large request."""

import ctypes
import os
from collections.abc import Mapping

LARGEST_REUSED_BYTES = 32 << 20  # glibc takes no more; by itself it comes to that once it has freed such a block
KEPT_BYTES = 64 << 20
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # malloc.h


def keep_free_memory(environment: Mapping[str, str] = os.environ) -> bool:
    """Freed blocks are used again; up to KEPT_BYTES of them never go back to the system. Returns whether that is so.

    Else glibc gives the memory of most requests back, and the next ones take it page by page: with requests of 600 KB
    this took more time than all of Python (benchmarks/large_requests.py). Who sets glibc's own variables is obeyed.
    """
    if any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in environment):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl and macOS have none
    if mallopt is None:
        return False
    return bool(mallopt(_MMAP_THRESHOLD, LARGEST_REUSED_BYTES) and mallopt(_TRIM_THRESHOLD, KEPT_BYTES))
