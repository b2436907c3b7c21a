"""A whole cluster in virtual time: the real Dispatcher and real Sessions, a made-up network, and faults from a seed.

Nothing here sleeps or reads a clock: the world jumps from event to event, and the core is woken by next_wakeup() alone.
Every message goes through the codec on its way. A run is a function of its seed.
"""

import functools
import heapq
import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mindspore_serving.cluster import dispatch_events as master_side
from mindspore_serving.cluster import session as worker_side
from mindspore_serving.cluster.codec import decode, encode
from mindspore_serving.cluster.dispatch_events import Answer, Arrival, Limits
from mindspore_serving.cluster.dispatcher import Dispatcher
from mindspore_serving.cluster.errors import Code, Failure, RequestRefused
from mindspore_serving.cluster.messages import BatchDone, FromMaster, FromWorker, Message, MethodSpec, RunBatch
from mindspore_serving.cluster.session import Offer, Session, SessionState
from mindspore_serving.cluster.tensors import Instance, Tensor, from_column, to_column

METHODS = (MethodSpec("twice", ("x",), ("y",), 4), MethodSpec("thrice", ("x",), ("y",), 1))
FACTORS = {"twice": 2, "thrice": 3}
POISON = 666  # a worker that runs this value dies
BAD = 13  # this value's stage raises
BAD_FAILURE = Failure(Code.SYSTEM_ERROR, "unlucky")


def number(value: int) -> Tensor:
    return Tensor("<i8", (), value.to_bytes(8, "little", signed=True))


def value_of(tensor: object) -> int:
    assert isinstance(tensor, Tensor)
    return int.from_bytes(tensor.data, "little", signed=True)


@dataclass
class Plan:
    """What happens in a run, in numbers. Times in seconds."""

    workers: int = 3
    requests: int = 60
    duration: float = 20.0  # arrivals and faults happen within; afterwards everything heals
    crashes: int = 0
    freezes: int = 0  # a stopped process: its messages and its clock stand still for a while
    link_drops: int = 0
    drains: int = 0  # a worker is told to leave; another joins
    poisons: int = 0
    bad: int = 0
    cancels: int = 0
    deadlines: int = 0
    versions: int = 1
    limits: Limits = field(default_factory=Limits)


@dataclass
class Caller:
    """What a simulated client asked for and got."""

    method: str
    values: list[int]
    arrived_at: float
    has_deadline: bool
    cancelled: bool = False
    answered_at: float = 0.0
    answers: list[Sequence[Instance | Failure] | Failure] = field(default_factory=list)


class SimWorker:
    """A worker process: its session, its connection, and a device that runs one batch after the other."""

    def __init__(self, world: "World", name: str, version: int) -> None:
        self.world = world
        self.name = name
        self.alive = True
        self.frozen_until = 0.0
        self.connection: Connection | None = None
        self.session = Session(Offer("sim", version, METHODS, "CPU:0", "host", 1), world.now)
        self._busy_until = 0.0
        self._wakeups = 0
        self.connect()
        self.handle(worker_side.Tick())

    def connect(self) -> None:
        if self.alive and self.connection is None and self.session.state is not SessionState.CLOSED:
            self.connection = Connection(self.world, self)
            self.handle(worker_side.LinkMade())

    def die(self) -> None:
        if self.alive:
            self.alive = False
            self.world.note(f"{self.name} dies")
            self.world.deaths += 1
            if self.connection is not None:
                self.connection.drop()

    def handle(self, event: worker_side.Event) -> None:
        if not self.alive or self.session.state is SessionState.CLOSED:
            return
        if self.world.now < self.frozen_until:
            self.world.at(self.frozen_until, lambda: self.handle(event))
            return
        for action in self.session.handle(event, self.world.now):
            match action:
                case worker_side.Send(message):
                    if self.connection is not None:
                        self.connection.to_master(message)
                case worker_side.Run(batch, registration):
                    self._run(batch, registration)
                case worker_side.Close():
                    self.world.note(f"{self.name} closed")
                    if self.connection is not None:
                        connection = self.connection
                        self.world.at(self.world.now + 0.1, connection.drop)
                case worker_side.Report(_, text):
                    self.world.note(f"{self.name}: {text}")
        self._wakeups += 1
        mine = self._wakeups
        wakeup = self.session.next_wakeup()
        if wakeup is not None:
            # Only the latest alarm counts, as with a poll() time-out.
            self.world.at(max(wakeup, self.world.now), lambda: self._ring(mine))

    def _ring(self, mine: int) -> None:
        if mine == self._wakeups:
            self.handle(worker_side.Tick())

    def _run(self, batch: RunBatch, registration: int) -> None:
        start = max(self.world.now, self._busy_until)
        self._busy_until = start + self.world.random.uniform(0.001, 0.4)
        self.world.at(self._busy_until, lambda: self._finish(batch, registration))

    def _finish(self, batch: RunBatch, registration: int) -> None:
        if not self.alive:
            return
        self.world.note(f"{self.name} ran batch {batch.batch_id}")
        values = [value_of(value) for value in from_column(batch.columns[0])]
        assert len(values) == batch.count
        assert batch.count <= next(m for m in METHODS if m.name == batch.method).batch_size
        if POISON in values:
            self.die()
            return
        failures = {index: BAD_FAILURE for index, value in enumerate(values) if value == BAD}
        good = [number(value * FACTORS[batch.method]) for value in values if value != BAD]
        columns = (to_column(good),) if good else ()
        self.handle(worker_side.BatchFinished(registration, BatchDone(batch.batch_id, columns, failures)))


