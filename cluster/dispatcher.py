"""The master's mind: `handle(event, now)` gives the actions to carry out. It owns each request until it is answered.

Each request is answered exactly once. A batch that a replica was sent stays in that replica's table until it is
answered or the replica is lost; then its instances go back to the front of their queue and run elsewhere, and an answer
that comes late finds no batch to belong to and is ignored.
"""

import heapq
from collections import defaultdict
from collections.abc import Mapping, Sequence

from mindspore_serving.cluster.batcher import (
    Batch,
    Batcher,
    Entry,
    MethodQueue,
    Request,
    Result,
)
from mindspore_serving.cluster.dispatch_events import (
    Action,
    Answer,
    Arrival,
    ConnectionDropped,
    Event,
    Limits,
    MessageReceived,
    PeerUnreachable,
    Report,
    RequestCancelled,
    RequestsArrived,
    Send,
    Tick,
)
from mindspore_serving.cluster.errors import Code, Failure, RequestRefused
from mindspore_serving.cluster.leases import Leases
from mindspore_serving.cluster.messages import (
    BatchDone,
    FromWorker,
    Goodbye,
    Leaving,
    MethodSpec,
    Probe,
    Refused,
    Register,
    Registered,
    Released,
    RunBatch,
    Unregistered,
)
from mindspore_serving.cluster.registry import Registry, Replica, ReplicaState, Route, RouteHealth
from mindspore_serving.cluster.scheduler import Slots
from mindspore_serving.cluster.statistics import Counters, Statistics
from mindspore_serving.cluster.tensors import (
    column_length,
    from_column,
    to_column,
)

# Seconds after a dropped connection at which the transport is asked who is gone: it tells of the drop (ZeroMQ's I/O
# thread) a moment before it refuses to send there (the socket).
PROBE_SECONDS = (0.0, 0.01, 0.05, 0.25)


class _Lane:
    """What the dispatcher keeps for one route: what waits for it, and which replicas have room."""

    def __init__(self, window: int) -> None:
        self.batcher = Batcher()
        self.slots: Slots[Replica] = Slots(window)


