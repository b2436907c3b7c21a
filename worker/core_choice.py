"""Which core MindSpore's threads are tied to: shares of cores in, a core out. Shares are from 0, idle, to 1."""

from collections.abc import Callable, Collection, Mapping, Sequence

_ALIKE = 0.1  # cores that differ by less are equally busy
_WORTH_MOVING = 0.25  # how much less busy another core has to be than ours is with others' work
_WANTED = 0.1  # whoever uses less of its core does not care


def first_core(busy: Mapping[int, float], allowed: Collection[int], pick: Callable[[Sequence[int]], int]) -> int:
    """One of the least busy, so that workers that start together do not all choose the same."""
    least = min(busy.get(core, 0.0) for core in allowed)
    return pick([core for core in sorted(allowed) if busy.get(core, 0.0) <= least + _ALIKE])


def next_core(
    core: int, ours: float, busy: Mapping[int, float], allowed: Collection[int], coin: Callable[[], bool]
) -> int:
    """Where to be from now on; mostly where we are.

    ours: our own part of how busy `core` was. A thread that is tied does not get away from another one by itself, so
    two workers that share a core must see it. Both do at the same moment: the coin lets one of them stay.
    """
    if ours < _WANTED or core not in busy:
        return core
    others = {other: busy[other] for other in allowed if other != core and other in busy}
    if not others:
        return core
    best = min(others, key=others.__getitem__)
    crowded = busy[core] - ours > others[best] + _WORTH_MOVING
    return best if crowded and coin() else core
