"""The master's mind: `handle(event, now)` gives the actions to carry out. It owns each request until it is answered.

Each request is answered exactly once. A batch that a replica was sent stays in that replica's table until it is
answered or the replica is lost; then its instances go back to the front of their queue and run elsewhere, and an answer
that comes late finds no batch to belong to and is ignored.
"""

from collections.abc import Mapping, Sequence

from mindspore_serving.cluster import refusals
from mindspore_serving.cluster.batcher import Batch, Entry, MethodQueue, Request, Result
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
from mindspore_serving.cluster.errors import Failure, RequestRefused
from mindspore_serving.cluster.lane import Lane, Move
from mindspore_serving.cluster.leases import Leases
from mindspore_serving.cluster.messages import (
    BatchDone,
    Condemned,
    Credit,
    CreditKept,
    FromWorker,
    Goodbye,
    Heartbeat,
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
from mindspore_serving.cluster.open_requests import OpenRequests
from mindspore_serving.cluster.quarantine import Quarantine
from mindspore_serving.cluster.registry import Registry, Replica, Route, RouteHealth
from mindspore_serving.cluster.statistics import Counters, Statistics
from mindspore_serving.cluster.tensors import column_length, from_column, to_column

# Seconds after a dropped connection at which the transport is asked who is gone: it tells of the drop (ZeroMQ's I/O
# thread) a moment before it refuses to send there (the socket).
PROBE_SECONDS = (0.0, 0.01, 0.05, 0.25)
# A device that takes so many times the foretold seconds is in trouble ...
HANG_FACTOR = 10.0
# ... but never before this: other programs of the machine may have held it up.
STALL_SECONDS = 0.8


class Dispatcher:
    """Events in, actions out. `now` is monotonic seconds and never goes back."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.statistics = Statistics()
        self._now = 0.0  # of the event that is handled
        self._registry = Registry()
        self._leases = Leases(limits.lease_seconds)
        self._heard = Leases(limits.lease_seconds / 2)  # whoever misses this one is stalled
        self._lanes: dict[Route, Lane] = {}
        self._requests = OpenRequests()
        self._probe_at: list[float] = []
        self._last_batch_id = 0
        self._shut: dict[tuple[Route, str], Quarantine] = {}  # methods in quarantine
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
        return any(route.ready for route in self._registry.health())

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
        moments = [
            self._leases.next_expiry(),
            self._requests.next_deadline(),
            *self._probe_at[:1],
            self._heard.next_expiry(),
            *(quarantine.until for quarantine in self._shut.values()),
        ]
        return min((moment for moment in moments if moment is not None), default=None)

    def handle(self, event: Event, now: float) -> list[Action]:
        """What to do about `event`. Deadlines that are due are dealt with on the way, leases only at a Tick."""
        self._now = now
        self._run_out(now)
        match event:
            case RequestsArrived(arrivals):
                for arrival in arrivals:
                    self._admit(arrival, now)
            case RequestCancelled(request_id):
                if request := self._requests.get(request_id):
                    self._forget(request)
            case MessageReceived(worker_id, message):
                self._receive(worker_id, message, now)
            case PeerUnreachable(worker_id):
                if replica := self._registry.get(worker_id):
                    self._lose(replica, "its connection is gone", now)
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

    def _admit(self, arrival: Arrival, now: float) -> None:
        deadline = arrival.deadline
        if deadline is None:
            deadline = now + self.limits.default_timeout_seconds
        failure = self._refusal(arrival, deadline, now)
        if failure is not None:
            self._actions.append(Answer(arrival.request_id, arrival.method.outputs, failure))
            return
        request = self._requests.add(arrival, deadline, now)
        if request.route.methods.get(request.method.name) == request.method:
            self._enqueue(request)
        else:
            self._reroute(request)  # the replicas have changed since the door looked

    def _refusal(self, arrival: Arrival, deadline: float, now: float) -> Failure | None:
        """Why this request cannot be taken; None when it can."""
        limits, lane = self.limits, self._lane(arrival.route)
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
        if late_by := lane.late_by(arrival.method, len(arrival.instances), deadline, now):
            return refusals.would_be_late(arrival, late_by)
        return None

    def _make_room(self, queue: MethodQueue, failure: Failure) -> bool:
        """A method that waits for more than the one of `queue` gives up its newest request: no method starves another.

        Source: longest queue drop (McKenney, Stochastic Fairness Queueing, 1990). False: there is none.
        """
        longest = max(
            (longest for lane in self._lanes.values() if (longest := lane.batcher.longest()) is not None),
            key=lambda longest: longest.waiting,
            default=queue,
        )
        request = longest.newest_unsent() if longest.waiting > queue.waiting + 1 else None
        if request is None:
            return False
        self._answer(request, failure)
        return True

    def _enqueue(self, request: Request) -> None:
        queue = self._lane(request.route).batcher.queue(request.method)
        queue.append((request, index) for index in range(len(request.instances)))
        self._touched[request.route] = None

    def _reroute(self, request: Request) -> None:
        """Its route has no replica left. Another version serves all of it when the caller left the choice to us."""
        if request.sent_at is not None and not request.method.idempotent:
            self._answer(request, refusals.not_repeated(request))
            return
        try:
            route, method = self._registry.resolve(request.route.servable, request.asked_version, request.method.name)
        except RequestRefused:
            self._answer(request, refusals.gone(request))
            return
        if method.inputs != request.method.inputs:
            self._answer(request, refusals.gone(request))
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
        self._requests.remove(request)
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
        if self._shut:
            self._open_again(now)
        for request in self._requests.overdue(now):
            self._answer(request, refusals.deadline_passed(request))

    # --- workers

    def _end_leases(self, now: float) -> None:
        """Only at a Tick: when other events come late, the heartbeats may stand right behind them."""
        for worker_id in self._heard.expired(now):
            if replica := self._registry.get(worker_id):
                self._stall(replica, f"it was not heard of for {self._heard.seconds:g} s")
        for worker_id in self._leases.expired(now):
            if replica := self._registry.get(worker_id):
                self._lose(replica, "its lease ran out", now)

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
                reply = Released() if isinstance(message, Leaving) else Unregistered()
                self._actions.append(Send(worker_id, reply))
            return
        self._renew(worker_id, now)
        match message:
            case Heartbeat(stuck_seconds):
                self._watch(replica, stuck_seconds, now)
            case BatchDone():
                self._finish(replica, message, now)
            case Credit(batches):
                replica.credit = batches
                replica.credit_is_kept = False
                self._place(replica)
                self._keep_credit(replica)
            case Leaving():
                self._drain(replica)
            case Goodbye():
                self._lose(replica, "it said goodbye", now, died=False)

    def _renew(self, worker_id: str, now: float) -> None:
        self._leases.renew(worker_id, now)
        self._heard.renew(worker_id, now)

    def _register(self, worker_id: str, register: Register, known: Replica | None, now: float) -> None:
        if known and known.register.registration == register.registration:
            self._renew(worker_id, now)
            self._actions.append(Send(worker_id, Registered(self.limits.lease_seconds, register.registration)))
            return
        if known:
            self._lose(known, "it registered again", now, died=False)
        if reason := self._registry.conflict(register):
            self._actions.append(Send(worker_id, Refused(reason)))
            self._actions.append(Report("warning", f"worker {worker_id} refused: {reason}"))
            return
        replica = self._registry.add(worker_id, register)
        self._renew(worker_id, now)
        self._place(replica)
        self._place_draining(replica.route)
        methods = ", ".join(method.name for method in register.methods)
        self._actions.append(Send(worker_id, Registered(self.limits.lease_seconds, register.registration)))
        self._actions.append(Report("info", f"replica {replica} registered: {replica.route}, methods {methods}"))

    def _keep_credit(self, replica: Replica) -> None:
        """Tells the worker that its latest word on credit is kept to, as soon as that is so."""
        if not replica.credit_is_kept and len(replica.open) <= replica.credit:
            replica.credit_is_kept = True
            self._actions.append(Send(replica.id, CreditKept(replica.credit)))

    def _drain(self, replica: Replica) -> None:
        self._registry.move(replica, "drain")
        self._place_draining(replica.route)
        self._actions.append(Report("info", f"replica {replica.id} drains, {len(replica.open)} batches open"))

    def _watch(self, replica: Replica, stuck_seconds: float, now: float) -> None:
        """Looks at how long the worker has not got on with what it has open: its link speaks while its device hangs."""
        oldest = next(iter(replica.open.values()), None)
        foretold = oldest.foretold_seconds if oldest else 0.0
        if oldest and stuck_seconds > max(HANG_FACTOR * foretold, self.limits.hang_seconds):
            why = f"method {oldest.method.name} has been running for {stuck_seconds:.1f} s"
            self._actions.append(Send(replica.id, Condemned(f"it hangs: {why}")))
            self._lose(replica, f"it hangs: {why}", now)
        elif foretold and stuck_seconds > max(HANG_FACTOR * foretold, STALL_SECONDS):
            self._stall(replica, f"it has not got on for {stuck_seconds:.1f} s")
        else:
            self._stall(replica, "")

    def _stall(self, replica: Replica, why: str) -> None:
        """A stalled replica gets nothing new until it goes on; `why` is empty when it does."""
        if bool(why) != bool(replica.stalled):
            text = f"replica {replica.id} is stalled: {why}" if why else f"replica {replica.id} goes on"
            self._actions.append(Report("warning" if why else "info", text))
            self._registry.stall(replica, why)
            self._place(replica)

    def _lose(self, replica: Replica, why: str, now: float, *, died: bool = True, is_alive: bool = False) -> None:
        """Takes the replica out; what it had open goes back to the front, or is given up after too many losses.

        Worker ids are new for each process start, so one that is lost again has not died in between: it counts once.
        One that is alive and answers what cannot be counts each time.
        """
        self._registry.move(replica, "lose")
        self._leases.end(replica.id)
        self._heard.end(replica.id)
        lane = self._lane(replica.route)
        lane.remove(replica)
        text = f"replica {replica.id} lost ({why}), {len(replica.open)} batches put back"
        self._actions.append(Report("warning" if replica.open else "info", text))
        back: dict[MethodQueue, list[Entry]] = {}
        batches = list(replica.open.values())
        replica.open.clear()
        for batch in batches:
            for entry in batch.entries:
                failure = self._loss(entry, f"{replica.id}/{batch.id}" if is_alive else replica.id)
                if failure is None:
                    back.setdefault(lane.batcher.queue(batch.method), []).append(entry)
                else:
                    self._settle(entry, failure)
        for queue, entries in back.items():
            queue.put_back(entries)
        if died and batches:
            (running, *_) = batches
            self._quarantine(lane, running, f"{replica.id}/{running.id}" if is_alive else replica.id, now)
        self._place_draining(replica.route)

    def _loss(self, entry: Entry, name: str) -> Failure | None:
        """The worker was lost while it had this instance. None: it runs again."""
        request, index = entry
        if not request.method.idempotent:
            return refusals.not_repeated(request)
        request.losses[index].add(name)
        return refusals.deadly(request, self.limits) if len(request.losses[index]) >= self.limits.max_attempts else None

    def _quarantine(self, lane: Lane, running: Batch, name: str, now: float) -> None:
        """Counts the death against the method that was running; when it is one too many, the method is shut off."""
        method, quarantine = running.method, lane.quarantines[running.method.name]
        if not quarantine.death(name, now) or quarantine.until is None:
            return
        self._shut[lane.route, method.name] = quarantine
        self._registry.shut(lane.route, method.name, True)
        failure = refusals.quarantined(lane.route, method, quarantine.until - now)
        self._actions.append(Report("error", failure.text))
        for request in lane.batcher.queue(method).drain():
            self._answer(request, failure)

    def _open_again(self, now: float) -> None:
        for (route, method), quarantine in list(self._shut.items()):
            if quarantine.until is None or quarantine.try_again(now):
                del self._shut[route, method]
                self._registry.shut(route, method, False)
                self._actions.append(Report("info", f"{route} method {method} is tried again"))

    def _finish(self, replica: Replica, done: BatchDone, now: float) -> None:
        batch = replica.open.get(done.batch_id)
        if batch is None:
            return  # late: the batch was given to somebody else
        succeeded = len(batch.entries) - len(done.failures)
        fits = len(done.columns) == len(batch.method.outputs) and all(
            column_length(column) == succeeded for column in done.columns
        )
        if (succeeded and not fits) or any(index >= len(batch.entries) for index in done.failures):
            self._lose(replica, "its answer does not fit the batch it was sent", now, is_alive=True)
            self._actions.append(Send(replica.id, Unregistered()))
            return
        self._lane(replica.route).finish(replica, batch, now)
        counters = self._counters(replica.route, batch.method)
        counters.batch_done(len(batch.entries), succeeded, batch.sent_at, now)
        self._touched[replica.route] = None
        self._stall(replica, "")
        self._keep_credit(replica)
        values = zip(*map(from_column, done.columns), strict=True) if succeeded else iter(())
        for index, entry in enumerate(batch.entries):
            failure = done.failures.get(index)
            self._settle(entry, failure if failure is not None else next(values))

    # --- moving work

    def _lane(self, route: Route) -> Lane:
        lane = self._lanes.get(route)
        if lane is None:
            lane = self._lanes[route] = Lane(route, self.limits.window, self.limits.quarantine_deaths)
        return lane

    def _counters(self, route: Route, method: MethodSpec) -> Counters:
        return self.statistics.of(route.servable, route.version, method.name)

    def _place(self, replica: Replica) -> None:
        self._lane(replica.route).place(replica)
        self._touched[replica.route] = None

    def _place_draining(self, route: Route) -> None:
        """Those that drain work again when no other is left, and stop when one has come."""
        for replica in route.draining.values():
            self._place(replica)
        self._touched[route] = None

    def _move_work(self, route: Route, now: float) -> None:
        """Whatever can start now starts; who may leave is let go; what nobody can run is answered."""
        lane = self._lane(route)
        if not route.replicas:
            for request in lane.batcher.drain():
                self._reroute(request)
            return
        while (move := lane.next_move(now)) is not None:
            for request in move.late:
                self._answer(request, refusals.is_late(request))
            if move.entries:
                self._run(lane, move, now)
        if lane.batcher.next() is None or route.ready:
            for replica in [replica for replica in route.draining.values() if not replica.open]:
                self._registry.move(replica, "release")
                self._leases.end(replica.id)
                self._heard.end(replica.id)
                lane.remove(replica)
                self._actions.append(Send(replica.id, Released()))
                self._actions.append(Report("info", f"replica {replica.id} released"))

    def _run(self, lane: Lane, move: Move, now: float) -> None:
        self._last_batch_id += 1
        count = len(move.entries)
        foretold = lane.cost(move.method.name).seconds_if_known(count)
        batch = Batch(self._last_batch_id, move.method, tuple(move.entries), move.alone, now, foretold)
        lane.start(move.replica, batch, now)
        instances = []
        for request, index in move.entries:
            request.sent_at = now if request.sent_at is None else request.sent_at
            instances.append(request.instances[index])
        columns = tuple(to_column(values) for values in zip(*instances, strict=True))
        seconds_left = max(request.deadline for request, _ in move.entries) - now
        run = RunBatch(batch.id, move.method.name, count, columns, seconds_left)
        self._actions.append(Send(move.replica.id, run))
