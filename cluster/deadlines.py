"""When open requests run out of time."""

import heapq
from collections import deque
from typing import Any, Final

_MOST_STALE: Final = 1000  # of answered requests, which stand behind earlier ones that are open


class Deadlines:
    """Most come in the order in which they end, as most callers wait for as long: they queue. The others are a heap.

    An operation costs the same for any number of them, or its logarithm, on average. open_requests: by their numbers;
    deadlines of others are forgotten.
    """

    def __init__(self, open_requests: dict[int, Any]) -> None:
        self._open = open_requests
        self._queue: deque[tuple[float, int]] = deque()
        self._heap: list[tuple[float, int]] = []

    def __len__(self) -> int:
        return len(self._queue) + len(self._heap)

    def add(self, deadline: float, request_id: int) -> None:
        """Of a request that is open now."""
        if len(self) > _MOST_STALE + 2 * len(self._open):
            self._tidy()
        if not self._queue or deadline >= self._queue[-1][0]:
            self._queue.append((deadline, request_id))
        else:
            heapq.heappush(self._heap, (deadline, request_id))

    def first(self) -> tuple[float, int] | None:
        """The next deadline, and whose it is."""
        queue, heap = self._queue, self._heap
        while queue and queue[0][1] not in self._open:
            queue.popleft()
        while heap and heap[0][1] not in self._open:
            heapq.heappop(heap)
        if heap and (not queue or heap[0] < queue[0]):
            return heap[0]
        return queue[0] if queue else None

    def _tidy(self) -> None:
        left = [one for one in (*self._queue, *self._heap) if one[1] in self._open]
        self._queue = deque(sorted(left))
        self._heap.clear()
