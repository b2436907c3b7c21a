"""Requests that have lost their workers when no other was left: they wait for the next one.

To be told "not available" would invite their callers to ask again, as something that nobody has counted a death
against: an instance that kills its workers would go on from one to the next. Here it is known, and runs alone when a
worker is back; and what ran beside it gets its answer.
"""

from mindspore_serving.cluster.batcher import Request
from mindspore_serving.cluster.board import Board
from mindspore_serving.cluster.errors import RequestRefused
from mindspore_serving.cluster.moments import earliest
from mindspore_serving.cluster.registry import Route


class Orphans:
    """For each servable those that wait, with the moment at which they have waited long enough: the earliest first."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._until: dict[str, dict[Request, float]] = {}

    def keep(self, request: Request) -> bool:
        """Whether it waits from now on: what a worker was lost over does, and nothing else."""
        seconds = self._board.limits.orphan_seconds
        if request.losses is None or not seconds:
            return False
        waiting = self._until.setdefault(request.route.servable, {})
        if not waiting:
            text = (
                f"{request.route} has no worker left: what was lost with the last one waits {seconds:g} s for another"
            )
            self._board.report("warning", text)
        waiting[request] = self._board.now + seconds
        return True

    def take(self, route: Route) -> list[Request]:
        """Those that may go there, now that it has a worker."""
        waiting = self._until.get(route.servable)
        if not waiting:
            return []
        return self._leave(route.servable, [it for it in waiting if self._goes_to(it, route)])

    def take_overdue(self) -> list[Request]:
        """Those that have waited long enough."""
        overdue: list[Request] = []
        for servable, waiting in list(self._until.items()) if self._until else ():
            overdue += self._leave(servable, [it for it, until in waiting.items() if until <= self._board.now])
        return overdue

    def take_all(self) -> list[Request]:
        """All that wait."""
        return [
            request for servable in list(self._until) for request in self._leave(servable, [*self._until[servable]])
        ]

    def next_end(self) -> float | None:
        """When take_overdue() has something to say."""
        return (
            None if not self._until else earliest(*[next(iter(waiting.values())) for waiting in self._until.values()])
        )

    def _goes_to(self, request: Request, route: Route) -> bool:
        try:
            found, _ = self._board.registry.resolve(route.servable, request.asked_version, request.method.name)
        except RequestRefused:  # the version that serves now has no such method
            return False
        return found is route

    def _leave(self, servable: str, requests: list[Request]) -> list[Request]:
        """They wait no more. Returns those that nobody has answered meanwhile."""
        if requests:
            waiting = self._until[servable]
            for request in requests:
                del waiting[request]
            if not waiting:
                del self._until[servable]
        return [request for request in requests if not request.settled]
