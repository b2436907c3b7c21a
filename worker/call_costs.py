"""What calls cost on a machine that does other things too: measured in turn, several rounds, the shortest counts."""

import time
from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

import numpy as np

K = TypeVar("K", bound=Hashable)
Clock = Callable[[], tuple[float, ...]]  # the first is the time of day, the last what a call is charged

LONG_SECONDS = 0.1  # a call that takes so long is measured once, in one round only
_ROUNDS = 4  # a slow moment of the machine seldom lasts through all of them
_ROUND_SECONDS, _ROUND_CALLS = 0.002, 20  # of each call in a round; two calls at least, unless they are long


def wall_clock() -> tuple[float, ...]:
    """For a device of its own, which the process waits for."""
    return (time.perf_counter(),)


def cpu_clock() -> tuple[float, ...]:
    """For models that run on the CPU: while other processes have it, that of this one stands still."""
    return time.perf_counter(), time.process_time()


def measure(call: Callable[[], object], clock: Clock = wall_clock) -> float:
    """Seconds of a call that nothing disturbs, from one round."""
    times: list[float] = []
    end = clock()[0] + _ROUND_SECONDS
    while not times or (len(times) < 2 and times[0] < LONG_SECONDS) or (clock()[0] < end and len(times) < _ROUND_CALLS):
        start = clock()
        call()
        times.append(min(after - before for before, after in zip(start, clock(), strict=True)))
    return sorted(times)[len(times) // 4]


def shortest(calls: Mapping[K, Callable[[], object]], clock: Clock = wall_clock) -> dict[K, float]:
    """Seconds of each of these calls, which are to be compared."""
    costs = {key: measure(call, clock) for key, call in calls.items()}
    for _ in range(1, _ROUNDS):
        for key, seconds in costs.items():
            if seconds < LONG_SECONDS:
                costs[key] = min(seconds, measure(calls[key], clock))
    return costs


def rising(costs: Mapping[int, float]) -> dict[int, float]:
    """Costs by size, none above that of a larger size: what seems dearer than more of the same was disturbed."""
    found: dict[int, float] = {}
    least = float("inf")
    for size in sorted(costs, reverse=True):
        least = found[size] = min(least, costs[size])
    return dict(sorted(found.items()))


def of_every_size(costs: Mapping[int, float], most: int) -> dict[int, float]:
    """From 1 to the most: costs as measured, on a line between two that were, in proportion beyond the last."""
    last = max(costs)
    known = {**costs, most: costs[last] * most / last} if last < most else costs
    every = range(1, most + 1)
    return dict(zip(every, np.interp(every, list(known), list(known.values())).tolist(), strict=True))
