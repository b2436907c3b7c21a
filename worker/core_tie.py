"""Ties MindSpore's threads to one core, and moves them when others crowd there.

MindSpore 2.10 cuts each of oneDNN's operators into as many parts as there are cores (two at least), hands them to
threads of its own, and lets its caller wait for them by sched_yield. For a small operator the hand-over costs more than
the part, and three threads want two cores. On one core they take turns, and the caller's waiting is what lets the
others run: less time for small models, and half the CPU (benchmarks/one_core.py). Whether it is for these models is
measured like the other settings of the engine.
"""

import contextlib
import os
import random
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from mindspore_serving.worker.core_choice import first_core, next_core

LOOK_SECONDS = 1.0
_FIRST_LOOK_SECONDS = 0.05


class CoreTie(threading.Thread):
    """Ties the calling thread, and with it each thread that it starts from now on; watches until the process ends.

    Make it on MindSpore's thread, before MindSpore starts threads. Raises OSError where the system does not allow it.
    """

    def __init__(self, stat: Path = Path("/proc/stat")) -> None:
        super().__init__(name="core tie", daemon=True)
        self._stat = stat
        self._allowed = frozenset(os.sched_getaffinity(0))
        before = busy_seconds(stat)
        time.sleep(_FIRST_LOOK_SECONDS)
        self.core = first_core(_shares(before, busy_seconds(stat), _FIRST_LOOK_SECONDS), self._allowed, random.choice)
        self._ended = threading.Event()
        os.sched_setaffinity(0, {self.core})

    def run(self) -> None:
        seen = time.monotonic(), busy_seconds(self._stat), self._own_seconds()
        while not self._ended.wait(LOOK_SECONDS):
            then, busy, own = seen
            seen = now, busy_now, own_now = time.monotonic(), busy_seconds(self._stat), self._own_seconds()
            ours = max(0.0, own_now - own) / (now - then)
            shares = _shares(busy, busy_now, now - then)
            self.move(next_core(self.core, ours, shares, self._allowed, lambda: random.random() < 0.5))

    def end(self) -> None:
        """Stops watching."""
        self._ended.set()

    def move(self, core: int) -> None:
        """All tied threads run on that core from now on."""
        if core == self.core:
            return
        moved = False
        for thread in self._tied():
            with contextlib.suppress(OSError):  # it has ended, or the core was taken from us
                os.sched_setaffinity(thread, {core})
                moved = True
        if moved:
            self.core = core

    def _own_seconds(self) -> float:
        return sum(_cpu_seconds(thread) for thread in self._tied())

    def _tied(self) -> list[int]:
        """The threads of this process that are tied: ours, and those that have inherited it."""
        return [thread for thread in map(int, os.listdir("/proc/self/task")) if _cores_of(thread) == {self.core}]


def busy_seconds(stat: Path) -> dict[int, float]:
    """How long each core has worked since the machine started, by proc(5), /proc/stat; nothing where there is none."""
    tick = os.sysconf("SC_CLK_TCK")
    try:
        lines = stat.read_text().splitlines()
    except OSError:
        return {}
    found: dict[int, float] = {}
    for line in lines:
        name, *fields = line.split()
        if name[:3] == "cpu" and name[3:].isdigit() and len(fields) >= 8:
            user, nice, system, _idle, _waiting, hard, soft, stolen = map(int, fields[:8])
            found[int(name[3:])] = (user + nice + system + hard + soft + stolen) / tick
    return found


def _shares(before: Mapping[int, float], after: Mapping[int, float], seconds: float) -> dict[int, float]:
    return {core: (after[core] - before[core]) / seconds for core in before.keys() & after.keys()}


def _cores_of(thread: int) -> set[int]:
    try:
        return set(os.sched_getaffinity(thread))
    except OSError:
        return set()


def _cpu_seconds(thread: int) -> float:
    """What the thread has run, by proc(5), /proc/PID/schedstat."""
    try:
        return int(Path(f"/proc/self/task/{thread}/schedstat").read_text().split()[0]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0
