"""Instances that wait, cut into batches: joined over requests, split where a request is larger than a batch.

Order is kept within a method; methods of a servable take turns. An instance whose worker died while it ran (a suspect)
comes back to the front and runs alone from then on, so that an instance that kills workers cannot hurt its neighbours.
"""

from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from enum import Enum

from mindspore_serving.cluster.messages import MethodSpec
from mindspore_serving.cluster.registry import Route
from mindspore_serving.cluster.results import Collected
from mindspore_serving.cluster.tensors import Column, Stacked, row_bytes

MAX_BATCH_BYTES = 64 * 1024 * 1024  # a batch stops growing here, so that no frame becomes unreasonable


class Request:
    """An admitted request: its instances, and the results so far. Owned by the dispatcher."""

    __slots__ = (
        "arrived_at",
        "asked_version",
        "columns",
        "count",
        "deadline",
        "id",
        "losses",
        "method",
        "nbytes",
        "queue",
        "queued",
        "results",
        "route",
        "sent_at",
        "settled",
    )

    def __init__(
        self,
        request_id: int,
        asked_version: int,
        route: Route,
        method: MethodSpec,
        count: int,
        columns: tuple[Column, ...],
        deadline: float,
        nbytes: int,
        arrived_at: float,
    ) -> None:
        self.id = request_id
        self.asked_version = asked_version
        self.route = route
        self.method = method
        self.count = count  # instances
        self.columns = columns  # one for each input
        self.deadline = deadline
        self.nbytes = nbytes
        self.arrived_at = arrived_at
        self.results = Collected(count)
        # index -> the workers that were lost while it ran, and what each counts
        self.losses: dict[int, dict[str, float]] | None = None
        self.sent_at: float | None = None  # when the first of it went to a worker
        self.settled = False
        self.queue: MethodQueue | None = None
        self.queued = 0  # instances that wait in the queue

    @property
    def is_spent(self) -> bool:
        """Some of it may have run, and it may run only once: nobody may ask for it again."""
        return self.sent_at is not None and not self.method.idempotent

    def settle(self) -> None:
        """Nothing of this request will run any more. Its memory goes at once, wherever its spans still stand."""
        self.settled = True
        self.columns = ()
        if self.queue is not None:
            self.queue.waiting -= self.queued
            self.queued = 0

    def count_loss(self, index: int, name: str, weight: float) -> float:
        """A worker was lost while this instance ran. Returns what its losses weigh in all."""
        if self.losses is None:
            self.losses = {}
        losses = self.losses.setdefault(index, {})
        losses[name] = max(weight, losses.get(name, 0.0))
        return sum(losses.values())

    def is_suspect(self, index: int) -> bool:
        """Whether a worker was lost while this instance ran."""
        return self.losses is not None and index in self.losses


class Span:
    """Some instances of a request, one after the other: what waits, and what batches are made of. Never changed."""

    __slots__ = ("request", "start", "stop")

    def __init__(self, request: Request, start: int, stop: int) -> None:
        self.request = request
        self.start = start
        self.stop = stop

    @property
    def size(self) -> int:
        """How many instances."""
        return self.stop - self.start


def count_instances(spans: Sequence[Span]) -> int:
    """Of all of them."""
    count = 0
    for span in spans:  # compiled, it takes a tenth of what sum() does
        count += span.stop - span.start
    return count


def split(spans: Sequence[Span], count: int) -> tuple[list[Span], list[Span]]:
    """The first `count` instances, and the others."""
    front: list[Span] = []
    for place, span in enumerate(spans):
        if span.size > count:
            middle = span.start + count
            front += [Span(span.request, span.start, middle)] if count else []
            return front, [Span(span.request, middle, span.stop), *spans[place + 1 :]]
        front.append(span)
        count -= span.size
    return front, []


class Cut(str, Enum):
    """Why a batch was sent as it was, and not larger."""

    FULL = "full"  # as many instances as its method takes
    BYTES = "bytes"  # one more would have made it larger than MAX_BATCH_BYTES
    DEADLINE = "deadline"  # a larger one would have been too late for one of its instances
    IDLE = "idle"  # nothing more waited, and a replica had nothing to do
    AHEAD = "ahead"  # nothing more waited, and a replica had room for one batch behind the one that it runs
    ALONE = "alone"  # a suspect: its replica gets nothing else meanwhile


class Batch:
    """Instances sent to one replica together.

    foretold_seconds: what it will take, as far as that is known. device_seconds: how long the device will be taken of
    these; 0: unknown.
    """

    __slots__ = ("count", "cut", "device_seconds", "foretold_seconds", "id", "method", "sent_at", "spans")

    def __init__(
        self,
        batch_id: int,
        method: MethodSpec,
        spans: Sequence[Span],
        count: int,
        cut: Cut,
        sent_at: float,
        foretold_seconds: float = 0.0,
        device_seconds: float = 0.0,
    ) -> None:
        self.id = batch_id
        self.method = method
        self.spans = spans
        self.count = count
        self.cut = cut
        self.sent_at = sent_at
        self.foretold_seconds = foretold_seconds
        self.device_seconds = device_seconds


