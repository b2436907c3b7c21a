"""What happens to the work of a replica that is lost: it runs elsewhere, or is given up when it kills its workers."""

from enum import Enum, auto

from mindspore_serving.cluster import refusals
from mindspore_serving.cluster.batcher import Batch, Cut, MethodQueue, Request, Span
from mindspore_serving.cluster.board import Board
from mindspore_serving.cluster.errors import Failure
from mindspore_serving.cluster.lane import Lane
from mindspore_serving.cluster.leases import Leases
from mindspore_serving.cluster.moments import earliest
from mindspore_serving.cluster.open_requests import OpenRequests
from mindspore_serving.cluster.quarantine import Quarantine
from mindspore_serving.cluster.registry import Replica, Route


class Loss(Enum):
    """How a replica was lost."""

    DEATH = auto()  # its connection is gone, or its device hangs
    NONSENSE = auto()  # it is alive, and answers what cannot be
    SILENCE = auto()  # it was not heard of
    FAREWELL = auto()  # it said so itself


# What it counts against the instances that the replica had. Silence counts half: a stopped process may come back, and
# most that stops processes is no instance's fault.
_WEIGHT = {Loss.DEATH: 1.0, Loss.NONSENSE: 1.0, Loss.SILENCE: 0.5, Loss.FAREWELL: 1.0}


class Losses:
    """Puts work back. Lost instances are counted by worker: ids are new for each process start, so that a worker that
    is lost twice has not died in between.
    """

    def __init__(self, board: Board, requests: OpenRequests, leases: tuple[Leases, ...]) -> None:
        self._board = board
        self._requests = requests
        self._leases = leases
        self._shut: dict[tuple[Route, str], Quarantine] = {}  # methods in quarantine

    def lose(self, replica: Replica, why: str, loss: Loss) -> None:
        """Takes the replica out; what it had open goes back to the front, or is given up after too many losses."""
        board = self._board
        self.forget(replica, "lose")
        level = "warning" if replica.open else "info"
        board.report(level, f"replica {replica.id} lost ({why}), {len(replica.open)} batches put back")
        lane = board.lane(replica.route)
        batches = list(replica.open.values())
        replica.open.clear()
        self._put_back(lane, replica, batches, loss)
        if batches and loss is not Loss.FAREWELL and _may_have_run(replica, batches[0], loss):
            self._count_death(lane, batches[0], _name(replica, batches[0], loss))
        board.place_draining(replica.route)

    def forget(self, replica: Replica, by: str) -> None:
        """The replica is gone, by `lose` or `release`: nobody waits for it or sends it anything."""
        self._board.registry.move(replica, by)
        for leases in self._leases:
            leases.end(replica.id)
        self._board.lane(replica.route).remove(replica)

    def open_again(self) -> None:
        """Methods whose quarantine is over are tried again."""
        for (route, method), quarantine in list(self._shut.items()) if self._shut else ():
            if quarantine.until is None or quarantine.try_again(self._board.now):
                del self._shut[route, method]
                self._board.registry.shut(route, method, False)
                self._board.report("info", f"{route} method {method} is tried again")

    def next_opening(self) -> float | None:
        """When the next quarantine is over."""
        if not self._shut:
            return None
        return earliest(*[quarantine.until or self._board.now for quarantine in self._shut.values()])

    def _put_back(self, lane: Lane, replica: Replica, batches: list[Batch], loss: Loss) -> None:
        back: dict[MethodQueue, list[Span]] = {}
        for batch in batches:
            name = _name(replica, batch, loss)
            weight = _WEIGHT[loss] if _may_have_run(replica, batch, loss) else 0.0
            for one in batch.spans:
                request = one.request
                for index in range(one.start, one.stop):
                    failure = self._failure(request, index, name, weight)
                    if failure is None:
                        span = Span(request, index, index + 1)
                        back.setdefault(lane.batcher.queue(batch.method), []).append(span)
                    else:
                        self._requests.fail(request, index, failure)
        for queue, spans in back.items():
            queue.put_back(spans)

    def _failure(self, request: Request, index: int, name: str, weight: float) -> Failure | None:
        """The end of an instance whose worker was lost; None: it runs again."""
        if weight == 0.0:
            return None
        if not request.method.idempotent:
            return refusals.not_repeated(request)
        losses = request.count_loss(index, name, weight)
        return refusals.deadly(request, self._board.limits) if losses >= self._board.limits.max_attempts else None

    def _count_death(self, lane: Lane, running: Batch, name: str) -> None:
        """Against the method that was running; when it is one too many, the method is shut off."""
        method, quarantine = running.method, lane.quarantines[running.method.name]
        if not quarantine.death(name, self._board.now) or quarantine.until is None:
            return
        self._shut[lane.route, method.name] = quarantine
        self._board.registry.shut(lane.route, method.name, True)
        failure = refusals.quarantined(lane.route, method, quarantine.until - self._board.now)
        self._board.report("error", failure.text)
        for request in lane.batcher.queue(method).drain():
            self._requests.answer(request, refusals.not_repeated(request) if request.is_spent else failure)


def _may_have_run(replica: Replica, batch: Batch, loss: Loss) -> bool:
    """Whether the worker had begun with it, as far as anybody knows. A suspect asks before (gate.py)."""
    return batch.cut is not Cut.ALONE or replica.begun == batch.id or loss is Loss.NONSENSE


def _name(replica: Replica, batch: Batch, loss: Loss) -> str:
    """Under which the loss is counted: nonsense counts each time, anything else once a worker."""
    return f"{replica.id}/{batch.id}" if loss is Loss.NONSENSE else replica.id
