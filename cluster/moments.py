"""Moments: of which some never come, and of which the earliest matters."""

import heapq
from collections.abc import Hashable
from typing import Generic, TypeVar

_MOST_STALE = 100  # entries whose key has another moment since, or none

K = TypeVar("K", bound=Hashable)


def earliest(*moments: float | None) -> float | None:
    """The first of them; None when none comes."""
    first: float | None = None
    for moment in moments:
        if moment is not None and (first is None or moment < first):
            first = moment
    return first


class Calendar(Generic[K]):
    """A moment for each key. An operation costs the logarithm of their number, on average."""

    def __init__(self) -> None:
        self._moments: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._entries = 0  # so far: to tell keys of one moment apart without comparing them

    def __len__(self) -> int:
        return len(self._moments)

    def get(self, key: K) -> float | None:
        """The moment of this key; None when it has none."""
        return self._moments.get(key)

    def put(self, key: K, moment: float) -> None:
        """From now on this is the key's moment."""
        if self._moments.get(key) == moment:
            return
        self._moments[key] = moment
        if len(self._heap) > _MOST_STALE + 2 * len(self._moments):
            self._heap = [(at, number, one) for number, (one, at) in enumerate(self._moments.items())]
            heapq.heapify(self._heap)
            self._entries = len(self._heap)
        else:
            heapq.heappush(self._heap, (moment, self._entries, key))
            self._entries += 1

    def remove(self, key: K) -> None:
        """The key has no moment any more."""
        self._moments.pop(key, None)

    def first(self) -> K | None:
        """The key whose moment is the earliest; None when there is none."""
        while self._heap:
            moment, _, key = self._heap[0]
            if self._moments.get(key) == moment:
                return key
            heapq.heappop(self._heap)
        return None

    def take_until(self, now: float) -> list[K]:
        """The keys whose moments have come, in order; they have none any more."""
        taken: list[K] = []
        while (key := self.first()) is not None and self._moments[key] <= now:
            del self._moments[key]
            taken.append(key)
        return taken

    def next(self) -> float | None:
        """The earliest moment; None when there is none."""
        key = self.first()
        return None if key is None else self._moments[key]
