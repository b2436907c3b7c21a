"""Requests that are admitted and not answered yet: how many, how large, and until when."""

import heapq
from collections import defaultdict
from collections.abc import Iterator

from mindspore_serving.cluster.batcher import Request
from mindspore_serving.cluster.dispatch_events import Arrival


class OpenRequests:
    """The table of open requests. Every operation costs the same for any number of them, or its logarithm."""

    def __init__(self) -> None:
        self._requests: dict[int, Request] = {}
        self._deadlines: list[tuple[float, int]] = []  # a heap; entries of answered requests are skipped
        self.nbytes = 0

    def __len__(self) -> int:
        return len(self._requests)

    def get(self, request_id: int) -> Request | None:
        return self._requests.get(request_id)

    def add(self, arrival: Arrival, deadline: float, now: float) -> Request:
        """The request is admitted."""
        count = len(arrival.instances)
        request = Request(
            id=arrival.request_id,
            asked_version=arrival.asked_version,
            route=arrival.route,
            method=arrival.method,
            instances=arrival.instances,
            deadline=deadline,
            nbytes=arrival.nbytes,
            results=[None] * count,
            missing=count,
            losses=defaultdict(set),
            arrived_at=now,
        )
        self._requests[request.id] = request
        self.nbytes += request.nbytes
        heapq.heappush(self._deadlines, (deadline, request.id))
        return request

    def remove(self, request: Request) -> None:
        """The request is answered, or its caller is gone: nothing of it will run any more."""
        del self._requests[request.id]
        self.nbytes -= request.nbytes
        request.settle()

    def overdue(self, now: float) -> Iterator[Request]:
        """The requests whose deadline has passed; each is expected to be removed before the next is asked for."""
        while (deadline := self.next_deadline()) is not None and deadline <= now:
            yield self._requests[heapq.heappop(self._deadlines)[1]]

    def next_deadline(self) -> float | None:
        """When the next request runs out of time."""
        while self._deadlines and self._deadlines[0][1] not in self._requests:
            heapq.heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else None
