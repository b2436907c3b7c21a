"""Memory of large requests is used again, unless who starts the master wants it otherwise."""

import os
import platform
import subprocess
import sys

import pytest

from mindspore_serving.allocator import keep_free_memory

# Messages of 600 KB, of which 8 are under way, and how often the system had to give a page for one.
PROGRAM = """
import resource
from collections import deque
from mindspore_serving.allocator import keep_free_memory

def turns():
    for _ in range(200):
        while len(under_way) > 8:
            under_way.popleft()
        under_way.append(b"x" * 600_000)
    under_way.clear()

under_way = deque()
kept = keep_free_memory()
turns()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    turns()
print(kept, (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 1000)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_memory_of_large_messages_is_used_again() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    said = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True, timeout=60
    ).stdout.split()
    assert said[0] == "True"
    assert float(said[1]) < 1.0


@pytest.mark.parametrize("name", ["MALLOC_MMAP_THRESHOLD_", "MALLOC_ARENA_MAX", "GLIBC_TUNABLES"])
def test_glibcs_own_variables_are_obeyed(name: str) -> None:
    assert not keep_free_memory({name: "1"})