class Connection:
    """One TCP connection: keeps the order, takes its time, and loses what is on its way when it drops."""

    def __init__(self, world: "World", worker: SimWorker) -> None:
        self.world = world
        self.worker = worker
        self.up = True
        self._clear_at = {"master": 0.0, "worker": 0.0}
        world.connections[worker.name] = self

    def to_master(self, message: FromWorker) -> None:
        self._carry(message, "master", self.world.receive)

    def to_worker(self, message: FromMaster) -> None:
        self._carry(message, "worker", lambda worker, m: worker.handle(worker_side.MessageArrived(m)))  # type: ignore[arg-type]

    def drop(self) -> None:
        """Both ends notice, each in its own time."""
        if self.up:
            self.up = False
            worker = self.worker
            if worker.connection is self:
                worker.connection = None
            self.world.later(0.05, lambda: self.world.connection_dropped(self))
            self.world.later(0.05, lambda: worker.handle(worker_side.LinkLost()))
            self.world.later(0.3, worker.connect)

    def _carry(self, message: Message, to: str, deliver: Callable[[SimWorker, Message], None]) -> None:
        frames = [bytes(frame) for frame in encode(message)]
        moment = max(self.world.now + self.world.random.uniform(0.0001, 0.02), self._clear_at[to])
        self._clear_at[to] = moment

        def arrive() -> None:
            if self.up:
                deliver(self.worker, decode(frames))

        self.world.at(moment, arrive)


