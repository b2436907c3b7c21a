"""A whole cluster in virtual time: real Dispatchers and real Sessions, a made-up network, and faults from a seed.

Nothing here sleeps or reads a clock: the world jumps from event to event, and the core is woken by next_wakeup() alone.
Every message goes through the codec on its way. A run is a function of its seed; `story` tells it line by line.
"""

import functools
import heapq
import itertools
import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mindspore_serving.cluster.dispatch_events import Arrival, Limits, RequestCancelled, RequestsArrived
from mindspore_serving.cluster.errors import Code, Failure, RequestRefused
from mindspore_serving.cluster.tensors import Instance, to_columns
from tests.cluster.sim_faults import all_faults
from tests.cluster.sim_master import SimMaster
from tests.cluster.sim_worker import BAD, METHODS, POISON, SimWorker, number

__all__ = ["BAD", "METHODS", "POISON", "Caller", "Plan", "World"]

MOST_STEPS = 100_000  # of a run; a usual one has a thousand or two
NOWHERE = -1  # the master of a caller whose request is with none
GRACE_SECONDS = 60.0  # after the last fault: everything heals and every caller gets an answer
LEASE_SECONDS = 3.0  # after the last fault is over: so long its effects may show
QUIET_SECONDS = 6.0  # two leases: so long nothing at all happens in a cluster that has healed


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
    reconnects: int = 0  # a worker connects anew long before its old connection is missed
    partitions: int = 0  # one direction of a connection, or both, stands still for a while
    clock_jumps: int = 0  # the clock of one process jumps ahead
    hangs: int = 0  # a device call never returns, while its process goes on
    drains: int = 0  # a worker is told to leave; another joins
    master_crashes: int = 0  # a master is killed and started again
    slow: bool = False  # each batch takes nearly as long as a device call may before it counts as hung
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
        self.healed_at = math.inf
        self.lines_when_healed = 0
        self.last_words_at = 0.0  # when all that was sent on connections that nobody has any more has arrived
        self._settled_since = 0.0
        self._ends_at = plan.duration + GRACE_SECONDS
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
        """Until the cluster has healed and was quiet for a while."""
        self._write_agenda()
        for _ in range(MOST_STEPS):
            if self._agenda[0][0] > self._ends_at:
                return
            self.now, _, action = heapq.heappop(self._agenda)
            action()
        raise AssertionError("it goes round in circles")

    @property
    def is_healed(self) -> bool:
        """Everybody is there, knows everybody, and has nothing to do."""
        return (
            self.now >= self.last_words_at
            and all(caller.answers or caller.cancelled for caller in self.callers.values())
            and all(worker.is_settled for worker in self.workers)
            and all(master.is_settled for master in self.masters)
        )

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
        for fault in all_faults(self):
            self.at(chance.uniform(1.0, plan.duration), fault)
        self.at(1.0, self.supervise)

    def join(self, version: int) -> None:
        name = f"w{next(self._names)}"
        self.note(f"{name} joins with version {version}")
        self.workers.append(SimWorker(self, name, version))

    def supervise(self) -> None:
        """As a service manager would: whoever has died or left is started again, as a new process."""
        for worker in [worker for worker in self.workers if worker.is_over]:
            self.workers.remove(worker)
            self.join(worker.version)
        self.at(self.now + 1.0, self.supervise)
        if self.now <= self.plan.duration or not self.is_healed:
            self._settled_since = self.now
        elif self.healed_at == math.inf and self.now >= self._settled_since + LEASE_SECONDS:
            self.healed_at = self.now
            self._ends_at = self.now + QUIET_SECONDS
            self.lines_when_healed = len(self.story)

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
        columns = to_columns([(number(value),) for value in caller.values])
        count = len(caller.values)
        # What travels is the time that is left: clocks differ.
        deadline = None if caller.deadline is None else master.now + max(0.0, caller.deadline - self.now)
        arrival = Arrival(request_id, 0, route, spec, count, columns, 8 * count, deadline)
        master.feed(RequestsArrived([arrival]))

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

    def cancel(self, request_id: int) -> None:
        caller = self.callers[request_id]
        self.note(f"request {request_id} cancelled")
        if caller.master != NOWHERE:
            self.masters[caller.master].feed(RequestCancelled(request_id))
        caller.cancelled = not caller.answers  # its deadline may have been over at this very moment

    def ran(self, method: str, values: Sequence[int]) -> None:
        """A device has run these values."""
        self.runs.update((method, value) for value in values)
