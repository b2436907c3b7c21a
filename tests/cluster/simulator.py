"""A whole cluster in virtual time: real Dispatchers and real Sessions, a made-up network, and faults from a seed.

Nothing here sleeps or reads a clock: the world jumps from event to event, and the core is woken by next_wakeup() alone.
Every message goes through the codec on its way. A run is a function of its seed; `story` tells it line by line.
"""

import functools
import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mindspore_serving.cluster import dispatch_events as master_side
from mindspore_serving.cluster.dispatch_events import Answer, Arrival, Limits
from mindspore_serving.cluster.dispatcher import Dispatcher
from mindspore_serving.cluster.errors import Code, Failure, RequestRefused
from mindspore_serving.cluster.messages import FromWorker, Message, RunBatch
from mindspore_serving.cluster.tensors import Instance
from tests.cluster.sim_worker import BAD, METHODS, POISON, Connection, SimWorker, number

__all__ = ["BAD", "METHODS", "POISON", "Caller", "Plan", "World"]

NOWHERE = -1  # the master of a caller whose request is with none
GRACE_SECONDS = 60.0  # after the last fault: everything heals and every caller gets an answer


@dataclass
class Plan:
    """What happens in a run, in numbers. Times in seconds."""

    masters: int = 1
    siblings: bool = False  # the masters are processes of one: workers know the first one, and hear of the others
    workers: int = 3
    requests: int = 60
    duration: float = 20.0  # arrivals and faults happen within; afterwards everything heals
    crashes: int = 0
    freezes: int = 0  # a stopped process: its messages and its clock stand still for a while
    link_drops: int = 0
    partitions: int = 0  # one direction of a connection, or both, stands still for a while
    clock_jumps: int = 0  # the clock of one process jumps ahead
    hangs: int = 0  # a device call never returns, while its process goes on
    drains: int = 0  # a worker is told to leave; another joins
    master_crashes: int = 0  # a master is killed and started again
    poisons: int = 0
    bad: int = 0
    cancels: int = 0
    deadlines: int = 0
    versions: int = 1
    methods: Sequence[str] = ("twice", "thrice")
    limits: Limits = field(default_factory=lambda: Limits(hang_seconds=5.0))


@dataclass
class Caller:
    """What a simulated client asked for and got. When its master dies it asks another one, as our client does."""

    method: str
    values: list[int]
    arrived_at: float
    deadline: float | None
    master: int = NOWHERE
    attempts: int = 0
    cancelled: bool = False
    answered_at: float = 0.0
    answers: list[Sequence[Instance | Failure] | Failure] = field(default_factory=list)


class SimMaster:
    """A master process: a dispatcher, its clock, and the connections of its workers."""

    def __init__(self, world: "World", index: int) -> None:
        self.world = world
        self.index = index
        self.alive = True
        self.clock_offset = 0.0
        self.connections: dict[str, Connection] = {}
        others = tuple(1 + other for other in range(world.plan.masters) if other != index)
        self._siblings = others if world.plan.siblings else ()
        self.dispatcher = Dispatcher(world.plan.limits, self._siblings)
        self._alarm: float | None = None
        self._life = 0

    @property
    def now(self) -> float:
        return self.world.now + self.clock_offset

    def crash(self) -> None:
        """Killed, and started again with nothing remembered."""
        if not self.alive:
            return
        self.alive = False
        self._life += 1
        self._alarm = None
        self.world.note(f"master {self.index} dies")
        for connection in list(self.connections.values()):
            connection.drop()
        self.connections.clear()
        self.world.at(self.world.now + self.world.random.uniform(0.2, 3.0), self._start)
        self.world.callers_of_dead_master(self.index)

    def _start(self) -> None:
        self.world.note(f"master {self.index} starts again")
        self.alive = True
        self.dispatcher = Dispatcher(self.world.plan.limits, self._siblings)

    def feed(self, event: master_side.Event) -> None:
        if not self.alive:
            return
        events = [event]
        while events:
            for action in self.dispatcher.handle(events.pop(0), self.now):
                match action:
                    case master_side.Send(worker_id, message):
                        connection = self.connections.get(worker_id)
                        if connection is None:
                            events.append(master_side.PeerUnreachable(worker_id))
                        else:
                            self._check_run(message)
                            connection.to_worker(message)
                    case Answer(request_id, _, results):
                        self.world.answer(request_id, results)
                    case master_side.Report(_, text):
                        self.world.note(f"master {self.index}: {text}")
        wakeup = self.dispatcher.next_wakeup()
        if wakeup is not None and (self._alarm is None or wakeup < self._alarm):
            self._alarm = wakeup
            life = self._life
            self.world.at(self.world.moment_of(wakeup, self.clock_offset), lambda: self._ring(life))

    def receive(self, worker_id: str, message: Message) -> None:
        assert isinstance(message, FromWorker)
        self.feed(master_side.MessageReceived(worker_id, message))

    def connection_dropped(self, connection: Connection) -> None:
        """As ZeroMQ does: first the news that some connection is gone, a moment later sending there is refused."""
        self.world.later(0.04, functools.partial(self._forget_connection, connection))
        self.feed(master_side.ConnectionDropped())

    def _forget_connection(self, connection: Connection) -> None:
        if self.connections.get(connection.worker.name) is connection:
            del self.connections[connection.worker.name]

    def _ring(self, life: int) -> None:
        if life == self._life:
            self._alarm = None
            self.feed(master_side.Tick())

    def _check_run(self, message: object) -> None:
        if isinstance(message, RunBatch):
            assert message.seconds_left is not None and message.seconds_left > 0, "sent after its deadline"


