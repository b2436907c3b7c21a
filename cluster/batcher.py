"""Instances that wait, cut into batches: joined over requests, split where a request is larger than a batch.

Order is kept within a method; methods of a servable take turns. An instance whose worker died while it ran (a suspect)
comes back to the front and runs alone from then on, so that an instance that kills workers cannot hurt its neighbours.
"""

from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from mindspore_serving.cluster.errors import Code, Failure
from mindspore_serving.cluster.messages import MethodSpec
from mindspore_serving.cluster.registry import Route
from mindspore_serving.cluster.tensors import Instance, value_bytes

MAX_BATCH_BYTES = 64 * 1024 * 1024  # a batch stops growing here, so that no frame becomes unreasonable

Result: TypeAlias = Instance | Failure


@dataclass(eq=False, slots=True)
class Request:
    """An admitted request: its instances, and the results so far. Owned by the dispatcher."""

    id: int
    asked_version: int
    route: Route
    method: MethodSpec
    instances: tuple[Instance, ...]
    deadline: float
    nbytes: int
    results: list[Result | None]
    missing: int  # results still to come
    losses: defaultdict[int, dict[str, float]]  # index -> the workers lost while it ran, and what each counts
    arrived_at: float = 0.0
    sent_at: float | None = None  # when the first of it went to a worker
    settled: bool = False
    queue: "MethodQueue | None" = None
    queued: int = 0  # instances that wait in the queue

    def settle(self) -> None:
        """Nothing of this request will run any more. Its memory goes at once, wherever its entries still stand."""
        self.settled = True
        self.instances = ()
        if self.queue is not None:
            self.queue.waiting -= self.queued
            self.queued = 0


Entry: TypeAlias = tuple[Request, int]  # one instance of a request


class Cut(str, Enum):
    """Why a batch was sent as it was, and not larger."""

    FULL = "full"  # as many instances as its method takes
    BYTES = "bytes"  # one more would have made it larger than MAX_BATCH_BYTES
    DEADLINE = "deadline"  # a larger one would have been too late for one of its instances
    IDLE = "idle"  # nothing more waited, and a replica had nothing to do
    AHEAD = "ahead"  # nothing more waited, and a replica had room for one batch behind the one that it runs
    ALONE = "alone"  # a suspect: its replica gets nothing else meanwhile


@dataclass(frozen=True, eq=False, slots=True)
class Batch:
    """Instances sent to one replica together."""

    id: int
    method: MethodSpec
    entries: tuple[Entry, ...]
    cut: Cut
    sent_at: float
    foretold_seconds: float = 0.0  # what it will take, as far as that is known


class MethodQueue:
    """What waits for one method of one route."""

    def __init__(self, method: MethodSpec) -> None:
        self.method = method
        self.waiting = 0  # instances
        self._suspects: deque[Entry] = deque()
        self._others: deque[Entry] = deque()

    def append(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            (self._suspects if _is_suspect(entry) else self._others).append(entry)
            self._count(entry)

    def put_back(self, entries: Sequence[Entry]) -> None:
        """To the front, in their old order."""
        for entry in reversed(entries):
            if not entry[0].settled:
                (self._suspects if _is_suspect(entry) else self._others).appendleft(entry)
                self._count(entry)

    def next_runs_alone(self) -> bool:
        _drop_settled(self._suspects)
        return bool(self._suspects)

    def take(self) -> tuple[Entry, ...]:
        """The next batch: a suspect alone, else up to the method's batch size and MAX_BATCH_BYTES."""
        taken: list[Entry] = []
        if self.next_runs_alone():
            taken.append(self._suspects.popleft())
        room = 0 if taken else MAX_BATCH_BYTES
        while room > 0 and self._others and len(taken) < self.method.batch_size:
            request, index = self._others[0]
            if not request.settled:
                room -= sum(map(value_bytes, request.instances[index]))
                if taken and room < 0:
                    break
                taken.append((request, index))
            self._others.popleft()
        for request, _ in taken:
            request.queued -= 1
        self.waiting -= len(taken)
        return tuple(taken)

    def newest_unsent(self) -> Request | None:
        """The request at the end of the queue, unless something of it has been sent to a worker."""
        while self._others and self._others[-1][0].settled:
            self._others.pop()
        request = self._others[-1][0] if self._others else None
        return request if request is not None and request.sent_at is None else None

    def drain(self) -> list[Request]:
        """Empties the queue: the requests that had something in it, each once, in order."""
        entries = [*self._suspects, *self._others]
        self._suspects.clear()
        self._others.clear()
        self.waiting = 0
        requests = {request: None for request, _ in entries if not request.settled}
        for request in requests:
            request.queued = 0
        return list(requests)

    def _count(self, entry: Entry) -> None:
        entry[0].queue = self
        entry[0].queued += 1
        self.waiting += 1


def is_deadly(result: Result | None) -> bool:
    """Whether the instance is given up because its workers died."""
    return isinstance(result, Failure) and result.code is Code.DEADLY


def _is_suspect(entry: Entry) -> bool:
    request, index = entry
    return index in request.losses


def _drop_settled(entries: deque[Entry]) -> None:
    while entries and entries[0][0].settled:
        entries.popleft()


class Batcher:
    """The queues of one route. Methods with something waiting take turns."""

    def __init__(self) -> None:
        self._queues: OrderedDict[str, MethodQueue] = OrderedDict()

    def queue(self, method: MethodSpec) -> MethodQueue:
        """The queue of this method. It goes to the end of the turn when it is new."""
        queue = self._queues.get(method.name)
        if queue is None:
            queue = self._queues[method.name] = MethodQueue(method)
        return queue

    def next(self) -> MethodQueue | None:
        """Whose turn it is, among the methods that have something waiting. Empty queues are forgotten."""
        while self._queues:
            queue = next(iter(self._queues.values()))
            if queue.waiting:
                return queue
            del self._queues[queue.method.name]
        return None

    def others(self, than: MethodQueue) -> Iterator[MethodQueue]:
        """The other queues in which something waits."""
        return (queue for queue in self._queues.values() if queue.waiting and queue is not than)

    def longest(self) -> MethodQueue | None:
        """The queue in which most waits."""
        return max(self._queues.values(), key=lambda queue: queue.waiting, default=None)

    def end_turn(self, queue: MethodQueue) -> None:
        self._queues.move_to_end(queue.method.name)

    def drain(self) -> list[Request]:
        """Empties all queues."""
        requests = {request: None for queue in self._queues.values() for request in queue.drain()}
        self._queues.clear()
        return list(requests)
