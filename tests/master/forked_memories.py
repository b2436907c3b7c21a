"""Processes of one master that register memory, forked from a parent without threads: for test_client_memory alone.

`python -m tests.master.forked_memories KEY`, the key of a shared memory.
"""

import os
import signal
import sys
from collections.abc import Callable
from functools import partial

import pytest

from mindspore_serving.master.client_memory import ClientMemory
from mindspore_serving.master.error_status import CallFault
from mindspore_serving.master.region_table import RegionTable
from tests.master.posix_memory import PREFIX

NAMES = (f"{PREFIX}*",)


def forked(work: Callable[[], None]) -> int:
    """The pid of a child that does this."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return pid


def wait_for(pid: int, how: int = 0) -> None:
    """The child has ended, and so."""
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == how


def what_one_registers_the_others_know(key: str) -> None:
    table = RegionTable()
    ours, theirs = ClientMemory(NAMES, table), ClientMemory(NAMES, table)
    wait_for(forked(lambda: theirs.register("r", key, 0, 16)))
    assert len(ours.part("r", 0, 16)) == 16
    wait_for(forked(lambda: theirs.unregister("r")))
    with pytest.raises(CallFault, match="no shared memory region 'r' is registered"):
        ours.part("r", 0, 4)
    wait_for(forked(lambda: theirs.register("r", key, 2, 2)))
    assert ours.regions("r")[0].offset == 2


def those_that_register_at_once_lose_nothing(key: str) -> None:
    table = RegionTable()
    names = [f"{number}" for number in range(40)]

    def work(share: int) -> None:
        mine = ClientMemory(NAMES, table)
        for name in names[share::4]:
            mine.register(name, key, 0, 1)
            mine.register(f"{name}-not", key, 0, 1)
            mine.unregister(f"{name}-not")

    for pid in [forked(partial(work, share)) for share in range(4)]:
        wait_for(pid)
    memory = ClientMemory(NAMES, table)
    assert {region.name for region in memory.regions("")} == set(names)
    assert all(len(memory.part(name, 0, 1)) == 1 for name in names)


def one_that_is_killed_while_it_changes_something_changes_nothing(key: str) -> None:
    table = RegionTable()
    ClientMemory(NAMES, table).register("r", key, 0, 1)

    def die() -> None:
        with table.change() as regions:
            regions.clear()
            os.kill(os.getpid(), signal.SIGKILL)

    wait_for(forked(die), -signal.SIGKILL)
    ClientMemory(NAMES, table).register("s", key, 0, 1)  # nobody holds the lock
    assert set(table.read()[1]) == {"r", "s"}


if __name__ == "__main__":
    what_one_registers_the_others_know(sys.argv[1])
    those_that_register_at_once_lose_nothing(sys.argv[1])
    one_that_is_killed_while_it_changes_something_changes_nothing(sys.argv[1])