class World:
    """One run."""

    def __init__(self, seed: int, plan: Plan) -> None:
        self.random = random.Random(seed)
        self.plan = plan
        self.now = 0.0
        self.story: list[str] = []
        self.deaths = 0
        self.condemned = 0
        self.faults = 0  # whatever may cost a worker its open batches, poison aside
        self.runs: Counter[tuple[str, int]] = Counter()  # how often each value was run by a method
        self.callers: dict[int, Caller] = {}
        self.workers: list[SimWorker] = []
        self.masters = [SimMaster(self, index) for index in range(plan.masters)]
        self._agenda: list[tuple[float, int, Callable[[], object]]] = []
        self._order = itertools.count()
        self._names = itertools.count(1)
        self._values = itertools.count(1000)

    # --- time

    def at(self, moment: float, action: Callable[[], object]) -> None:
        heapq.heappush(self._agenda, (moment, next(self._order), action))

    def later(self, most: float, action: Callable[[], object]) -> None:
        self.at(self.now + self.random.uniform(0.0, most), action)

    def moment_of(self, wakeup: float, clock_offset: float) -> float:
        """When a clock that is ahead by so much shows `wakeup`; not a rounding error before that."""
        return max(wakeup - clock_offset + (1e-6 if clock_offset else 0.0), self.now)

    def note(self, text: str) -> None:
        self.story.append(f"{self.now:9.4f} {text}")

    def run(self) -> None:
        self._write_agenda()
        quiet_at = self.plan.duration + GRACE_SECONDS
        while self._agenda and self._agenda[0][0] <= quiet_at:
            self.now, _, action = heapq.heappop(self._agenda)
            action()

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
            (plan.partitions, self.partition),
            (plan.clock_jumps, self.jump_clock),
            (plan.hangs, self.hang),
            (plan.drains, self.drain),
            (plan.master_crashes, self.crash_master),
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
        for worker in [worker for worker in self.workers if worker.is_over]:
            self.workers.remove(worker)
            self.join(worker.version)

    def _some_worker(self) -> SimWorker | None:
        self.faults += 1
        return self.random.choice(self.workers) if self.workers else None

    def _some_connection(self) -> Connection | None:
        self.faults += 1
        found = [link for master in self.masters for _, link in sorted(master.connections.items()) if link.up]
        return self.random.choice(found) if found else None

    def crash(self) -> None:
        if worker := self._some_worker():
            worker.die()

    def freeze(self) -> None:
        if worker := self._some_worker():
            worker.frozen_until = max(worker.frozen_until, self.now + self.random.uniform(0.5, 8.0))
            self.note(f"{worker.name} is frozen until {worker.frozen_until:.4f}")

    def hang(self) -> None:
        if worker := self._some_worker():
            worker.hung = True
            self.note(f"the device of {worker.name} hangs")

    def drain(self) -> None:
        if worker := self._some_worker():
            self.note(f"{worker.name} is told to leave")
            worker.drain(10.0)

    def drop_link(self) -> None:
        if link := self._some_connection():
            self.note(f"the link of {link.worker.name} to master {link.master.index} drops")
            link.drop()

    def partition(self) -> None:
        if link := self._some_connection():
            until = self.now + self.random.uniform(0.5, 8.0)
            ways = self.random.choice((("master",), ("worker",), ("master", "worker")))
            for way in ways:
                link.clear_at[way] = max(link.clear_at[way], until)
            self.note(f"nothing of {link.worker.name} reaches the {' and the '.join(ways)} until {until:.4f}")

    def jump_clock(self) -> None:
        seconds = self.random.uniform(0.1, 10.0)
        self.faults += len(self.workers)  # a master whose clock jumps may take every worker for lost
        if self.random.random() < 0.5 and self.workers:
            worker = self.random.choice(self.workers)
            worker.clock_offset += seconds
            self.note(f"the clock of {worker.name} jumps by {seconds:.4f} s")
        else:
            master = self.random.choice(self.masters)
            master.clock_offset += seconds
            self.note(f"the clock of master {master.index} jumps by {seconds:.4f} s")
            master.feed(master_side.Tick())

    def crash_master(self) -> None:
        self.faults += len(self.workers)
        self.random.choice(self.masters).crash()

    # --- callers

    def ask(self, extra: int | None) -> None:
        method = self.random.choice(self.plan.methods)
        values = [next(self._values) for _ in range(self.random.choice((1, 1, 2, 3, 9)))]
        if extra is not None:
            values.insert(self.random.randrange(len(values) + 1), extra)
        request_id = len(self.callers) + 1
        has_deadline = self.random.random() < self.plan.deadlines / max(1, self.plan.requests)
        deadline = self.now + self.random.uniform(0.01, 2.0) if has_deadline else None
        self.callers[request_id] = Caller(method, values, self.now, deadline)
        self._send(request_id)

    def _send(self, request_id: int) -> None:
        """To a master that lives, or a moment later: as a client's retry policy does."""
        caller = self.callers[request_id]
        alive = [master for master in self.masters if master.alive]
        if caller.cancelled:
            return
        if not alive:
            self.at(self.now + 0.1, lambda: self._send(request_id))
            return
        master = self.random.choice(alive)
        caller.master = master.index
        caller.attempts += 1
        try:
            route, spec = master.dispatcher.resolve("sim", 0, caller.method)
        except RequestRefused as refused:
            self.answer(request_id, refused.failure)
            return
        instances = tuple((number(value),) for value in caller.values)
        # What travels is the time that is left: clocks differ.
        deadline = None if caller.deadline is None else master.now + max(0.0, caller.deadline - self.now)
        arrival = Arrival(request_id, 0, route, spec, instances, 8 * len(instances), deadline)
        master.feed(master_side.RequestsArrived([arrival]))

    def answer(self, request_id: int, results: Sequence[Instance | Failure] | Failure) -> None:
        caller = self.callers[request_id]
        self.note(f"request {request_id} answered" + (f": {results.text}" if isinstance(results, Failure) else ""))
        caller.answers.append(results)
        caller.answered_at = self.now

    def callers_of_dead_master(self, master: int) -> None:
        """They see UNAVAILABLE. What may run again is sent again."""
        for request_id, caller in self.callers.items():
            if caller.master != master or caller.answers or caller.cancelled:
                continue
            if caller.method == "once":
                self.answer(request_id, Failure(Code.WORKER_UNAVAILABLE, "UNAVAILABLE"))
            else:
                caller.master = NOWHERE
                self.later(0.2, functools.partial(self._send, request_id))

    def cancel(self) -> None:
        waiting = [i for i, caller in self.callers.items() if not caller.answers and not caller.cancelled]
        if waiting:
            request_id = self.random.choice(waiting)
            caller = self.callers[request_id]
            caller.cancelled = True
            self.note(f"request {request_id} cancelled")
            if caller.master != NOWHERE:
                self.masters[caller.master].feed(master_side.RequestCancelled(request_id))

    def ran(self, method: str, values: Sequence[int]) -> None:
        """A device has run these values."""
        self.runs.update((method, value) for value in values)
