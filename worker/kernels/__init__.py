"""Operators in C, which take a part of the time of MindSpore's own. MindSpore loads their library, and calls it.

    custom.c        as MindSpore calls them
    straight.c      as straight_calls.py does
    chain.c         several operators as one, and where what lies between them is kept
    chain.h         what an operator is
    operators.c     all of them, which are in
    layers.c, rows.c, elements.c, places.c
    kernels.h       what the parts share that compute
    convolution.c, points.c, channels.c, winograd.c: what is to be computed where of a convolution
    product.c, recurrence.c, pooling.c, copies.c: and of others
    planes.c        how the images of a convolution lie meanwhile
    simd.h, simd_*.h: how, once for each set of instructions, included by
    instructions.c  which chooses among them
    lanes.h         vectors of floats
    parallel.c      several threads for one call
    scratch.c       memory from call to call

rewrites/ puts them into graphs, once shapes.py has found sizes: lstm.py, unrolled.py, windows.py, whole_windows.py,
transposed.py, dense.py, norms.py, rows.py, elements.py, masks.py, truths.py, lookups.py, means.py,
joined.py, copies.py, and then chains.py; straight.py finds graphs of which nothing else is left.
"""

import ctypes
import os
from functools import cache

from mindspore_serving.compiled import kernel_library

OWN_THREADS = "MINDSPORE_SERVING_KERNEL_THREADS"  # in the environment: how many compute one call; 1 unless it is set


def library() -> str | None:
    """The file of the library, which is loaded now; None where there is none, or MindSpore cannot be told of it."""
    return None if loaded() is None else kernel_library()


@cache
def loaded() -> ctypes.CDLL | None:
    """The library, to be called by ourselves."""
    path = kernel_library()
    if path is None or ":" in path:  # MindSpore takes "path:operator"
        return None
    try:
        return ctypes.CDLL(path)
    except OSError:  # made on another machine
        return None


def start() -> None:
    """Starts the threads that the environment tells of: when it is complete, and before MindSpore is imported.

    MindSpore looks for the library at each call of an operator, in the order of loading; its own are many.
    """
    use_threads(int(os.environ.get(OWN_THREADS, "1")))


def use_threads(count: int) -> None:
    """From now on so many compute one call; 64 at most."""
    found = loaded()
    if found is not None:
        found.use_threads(count)