class World:
    """One run. `story` says what happened, line by line."""

    def __init__(self, seed: int, plan: Plan) -> None:
        self.random = random.Random(seed)
        self.plan = plan
        self.now = 0.0
        self.story: list[str] = []
        self.deaths = 0
        self.faults = 0  # whatever may cost a worker its open batches, poison aside
        self.callers: dict[int, Caller] = {}
        self.connections: dict[str, Connection] = {}
        self.workers: list[SimWorker] = []
        self.dispatcher = Dispatcher(plan.limits)
        self._agenda: list[tuple[float, int, Callable[[], object]]] = []
        self._order = itertools.count()
        self._names = itertools.count(1)
        self._alarm: float | None = None

    # --- time

    def at(self, moment: float, action: Callable[[], object]) -> None:
        heapq.heappush(self._agenda, (moment, next(self._order), action))

    def later(self, most: float, action: Callable[[], object]) -> None:
        self.at(self.now + self.random.uniform(0.0, most), action)

    def note(self, text: str) -> None:
        self.story.append(f"{self.now:9.4f} {text}")

    def run(self) -> None:
        self._write_agenda()
        quiet_at = self.plan.duration + 60.0
        while self._agenda and self._agenda[0][0] <= quiet_at:
            self.now, _, action = heapq.heappop(self._agenda)
            action()

    # --- the master

    def feed(self, event: master_side.Event) -> None:
        events = [event]
        while events:
            for action in self.dispatcher.handle(events.pop(0), self.now):
                match action:
                    case master_side.Send(worker_id, message):
                        connection = self.connections.get(worker_id)
                        if connection is None:
                            events.append(master_side.PeerUnreachable(worker_id))
                        else:
                            connection.to_worker(message)
                    case Answer(request_id, _, results):
                        self.note(f"request {request_id} answered")
                        self.callers[request_id].answers.append(results)
                        self.callers[request_id].answered_at = self.now
                    case master_side.Report(_, text):
                        self.note(f"master: {text}")
        wakeup = self.dispatcher.next_wakeup()
        if wakeup is not None and (self._alarm is None or wakeup < self._alarm):
            self._alarm = wakeup
            self.at(max(wakeup, self.now), self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self.feed(master_side.Tick())

    def receive(self, worker: SimWorker, message: Message) -> None:
        assert isinstance(message, FromWorker)
        self.feed(master_side.MessageReceived(worker.name, message))

    def connection_dropped(self, connection: Connection) -> None:
        """As ZeroMQ does: first the news that some connection is gone, a moment later sending there is refused."""
        self.later(0.04, functools.partial(self._forget_connection, connection))
        self.feed(master_side.ConnectionDropped())

    def _forget_connection(self, connection: Connection) -> None:
        if self.connections.get(connection.worker.name) is connection:
            del self.connections[connection.worker.name]

    # --- what happens

    def _write_agenda(self) -> None:
        plan, chance = self.plan, self.random
        for index in range(plan.workers):
            version = 1 + index % plan.versions
            self.at(chance.uniform(0, 1), functools.partial(self.join, version))
        moments = sorted(chance.uniform(0.5, plan.duration) for _ in range(plan.requests))
        special = [POISON] * plan.poisons + [BAD] * plan.bad
        for moment in moments:
            extra = special.pop() if special and moment > 2.0 else None  # when there is somebody to run it
            self.at(moment, functools.partial(self.ask, extra))
        for count, fault in (
            (plan.crashes, self.crash),
            (plan.freezes, self.freeze),
            (plan.link_drops, self.drop_link),
            (plan.drains, self.drain),
            (plan.cancels, self.cancel),
        ):
            for _ in range(count):
                self.at(chance.uniform(1.0, plan.duration), fault)
        for moment in range(1, int(plan.duration) + 30):
            self.at(float(moment), self.supervise)

    def join(self, version: int) -> None:
        name = f"w{next(self._names)}"
        self.note(f"{name} joins with version {version}")
        self.workers.append(SimWorker(self, name, version))

    def supervise(self) -> None:
        """As a service manager would: whoever has died or left is started again, as a new process."""
        for worker in [w for w in self.workers if not w.alive or w.session.state is SessionState.CLOSED]:
            self.workers.remove(worker)
            self.join(worker.session._offer.version)

    def crash(self) -> None:
        self.faults += 1
        if self.workers:
            self.random.choice(self.workers).die()

    def freeze(self) -> None:
        self.faults += 1
        if self.workers:
            worker = self.random.choice(self.workers)
            worker.frozen_until = self.now + self.random.uniform(0.5, 8.0)
            self.note(f"{worker.name} is frozen until {worker.frozen_until:.4f}")

    def drop_link(self) -> None:
        self.faults += 1
        if self.connections:
            name = self.random.choice(sorted(self.connections))
            self.note(f"the link of {name} drops")
            self.connections[name].drop()

    def drain(self) -> None:
        self.faults += 1
        if self.workers:
            worker = self.random.choice(self.workers)
            self.note(f"{worker.name} is told to leave")
            worker.handle(worker_side.DrainRequested(self.now + 10.0))

    def ask(self, extra: int | None) -> None:
        method = self.random.choice(METHODS).name
        values = [self.random.randrange(1000, 10**6) for _ in range(self.random.choice((1, 1, 2, 3, 9)))]
        if extra is not None:
            values.insert(self.random.randrange(len(values) + 1), extra)
        request_id = len(self.callers) + 1
        has_deadline = self.random.random() < self.plan.deadlines / max(1, self.plan.requests)
        caller = self.callers[request_id] = Caller(method, values, self.now, has_deadline)
        try:
            route, spec = self.dispatcher.resolve("sim", 0, method)
        except RequestRefused as refused:
            caller.answers.append(refused.failure)
            return
        instances = tuple((number(value),) for value in values)
        deadline = self.now + self.random.uniform(0.01, 2.0) if has_deadline else None
        self.feed(
            master_side.RequestsArrived([Arrival(request_id, 0, route, spec, instances, 8 * len(values), deadline)])
        )

    def cancel(self) -> None:
        waiting = [i for i, caller in self.callers.items() if not caller.answers and not caller.cancelled]
        if waiting:
            request_id = self.random.choice(waiting)
            self.callers[request_id].cancelled = True
            self.note(f"request {request_id} cancelled")
            self.feed(master_side.RequestCancelled(request_id))
