"""The master's mind: `handle(event, now)` gives the actions to carry out. It owns each request until it is answered.

Each request is answered exactly once. A batch that a replica was sent stays in that replica's table until it is
answered or the replica is lost; then its instances go back to the front of their queue and run elsewhere, and an answer
that comes late finds no batch to belong to and is ignored.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping

from mindspore_serving.cluster import refusals
from mindspore_serving.cluster.batcher import Batch, Cut, MethodQueue, Request, Span, count_instances
from mindspore_serving.cluster.board import Board
from mindspore_serving.cluster.dispatch_events import (
    Action,
    Answer,
    Arrival,
    ConnectionDropped,
    Draining,
    Event,
    Limits,
    MessageReceived,
    NonsenseReceived,
    PeerUnreachable,
    RequestCancelled,
    RequestsArrived,
    Tick,
)
from mindspore_serving.cluster.errors import Code, Failure, RequestRefused
from mindspore_serving.cluster.lane import Lane, Move
from mindspore_serving.cluster.members import Members
from mindspore_serving.cluster.messages import BatchDone, FromWorker, MethodSpec, Register, RunBatch
from mindspore_serving.cluster.moments import Calendar, earliest
from mindspore_serving.cluster.open_requests import OpenRequests
from mindspore_serving.cluster.orphans import Orphans
from mindspore_serving.cluster.registry import Replica, Route, RouteHealth
from mindspore_serving.cluster.siblings import Sibling
from mindspore_serving.cluster.statistics import Statistics
from mindspore_serving.cluster.tensors import Column, column_length, cut_column, join_columns

_FEW_WORKERS = 4  # the answers of more come at any time


class Dispatcher:
    """Events in, actions out. `now` is monotonic seconds and never goes back.

    `siblings`: the other processes of this master, which its workers are told of.
    """

    def __init__(self, limits: Limits, siblings: tuple[Sibling, ...] = ()) -> None:
        self._board = Board(limits, siblings)
        self._requests = OpenRequests(self._board)
        self._members = Members(self._board, self._requests)
        self._orphans = Orphans(self._board)
        self._held: Calendar[Route] = Calendar()  # until when something waits there though a replica has room
        self._last_batch_id = 0

    # --- what the shell asks

    @property
    def limits(self) -> Limits:
        """What the dispatcher allows itself."""
        return self._board.limits

    def set_max_enqueued_requests(self, count: int) -> None:
        """From now on, so many requests may wait or run."""
        self._board.limits = dataclasses.replace(self._board.limits, max_enqueued_requests=count)

    @property
    def statistics(self) -> Statistics:
        """What was asked, and how long it took."""
        return self._requests.statistics

    def resolve(self, servable: str, version: int, method: str) -> tuple[Route, MethodSpec]:
        """Where a request goes, and the names of its inputs. Raises RequestRefused."""
        return self._board.registry.resolve(servable, version, method)

    def versions(self, servable: str) -> Mapping[int, Route]:
        """Every version of this servable that was ever served here."""
        return self._board.registry.versions(servable)

    @property
    def has_ready_replica(self) -> bool:
        """Whether some servable can be called."""
        return any(route.ready for route in self.health())

    @property
    def worker_count(self) -> int:
        """Workers that are registered."""
        return len(self._board.registry)

    def health(self) -> list[RouteHealth]:
        """How each version of each servable stands."""
        return self._board.registry.health()

    @property
    def health_version(self) -> int:
        """Another number: health() may say something else now."""
        return self._board.registry.health_version

    @property
    def open_requests(self) -> int:
        """Requests that are admitted and not answered yet."""
        return len(self._requests)

    def next_wakeup(self) -> float | None:
        """When to call `handle(Tick(), now)` if nothing happens before; None: no need."""
        members, requests, orphans = self._members, self._requests, self._orphans
        return earliest(members.next_wakeup(), requests.next_deadline(), orphans.next_end(), self._held.next())

    def next_answer_at(self) -> float:
        """When the first worker will answer, as far as foretold; -inf where it is not, or where there are many."""
        replicas = self._board.registry
        if len(replicas) > _FEW_WORKERS:
            return -math.inf
        return min([replica.answer_at for replica in replicas if replica.open], default=-math.inf)

    def handle(self, event: Event, now: float) -> list[Action]:
        """What to do about `event`. Deadlines that are due are dealt with on the way, leases only at a Tick."""
        board, members = self._board, self._members
        board.now = now
        members.probe()
        members.losses.open_again()
        self._requests.answer_overdue()
        self._give_up(self._orphans.take_overdue())
        for route in self._held.take_until(now):
            board.touch(route)
        match event:
            case RequestsArrived(arrivals):
                for arrival in arrivals:
                    self._admit(arrival)
            case RequestCancelled(request_id):
                self._requests.cancel(request_id)
            case MessageReceived(worker_id, message):
                self._receive(worker_id, message)
            case PeerUnreachable(worker_id):
                members.unreachable(worker_id)
            case NonsenseReceived(worker_id):
                members.cannot_be_read(worker_id)
            case ConnectionDropped():
                members.connection_dropped()
            case Draining():
                # Nobody should wait here for a worker that may never come: another master may have one.
                board.limits = dataclasses.replace(board.limits, orphan_seconds=0.0)
                self._give_up(self._orphans.take_all())
            case Tick():
                members.end_leases()
        while board.touched:
            self._move_work(board.touched.popitem()[0])
        return board.take_actions()

    # --- requests

    def _admit(self, arrival: Arrival) -> None:
        deadline = arrival.deadline
        if deadline is None:
            deadline = self._board.now + self.limits.default_timeout_seconds
        failure = self._refusal(arrival, deadline)
        if failure is not None:
            self._board.actions.append(Answer(arrival.request_id, arrival.method.outputs, failure))
            return
        request = self._requests.add(arrival, deadline)
        served = request.route.methods.get(request.method.name)
        if served is request.method or served == request.method:
            self._enqueue(request)
        else:
            self._reroute(request)  # the replicas have changed since the door looked

    def _refusal(self, arrival: Arrival, deadline: float) -> Failure | None:
        """Why this request cannot be taken; None when it can."""
        limits, lane, now = self.limits, self._board.lane(arrival.route), self._board.now
        if deadline <= now:
            return refusals.deadline_passed(arrival)
        if until := lane.quarantines[arrival.method.name].until:
            return refusals.quarantined(arrival.route, arrival.method, until - now)
        while len(self._requests) >= limits.max_enqueued_requests:
            if not self._make_room(lane.batcher.queue(arrival.method), refusals.too_many(limits)):
                return refusals.too_many(limits)
        while self._requests.nbytes + arrival.nbytes > limits.max_enqueued_bytes:
            if not self._make_room(lane.batcher.queue(arrival.method), refusals.too_large(limits)):
                return refusals.too_large(limits)
        if arrival.deadline is None:
            return None  # it is the queue's limit that bounds it
        late_by = lane.late_by(arrival.method, arrival.size, deadline, now)
        return refusals.would_be_late(arrival, late_by) if late_by else None

    def _make_room(self, queue: MethodQueue, failure: Failure) -> bool:
        """A method that waits for more than the one of `queue` gives up its newest request: no method starves another.

        Source: longest queue drop (McKenney, Stochastic Fairness Queueing, 1990). False: there is none.
        """
        found = [lane.batcher.longest() for lane in self._board.lanes.values()]
        longest = max([one for one in found if one is not None], key=lambda one: one.waiting, default=queue)
        request = longest.newest_unsent() if longest.waiting > queue.waiting + 1 else None
        if request is None:
            return False
        self._requests.answer(request, failure)
        return True

    def _enqueue(self, request: Request) -> None:
        self._board.lane(request.route).batcher.queue(request.method).append(request)
        self._board.touch(request.route)

    def _reroute(self, request: Request) -> None:
        """Its route has no replica left. Another version serves all of it when the caller left the choice to us.

        Or one that comes: what was lost with the last replica waits for the next.
        """
        if request.is_spent:
            self._requests.answer(request, refusals.not_repeated(request))
            return
        try:
            route, method = self.resolve(request.route.servable, request.asked_version, request.method.name)
        except RequestRefused:
            if not self._orphans.keep(request):
                self._requests.answer(request, refusals.gone(request))
            return
        if (method.inputs, method.outputs) != (request.method.inputs, request.method.outputs):
            self._requests.answer(request, refusals.gone(request))
            return
        # From the start, so that one version answers all of it. Nothing of it runs any more, and what has killed its
        # workers does not run again.
        request.route, request.method = route, method
        request.results = request.results.deadly_alone(request.count)
        self._enqueue(request)

    def _give_up(self, orphans: Iterable[Request]) -> None:
        for request in orphans:
            self._requests.answer(request, refusals.gone(request))

    # --- workers

    def _receive(self, worker_id: str, message: FromWorker) -> None:
        replica = self._members.get(worker_id)
        if isinstance(message, Register):
            self._members.register(worker_id, message)
        elif replica is None:
            self._members.answer_stranger(worker_id, message)
        else:
            self._members.renew(worker_id)
            if isinstance(message, BatchDone):
                self._finish(replica, message)
            else:
                self._members.hear(replica, message)

    def _finish(self, replica: Replica, done: BatchDone) -> None:
        batch = replica.open.get(done.batch_id)
        if batch is None:
            return  # late: the batch was given to somebody else
        succeeded = batch.count - len(done.failures)
        fits = len(done.columns) == len(batch.method.outputs) and all(
            column_length(column) == succeeded for column in done.columns
        )
        if (succeeded and not fits) or any(index >= batch.count for index in done.failures):
            self._members.lose_for_nonsense(replica, "its answer does not fit the batch it was sent")
            return
        route, now = replica.route, self._board.now
        self._board.lane(route).finish(replica, batch, succeeded, now, done.device_seconds)
        self._board.touch(route)
        self._members.stall(replica, "")
        self._members.keep_credit(replica)
        counters = self.statistics.of(route.servable, route.version, batch.method.name)
        counters.batch_done(batch.count, succeeded, batch.cut, batch.sent_at, now)
        if done.failures:
            self._deal_out_with_failures(batch, done)
        else:
            self._deal_out(batch, done.columns)

    def _deal_out(self, batch: Batch, columns: tuple[Column, ...]) -> None:
        """Every instance has a result."""
        at = 0
        for span in batch.spans:
            count = span.size
            own = columns if count == batch.count else tuple([cut_column(c, at, at + count) for c in columns])
            self._requests.succeed(span.request, span.start, count, own)
            at += count

    def _deal_out_with_failures(self, batch: Batch, done: BatchDone) -> None:
        """The columns hold those that succeeded. What was given up too early runs again: a clock may have jumped."""
        at = place = 0
        again: list[Span] = []
        for span in batch.spans:
            request = span.request
            for index in range(span.start, span.stop):
                if (failure := done.failures.get(place)) is not None:
                    in_time = failure.code is Code.DEADLINE_PASSED and request.deadline > self._board.now
                    if in_time and request.method.idempotent:
                        again.append(Span(request, index, index + 1))
                    else:
                        self._requests.fail(request, index, failure)
                else:
                    own = tuple([cut_column(column, at, at + 1) for column in done.columns])
                    self._requests.succeed(request, index, 1, own)
                    at += 1
                place += 1
        if again:
            self._board.lane(again[0].request.route).batcher.queue(batch.method).put_back(again)

    # --- moving work

    def _move_work(self, route: Route) -> None:
        """Whatever can start now starts; who may leave is let go; what nobody can run is answered."""
        lane = self._board.lane(route)
        if not route.replicas:
            for request in lane.batcher.drain():
                self._reroute(request)
            return
        if route.ready:
            for request in self._orphans.take(route):
                self._reroute(request)
        while (move := lane.next_move(self._board.now)) is not None:
            for request in move.late:
                self._requests.answer(request, refusals.is_late(request))
            if move.spans:
                self._run(lane, move)
        if lane.held_until is not None:
            self._held.put(route, lane.held_until)
        else:
            self._held.remove(route)
        if route.draining and (lane.batcher.next() is None or route.ready):
            self._members.release(route)

    def _run(self, lane: Lane, move: Move) -> None:
        self._last_batch_id += 1
        spans, now = move.spans, self._board.now
        count = count_instances(spans)
        foretold = lane.cost(move.method.name).seconds_if_known(count)
        taken = lane.device_seconds(move.method.name, count)
        batch = Batch(self._last_batch_id, move.method, spans, count, move.cut, now, foretold, taken)
        lane.start(move.replica, batch, now)
        for span in spans:
            if span.request.sent_at is None:
                span.request.sent_at = now
        columns = tuple(
            [
                join_columns([cut_column(span.request.columns[place], span.start, span.stop) for span in spans])
                for place in range(len(move.method.inputs))
            ]
        )
        seconds_left = max([span.request.deadline for span in spans]) - now
        is_alone = move.cut is Cut.ALONE
        self._board.send(move.replica.id, RunBatch(batch.id, move.method.name, count, columns, seconds_left, is_alone))
