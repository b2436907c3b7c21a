"""Requests that are admitted and not answered yet. Each of them leaves this table once: answered, or cancelled."""

import heapq
from collections import defaultdict
from collections.abc import Sequence

from mindspore_serving.cluster import refusals
from mindspore_serving.cluster.batcher import Entry, Request, Result
from mindspore_serving.cluster.board import Board
from mindspore_serving.cluster.dispatch_events import Answer, Arrival
from mindspore_serving.cluster.errors import Failure
from mindspore_serving.cluster.statistics import Statistics


class OpenRequests:
    """The table of open requests. Every operation costs the same for any number of them, or its logarithm."""

    def __init__(self, board: Board) -> None:
        self.statistics = Statistics()
        self.nbytes = 0
        self._board = board
        self._requests: dict[int, Request] = {}
        self._deadlines: list[tuple[float, int]] = []  # a heap; entries of answered requests are skipped

    def __len__(self) -> int:
        return len(self._requests)

    def add(self, arrival: Arrival, deadline: float) -> Request:
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
            losses=defaultdict(dict),
            arrived_at=self._board.now,
        )
        self._requests[request.id] = request
        self.nbytes += request.nbytes
        heapq.heappush(self._deadlines, (deadline, request.id))
        return request

    def settle(self, entry: Entry, result: Result) -> None:
        """One instance has its result; the request is answered with its last one."""
        request, index = entry
        if request.settled:
            return
        request.results[index] = result
        request.missing -= 1
        if not request.missing:
            self.answer(request, [result for result in request.results if result is not None])

    def answer(self, request: Request, results: Sequence[Result] | Failure) -> None:
        """The end of the request."""
        self._board.actions.append(Answer(request.id, request.method.outputs, results, request.route.version))
        ok = not isinstance(results, Failure) and not any(isinstance(result, Failure) for result in results)
        counters = self.statistics.of(request.route.servable, request.route.version, request.method.name)
        counters.request_answered(ok, request.arrived_at, request.sent_at, self._board.now)
        self._remove(request)

    def cancel(self, request_id: int) -> None:
        """Its caller is gone, perhaps because it was answered."""
        if request := self._requests.get(request_id):
            self._remove(request)

    def answer_overdue(self) -> None:
        """Whose deadline has passed hears so."""
        while (deadline := self.next_deadline()) is not None and deadline <= self._board.now:
            request = self._requests[heapq.heappop(self._deadlines)[1]]
            self.answer(request, refusals.deadline_passed(request))

    def next_deadline(self) -> float | None:
        """When the next request runs out of time."""
        while self._deadlines and self._deadlines[0][1] not in self._requests:
            heapq.heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else None

    def _remove(self, request: Request) -> None:
        del self._requests[request.id]
        self.nbytes -= request.nbytes
        request.settle()
        self._board.touch(request.route)  # a drained replica may have waited for this