class MethodQueue:
    """What waits for one method of one route."""

    def __init__(self, method: MethodSpec) -> None:
        self.method = method
        self.waiting = 0  # instances
        self._suspects: deque[Span] = deque()  # of one instance each
        self._others: deque[Span] = deque()

    def append(self, request: Request) -> None:
        """All of it that has no result yet, to the end."""
        self.method = request.method  # a worker that came since may have brought another batch size
        for span in _apart(Span(request, 0, request.count)):
            if not request.results.has_failed(span.start):  # then its workers have died: it stands alone in its span
                (self._suspects if request.is_suspect(span.start) else self._others).append(span)
                self._count(request, span.size)

    def put_back(self, spans: Sequence[Span]) -> None:
        """To the front, in their old order."""
        for span in reversed(spans):
            request = span.request
            if not request.settled:
                for part in reversed(_apart(span)):
                    (self._suspects if request.is_suspect(part.start) else self._others).appendleft(part)
                self._count(request, span.size)

    def next_runs_alone(self) -> bool:
        _drop_settled(self._suspects)
        return bool(self._suspects)

    def take(self) -> list[Span]:
        """The next batch: a suspect alone, else up to the method's batch size and MAX_BATCH_BYTES."""
        taken = [self._suspects.popleft()] if self.next_runs_alone() else self._take_others()
        for span in taken:
            span.request.queued -= span.size
            self.waiting -= span.size
        return taken

    def _take_others(self) -> list[Span]:
        taken: list[Span] = []
        others, room, bytes_left = self._others, self.method.batch_size, MAX_BATCH_BYTES
        while others and room and bytes_left >= 0:  # one instance may weigh more than that by itself
            span = others[0]
            if span.request.settled:
                others.popleft()
                continue
            fit, weight = _fit(span, min(room, span.size), bytes_left, not taken)
            if not fit:
                break
            room -= fit
            bytes_left -= weight
            if fit < span.size:
                middle = span.start + fit
                taken.append(Span(span.request, span.start, middle))
                others[0] = Span(span.request, middle, span.stop)
                break
            taken.append(span)
            others.popleft()
        return taken

    def newest_unsent(self) -> Request | None:
        """The request at the end of the queue, unless something of it has been sent to a worker."""
        while self._others and self._others[-1].request.settled:
            self._others.pop()
        request = self._others[-1].request if self._others else None
        return request if request is not None and request.sent_at is None else None

    def drain(self) -> list[Request]:
        """Empties the queue: the requests that had something in it, each once, in order."""
        spans = [*self._suspects, *self._others]
        self._suspects.clear()
        self._others.clear()
        self.waiting = 0
        requests = {span.request: None for span in spans if not span.request.settled}
        for request in requests:
            request.queued = 0
        return list(requests)

    def _count(self, request: Request, count: int) -> None:
        request.queue = self
        request.queued += count
        self.waiting += count


def _fit(span: Span, most: int, bytes_left: int, is_first: bool) -> tuple[int, int]:
    """How many instances of the span fit, and what they weigh. The first of a batch always does."""
    columns = span.request.columns
    each = 0
    for column in columns:
        if not isinstance(column, Stacked):
            return _fit_uneven(span, most, bytes_left, is_first)
        each += row_bytes(column, span.start)
    if each * most > bytes_left:
        most = max(bytes_left // each, 1 if is_first else 0)
    return most, each * most


def _fit_uneven(span: Span, most: int, bytes_left: int, is_first: bool) -> tuple[int, int]:
    """The same where each instance weighs something else."""
    columns = span.request.columns
    weight = 0
    for fit in range(most):
        more = sum([row_bytes(column, span.start + fit) for column in columns])
        if weight + more > bytes_left and not (is_first and fit == 0):
            return fit, weight
        weight += more
    return most, weight


def _apart(span: Span) -> list[Span]:
    """The same instances: the suspects among them one by one, the others together."""
    request = span.request
    if request.losses is None:
        return [span]
    parts: list[Span] = []
    for index in range(span.start, span.stop):
        last = parts[-1] if parts else None
        if last is None or request.is_suspect(index) or request.is_suspect(last.start):
            parts.append(Span(request, index, index + 1))
        else:
            parts[-1] = Span(request, last.start, index + 1)
    return parts


def _drop_settled(spans: deque[Span]) -> None:
    while spans and spans[0].request.settled:
        spans.popleft()


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
