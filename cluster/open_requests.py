"""Requests that are admitted and not answered yet. Each of them leaves this table once: answered, or cancelled."""

from mindspore_serving.cluster import refusals
from mindspore_serving.cluster.batcher import Request
from mindspore_serving.cluster.board import Board
from mindspore_serving.cluster.deadlines import Deadlines
from mindspore_serving.cluster.dispatch_events import Answer, Arrival
from mindspore_serving.cluster.errors import Failure
from mindspore_serving.cluster.results import Results
from mindspore_serving.cluster.statistics import Statistics
from mindspore_serving.cluster.tensors import Column


class OpenRequests:
    """The table of open requests. An operation costs the same for any number of them, or its logarithm, on average."""

    def __init__(self, board: Board) -> None:
        self.statistics = Statistics()
        self.nbytes = 0
        self._board = board
        self._requests: dict[int, Request] = {}
        self._deadlines = Deadlines(self._requests)

    def __len__(self) -> int:
        return len(self._requests)

    def add(self, arrival: Arrival, deadline: float) -> Request:
        """The request is admitted."""
        request = Request(
            arrival.request_id,
            arrival.asked_version,
            arrival.route,
            arrival.method,
            arrival.size,
            arrival.columns,
            deadline,
            arrival.nbytes,
            self._board.now,
        )
        self._requests[request.id] = request
        self.nbytes += request.nbytes
        self._deadlines.add(deadline, request.id)
        return request

    def succeed(self, request: Request, start: int, count: int, columns: tuple[Column, ...]) -> None:
        """Some of its instances have their results; the request is answered with the last ones."""
        if not request.settled:
            request.results.succeed(start, count, columns)
            self._answer_if_complete(request)

    def fail(self, request: Request, index: int, failure: Failure) -> None:
        """One of its instances has failed; the request is answered with its last one."""
        if not request.settled:
            request.results.fail(index, failure)
            self._answer_if_complete(request)

    def _answer_if_complete(self, request: Request) -> None:
        if not request.results.missing:
            self.answer(request, request.results.all(request.count))

    def answer(self, request: Request, results: Results | Failure) -> None:
        """The end of the request."""
        route, method = request.route, request.method
        self._board.actions.append(Answer(request.id, method.outputs, results, route.version))
        ok = isinstance(results, Results) and not results.failures
        counters = self.statistics.of(route.servable, route.version, method.name)
        counters.request_answered(ok, request.arrived_at, request.sent_at, self._board.now)
        self._remove(request)

    def cancel(self, request_id: int) -> None:
        """Its caller is gone, perhaps because it was answered."""
        if request := self._requests.get(request_id):
            self._remove(request)

    def answer_overdue(self) -> None:
        """Whose deadline has passed hears so."""
        while (first := self._deadlines.first()) is not None and first[0] <= self._board.now:
            request = self._requests[first[1]]
            self.answer(request, refusals.deadline_passed(request))

    def next_deadline(self) -> float | None:
        """When the next request runs out of time."""
        first = self._deadlines.first()
        return None if first is None else first[0]

    def _remove(self, request: Request) -> None:
        del self._requests[request.id]
        self.nbytes -= request.nbytes
        request.settle()
        self._board.touch(request.route)  # a drained replica may have waited for this