class Dispatcher:
    """Events in, actions out. `now` is monotonic seconds and never goes back."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.statistics = Statistics()
        self._now = 0.0  # of the event that is handled
        self._registry = Registry()
        self._leases = Leases(limits.lease_seconds)
        self._lanes: dict[Route, _Lane] = {}
        self._requests: dict[int, Request] = {}
        self._enqueued_bytes = 0
        self._deadlines: list[tuple[float, int]] = []  # a heap; entries of answered requests are skipped
        self._probe_at: list[float] = []
        self._last_batch_id = 0
        self._actions: list[Action] = []
        self._touched: dict[Route, None] = {}  # routes whose queue or replicas changed during this event

    # --- what the shell asks

    def resolve(self, servable: str, version: int, method: str) -> tuple[Route, MethodSpec]:
        """Where a request goes, and the names of its inputs. Raises RequestRefused."""
        return self._registry.resolve(servable, version, method)

    def versions(self, servable: str) -> Mapping[int, Route]:
        """Every version of this servable that was ever served here."""
        return self._registry.versions(servable)

    @property
    def has_ready_replica(self) -> bool:
        """Whether some servable can be called."""
        return any(replica.state is ReplicaState.READY for replica in self._registry)

    def health(self) -> list[RouteHealth]:
        """How each version of each servable stands."""
        return self._registry.health()

    @property
    def health_version(self) -> int:
        """Another number: health() may say something else now."""
        return self._registry.health_version

    @property
    def open_requests(self) -> int:
        """Requests that are admitted and not answered yet."""
        return len(self._requests)

    def next_wakeup(self) -> float | None:
        """When to call `handle(Tick(), now)` if nothing happens before; None: no need."""
        while self._deadlines and self._deadlines[0][1] not in self._requests:
            heapq.heappop(self._deadlines)
        moments = [self._leases.next_expiry(), *self._probe_at[:1], *(deadline for deadline, _ in self._deadlines[:1])]
        return min((moment for moment in moments if moment is not None), default=None)

    def handle(self, event: Event, now: float) -> list[Action]:
        """What to do about `event`. Deadlines that are due are dealt with on the way, leases only at a Tick."""
        self._now = now
        self._run_out(now)
        match event:
            case RequestsArrived(arrivals):
                for arrival in arrivals:
                    self._admit(arrival)
            case RequestCancelled(request_id):
                if request := self._requests.get(request_id):
                    self._forget(request)
            case MessageReceived(worker_id, message):
                self._receive(worker_id, message, now)
            case PeerUnreachable(worker_id):
                if replica := self._registry.get(worker_id):
                    self._lose(replica, "its connection is gone")
            case ConnectionDropped():
                self._probe_at = [now + seconds for seconds in PROBE_SECONDS]
                self._probe(now)
            case Tick():
                self._end_leases(now)
        while self._touched:
            self._move_work(self._touched.popitem()[0], now)
        actions, self._actions = self._actions, []
        return actions

    # --- requests

    def _admit(self, arrival: Arrival) -> None:
        limits = self.limits
        text = None
        if len(self._requests) >= limits.max_enqueued_requests:
            text = f"Serving Error: enqueued requests count exceeds the limit {limits.max_enqueued_requests}"
        elif self._enqueued_bytes + arrival.nbytes > limits.max_enqueued_bytes:
            text = f"Serving Error: enqueued requests exceed the limit of {limits.max_enqueued_bytes} bytes"
        if text:
            self._actions.append(
                Answer(
                    arrival.request_id,
                    arrival.method.outputs,
                    Failure(Code.FAILED, text),
                )
            )
            return
        count = len(arrival.instances)
        request = Request(
            id=arrival.request_id,
            asked_version=arrival.asked_version,
            route=arrival.route,
            method=arrival.method,
            instances=arrival.instances,
            deadline=arrival.deadline,
            nbytes=arrival.nbytes,
            results=[None] * count,
            missing=count,
            losses=defaultdict(set),
            arrived_at=self._now,
        )
        self._requests[request.id] = request
        self._enqueued_bytes += request.nbytes
        if request.deadline is not None:
            heapq.heappush(self._deadlines, (request.deadline, request.id))
        if request.route.methods.get(request.method.name) == request.method:
            self._enqueue(request)
        else:
            self._reroute(request)  # the replicas have changed since the door looked

    def _enqueue(self, request: Request) -> None:
        queue = self._lane(request.route).batcher.queue(request.method)
        queue.append((request, index) for index in range(len(request.instances)))
        self._touched[request.route] = None

    def _reroute(self, request: Request) -> None:
        """Its route has no replica left. Another version serves all of it when the caller left the choice to us."""
        try:
            route, method = self._registry.resolve(request.route.servable, request.asked_version, request.method.name)
            if method.inputs != request.method.inputs:
                raise RequestRefused(Code.INVALID_INPUTS, _gone(request))
        except RequestRefused:
            # The code of the original for work that was queued when the last worker died.
            self._answer(request, Failure(Code.INVALID_INPUTS, _gone(request)))
            return
        # From the start, so that one version answers all of it. Nothing of it runs any more.
        request.route, request.method = route, method
        request.results, request.missing = (
            [None] * len(request.instances),
            len(request.instances),
        )
        self._enqueue(request)

    def _answer(self, request: Request, results: Sequence[Result] | Failure) -> None:
        self._actions.append(Answer(request.id, request.method.outputs, results, request.route.version))
        ok = not isinstance(results, Failure) and not any(isinstance(result, Failure) for result in results)
        self._counters(request.route, request.method).request_answered(
            ok, request.arrived_at, request.sent_at, self._now
        )
        self._forget(request)

    def _forget(self, request: Request) -> None:
        del self._requests[request.id]
        self._enqueued_bytes -= request.nbytes
        request.settle()
        self._touched[request.route] = None  # a drained replica may have waited for this

    def _settle(self, entry: Entry, result: Result) -> None:
        request, index = entry
        if request.settled:
            return
        request.results[index] = result
        request.missing -= 1
        if not request.missing:
            self._answer(request, [result for result in request.results if result is not None])

    def _run_out(self, now: float) -> None:
        self._probe(now)
        while self._deadlines and self._deadlines[0][0] <= now:
            request = self._requests.get(heapq.heappop(self._deadlines)[1])
            if request is not None:
                text = f"Request servable({request.route.servable}) method({request.method.name}) , the deadline passed"
                self._answer(request, Failure(Code.FAILED, text))

    # --- workers

    def _end_leases(self, now: float) -> None:
        """Only at a Tick: when other events come late, the heartbeats may stand right behind them."""
        for worker_id in self._leases.expired(now):
            if replica := self._registry.get(worker_id):
                self._lose(replica, "its lease ran out")

    def _probe(self, now: float) -> None:
        """Sending is the question: the transport refuses it for a peer that is gone, and so names it."""
        due = [moment for moment in self._probe_at if moment <= now]
        if due:
            self._probe_at = self._probe_at[len(due) :]
            self._actions += [Send(replica.id, Probe()) for replica in self._registry if replica.open]

    def _receive(self, worker_id: str, message: FromWorker, now: float) -> None:
        replica = self._registry.get(worker_id)
        if isinstance(message, Register):
            self._register(worker_id, message, replica, now)
            return
        if replica is None:
            if not isinstance(message, Goodbye):
                self._actions.append(
                    Send(
                        worker_id,
                        Released() if isinstance(message, Leaving) else Unregistered(),
                    )
                )
            return
        self._leases.renew(worker_id, now)
        match message:
            case BatchDone():
                self._finish(replica, message)
            case Leaving():
                self._drain(replica)
            case Goodbye():
                self._lose(replica, "it said goodbye")

    def _register(self, worker_id: str, register: Register, known: Replica | None, now: float) -> None:
        if known and known.register.registration == register.registration:
            self._leases.renew(worker_id, now)
            self._actions.append(Send(worker_id, Registered(self.limits.lease_seconds)))
            return
        if known:
            self._lose(known, "it registered again")
        if reason := self._registry.conflict(register):
            self._actions.append(Send(worker_id, Refused(reason)))
            self._actions.append(Report("warning", f"worker {worker_id} refused: {reason}"))
            return
        replica = self._registry.add(worker_id, register)
        self._leases.renew(worker_id, now)
        self._place_all(replica.route)
        methods = ", ".join(method.name for method in register.methods)
        self._actions.append(Send(worker_id, Registered(self.limits.lease_seconds)))
        self._actions.append(
            Report(
                "info",
                f"replica {replica} registered: {replica.route}, methods {methods}",
            )
        )

    def _drain(self, replica: Replica) -> None:
        self._registry.move(replica, "drain")
        self._place_all(replica.route)
        self._actions.append(Report("info", f"replica {replica.id} drains, {len(replica.open)} batches open"))

    def _lose(self, replica: Replica, why: str, *, is_alive: bool = False) -> None:
        """Takes the replica out; what it had open goes back to the front, or is given up after too many losses.

        Worker ids are new for each process start, so one that is lost again has not died in between: it counts once.
        One that is alive and answers what cannot be counts each time.
        """
        self._registry.move(replica, "lose")
        self._leases.end(replica.id)
        lane = self._lane(replica.route)
        lane.slots.remove(replica)
        text = f"replica {replica.id} lost ({why}), {len(replica.open)} batches put back"
        self._actions.append(Report("warning" if replica.open else "info", text))
        back: dict[MethodQueue, list[Entry]] = {}
        for batch in replica.open.values():
            for request, index in batch.entries:
                request.losses[index].add(f"{replica.id}/{batch.id}" if is_alive else replica.id)
                if len(request.losses[index]) < self.limits.max_attempts:
                    back.setdefault(lane.batcher.queue(batch.method), []).append((request, index))
                else:
                    self._settle(
                        (request, index),
                        Failure(Code.SYSTEM_ERROR, _deadly(request, self.limits)),
                    )
        for queue, entries in back.items():
            queue.put_back(entries)
        replica.open.clear()
        self._place_all(replica.route)

    def _finish(self, replica: Replica, done: BatchDone) -> None:
        batch = replica.open.get(done.batch_id)
        if batch is None:
            return  # late: the batch was given to somebody else
        succeeded = len(batch.entries) - len(done.failures)
        fits = len(done.columns) == len(batch.method.outputs) and all(
            column_length(column) == succeeded for column in done.columns
        )
        if (succeeded and not fits) or any(index >= len(batch.entries) for index in done.failures):
            self._lose(replica, "its answer does not fit the batch it was sent", is_alive=True)
            self._actions.append(Send(replica.id, Unregistered()))
            return
        del replica.open[batch.id]
        self._place(replica)
        counters = self._counters(replica.route, batch.method)
        counters.batch_done(len(batch.entries), succeeded, batch.sent_at, self._now)
        values = zip(*map(from_column, done.columns), strict=True) if succeeded else iter(())
        for index, entry in enumerate(batch.entries):
            failure = done.failures.get(index)
            self._settle(entry, failure if failure is not None else next(values))

    # --- moving work

    def _lane(self, route: Route) -> _Lane:
        if route not in self._lanes:
            self._lanes[route] = _Lane(self.limits.window)
        return self._lanes[route]

    def _counters(self, route: Route, method: MethodSpec) -> Counters:
        return self.statistics.of(route.servable, route.version, method.name)

    def _place(self, replica: Replica) -> None:
        """Puts the replica where the next batch can find it. One that drains takes work only when no other is left."""
        slots = self._lane(replica.route).slots
        if replica.state is ReplicaState.READY or not replica.route.ready:
            full = any(batch.alone for batch in replica.open.values())
            slots.place(replica, slots.window if full else len(replica.open))
        else:
            slots.remove(replica)
        self._touched[replica.route] = None

    def _place_all(self, route: Route) -> None:
        for replica in route.replicas.values():
            self._place(replica)
        self._touched[route] = None

    def _move_work(self, route: Route, now: float) -> None:
        """Whatever can start now starts; who may leave is let go; what nobody can run is answered."""
        lane = self._lane(route)
        if not route.replicas:
            for request in lane.batcher.drain():
                self._reroute(request)
            return
        while (queue := lane.batcher.next()) is not None:
            alone = queue.next_runs_alone()
            replica = lane.slots.idle() if alone else lane.slots.pick()
            if replica is None:
                break
            self._run(replica, queue, alone, now)
            lane.batcher.end_turn(queue)
        if lane.batcher.next() is None or route.ready:
            for replica in [r for r in route.replicas.values() if r.state is ReplicaState.DRAINING and not r.open]:
                self._registry.move(replica, "release")
                self._leases.end(replica.id)
                lane.slots.remove(replica)
                self._actions.append(Send(replica.id, Released()))
                self._actions.append(Report("info", f"replica {replica.id} released"))

    def _run(self, replica: Replica, queue: MethodQueue, alone: bool, now: float) -> None:
        entries = queue.take()
        self._last_batch_id += 1
        batch = Batch(self._last_batch_id, queue.method, entries, alone, now)
        for request, _ in entries:
            if request.sent_at is None:
                request.sent_at = now
        replica.open[batch.id] = batch
        self._place(replica)
        instances = [request.instances[index] for request, index in entries]
        columns = tuple(to_column(values) for values in zip(*instances, strict=True))
        deadlines = [request.deadline for request, _ in entries]
        latest = max((deadline for deadline in deadlines if deadline is not None), default=now)
        seconds_left = None if None in deadlines else latest - now
        self._actions.append(
            Send(
                replica.id,
                RunBatch(batch.id, queue.method.name, len(entries), columns, seconds_left),
            )
        )


def _gone(request: Request) -> str:
    version = f" version({request.asked_version}) " if request.asked_version else ""
    return (
        f"Request servable({request.route.servable}) method({request.method.name}) {version}, servable is not available"
    )


def _deadly(request: Request, limits: Limits) -> str:
    return (
        f"Request servable({request.route.servable}) method({request.method.name}) , the worker died "
        f"{limits.max_attempts} times while it ran this instance: it is given up"
    )
