"""A worker process in virtual time: real Sessions and a real Purse, one device, a made-up network to its masters."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from mindspore_serving.cluster import session_events as worker_side
from mindspore_serving.cluster.codec import decode, encode
from mindspore_serving.cluster.errors import Code, Failure
from mindspore_serving.cluster.gate import Ask, Gate, Start, Ticket
from mindspore_serving.cluster.messages import BatchDone, FromMaster, FromWorker, Message, MethodSpec, RunBatch
from mindspore_serving.cluster.purse import Purse
from mindspore_serving.cluster.session import Offer, Session, SessionState
from mindspore_serving.cluster.siblings import Households
from mindspore_serving.cluster.tensors import Tensor, from_column, to_column

if TYPE_CHECKING:
    from tests.cluster.simulator import World

METHODS = (
    MethodSpec("twice", ("x",), ("y",), 4),
    MethodSpec("thrice", ("x",), ("y",), 1),
    MethodSpec("once", ("x",), ("y",), 4, idempotent=False),
)
FACTORS = {"twice": 2, "thrice": 3, "once": 1}
POISON = 666  # a worker that runs this value dies
BAD = 13  # this value's stage raises
BAD_FAILURE = Failure(Code.SYSTEM_ERROR, "unlucky")


def number(value: int) -> Tensor:
    return Tensor("<i8", (), value.to_bytes(8, "little", signed=True))


def value_of(tensor: object) -> int:
    assert isinstance(tensor, Tensor)
    return int.from_bytes(tensor.data, "little", signed=True)


class SimWorker:
    """Its sessions, its connections, and a device that runs one batch after the other."""

    def __init__(self, world: "World", name: str, version: int) -> None:
        self.world = world
        self.name = name
        self.version = version
        self.alive = True
        self.frozen_until = 0.0
        self.hung = False
        self._is_leaving = False
        self.clock_offset = 0.0  # this process's clock is ahead by so much
        self.connections: dict[int, Connection] = {}
        masters = [0] if world.plan.siblings else list(range(world.plan.masters))
        self.purse = Purse(masters)
        self.gate = Gate()  # masters by their numbers, as text
        self._households: Households[int] = Households()
        self._offer = Offer("sim", version, METHODS, "CPU:0", "host", 1)
        self.sessions = {master: Session(self._offer, self.now, self.purse.credit(master)) for master in masters}
        self._open: dict[int, set[tuple[int, int]]] = {master: set() for master in masters}
        self._busy_until = 0.0
        # Seconds an instance takes, where the worker tells how long its device was taken: then batches are held back.
        self._seconds_each = world.random.choice((None, 0.01, 0.1))
        self._wakeups = dict.fromkeys(masters, 0)
        for master in masters:
            self.connect(master)
            self.handle(master, worker_side.Tick())

    @property
    def now(self) -> float:
        return self.world.now + self.clock_offset

    @property
    def is_over(self) -> bool:
        return not self.alive or all(s.state is SessionState.CLOSED for s in self.sessions.values())

    @property
    def is_settled(self) -> bool:
        """It serves every master, and nothing stands in its way."""
        return (
            not self.is_over
            and max(self.frozen_until, self._busy_until) <= self.world.now
            and all(session.state is SessionState.SERVING for session in self.sessions.values())
            and all(
                link.up and max(link.clear_at.values()) <= self.world.now + 0.1 for link in self.connections.values()
            )
        )

    def connect(self, master: int) -> None:
        closed = self.sessions[master].state is SessionState.CLOSED
        if self.alive and master not in self.connections and not closed:
            if not self.world.masters[master].alive:
                self.world.later(0.5, lambda: self.connect(master))
                return
            self.connections[master] = Connection(self.world, self, master)
            self.handle(master, worker_side.LinkMade())

    def die(self) -> None:
        if self.alive:
            self.alive = False
            self.world.note(f"{self.name} dies")
            self.world.deaths += 1
            for connection in list(self.connections.values()):
                connection.drop()

    def drain(self, seconds: float) -> None:
        self._is_leaving = True
        for master in self.sessions:
            self.handle(master, worker_side.DrainRequested(self.now + seconds))

    def handle(self, master: int, event: worker_side.Event) -> None:
        session = self.sessions[master]
        if not self.alive or session.state is SessionState.CLOSED:
            return
        if self.world.now < self.frozen_until:
            self.world.at(self.frozen_until, lambda: self.handle(master, event))
            return
        before = session.state
        for action in session.handle(event, self.now):
            self._carry_out(master, action)
        if session.state is SessionState.SERVING and before is not session.state:
            for one in self._households.registered(master):
                self.handle(one, worker_side.KnownToSiblings())
        elif before is not session.state:
            self._households.lost(master)
        if session.state is SessionState.REGISTERING and before is not session.state:
            self._share(self.purse.lost(master))
        if session.state in (SessionState.REGISTERING, SessionState.CLOSED) and before is not session.state:
            self._open[master].clear()
            dropped, steps = self.gate.lost(str(master))
            for _ in range(dropped):
                self.purse.finished(master)
            self._go_on(steps)
        self._wakeups[master] += 1
        mine = self._wakeups[master]
        wakeup = session.next_wakeup()
        if wakeup is not None:
            # Only the latest alarm counts, as with a poll() time-out.
            self.world.at(self.world.moment_of(wakeup, self.clock_offset), lambda: self._ring(master, mine))

    def _ring(self, master: int, mine: int) -> None:
        if mine == self._wakeups[master]:
            self.handle(master, worker_side.Tick())

    def _carry_out(self, master: int, action: worker_side.Action) -> None:
        connection = self.connections.get(master)
        match action:
            case worker_side.Send(message):
                if connection is not None:
                    connection.to_master(message)
            case worker_side.Run(batch, registration):
                self._open[master].add((registration, batch.batch_id))
                self._share(self.purse.started(master))
                self._check_credit()
                self._go_on(self.gate.arrived(Ticket(str(master), registration, batch, self.now)))
            case worker_side.GoAhead(batch_id):
                self._go_on(self.gate.go(str(master), batch_id))
            case worker_side.Kept(batches):
                self._share(self.purse.kept(master, batches))
            case worker_side.Meet(siblings):
                self._meet(master, [int(sibling) - 1 for sibling in siblings])
            case worker_side.Close(refusal, at_once):
                self.world.note(f"{self.name} closed to master {master}" + (f": {refusal}" if refusal else ""))
                if at_once:
                    self.world.condemned += 1
                    self.die()
                elif connection is not None:
                    self.world.at(self.world.now + 0.1, connection.drop)
            case worker_side.Report(_, text):
                self.world.note(f"{self.name}: {text}")

    def _meet(self, master: int, siblings: list[int]) -> None:
        self._households.met(master, siblings)
        for sibling in [sibling for sibling in siblings if sibling not in self.sessions and not self._is_leaving]:
            for known in list(self.sessions):
                self.handle(known, worker_side.FirstCreditChanged(1))
            self.purse.joined(sibling)
            self.sessions[sibling] = Session(self._offer, self.now, self.purse.credit(sibling))
            self._open[sibling], self._wakeups[sibling] = set(), 0
            self.connect(sibling)
            self.handle(sibling, worker_side.Tick())

    def _share(self, changes: list[tuple[int, int]]) -> None:
        for master, batches in changes:
            self.handle(master, worker_side.CreditChanged(batches))

    def _go_on(self, steps: Sequence[Ask | Start]) -> None:
        for step in steps:
            ticket = step.ticket
            if isinstance(step, Ask):
                wanted = worker_side.TurnCame(ticket.registration, ticket.batch.batch_id)
                self.handle(int(ticket.master), wanted)
            else:
                self._run(int(ticket.master), ticket.batch_at(self.now), ticket.registration)

    def _check_credit(self) -> None:
        masters = len(self.sessions)
        held = sum(map(len, self._open.values()))
        if self.hung or any(
            self._is_stale(master, batch) for master, open_ in self._open.items() for _, batch in open_
        ):
            return  # a master whose lease for it ran out may have sent what it has now to somebody else
        assert held <= (2 if masters == 1 else masters + 1), f"{self.name} has {held} batches open: over-committed"

    def _is_stale(self, master: int, batch_id: int) -> bool:
        """The master waits for this batch no more."""
        replica = self.world.masters[master].dispatcher._board.registry.get(self.name)
        return replica is None or batch_id not in replica.open

    def _run(self, master: int, batch: RunBatch, registration: int) -> None:
        start = max(self.world.now, self._busy_until)
        deadline = self.world.now + (batch.seconds_left or 0.0)
        if self.world.plan.slow:
            seconds = self.world.random.uniform(0.6, 0.9) * self.world.plan.limits.hang_seconds
        elif self._seconds_each is None:
            seconds = self.world.random.uniform(0.001, 0.4)
        else:
            seconds = (0.05 + self._seconds_each * batch.count) * self.world.random.uniform(0.9, 1.1)
        self._busy_until = start + seconds
        self.world.at(self._busy_until, lambda: self._finish(master, batch, registration, start >= deadline, seconds))

    def _finish(self, master: int, batch: RunBatch, registration: int, is_late: bool, seconds: float) -> None:
        if not self.alive:
            return
        if self.hung:
            return  # the device call never returns
        values = [value_of(value) for value in from_column(batch.columns[0])]
        assert len(values) == batch.count
        assert batch.count <= next(m for m in METHODS if m.name == batch.method).batch_size
        if is_late:
            late = Failure(Code.DEADLINE_PASSED, "late")
            done = BatchDone(batch.batch_id, (), dict.fromkeys(range(batch.count), late))
        else:
            self.world.note(f"{self.name} ran batch {batch.batch_id} of master {master}")
            if POISON in values:
                self.die()
                return
            self.world.ran(batch.method, values)
            failures = {index: BAD_FAILURE for index, value in enumerate(values) if value == BAD}
            good = [number(value * FACTORS[batch.method]) for value in values if value != BAD]
            told = None if self._seconds_each is None else seconds
            done = BatchDone(batch.batch_id, (to_column(good),) if good else (), failures, told)
        self._open[master].discard((registration, batch.batch_id))
        self.purse.finished(master)
        self.handle(master, worker_side.BatchFinished(registration, done))
        for other in [other for other in self.sessions if other != master]:
            self.handle(other, worker_side.DeviceGotOn())
        self._go_on(self.gate.finished())


class Connection:
    """One TCP connection: keeps the order, takes its time, and loses what is on its way when it drops."""

    def __init__(self, world: "World", worker: SimWorker, master: int) -> None:
        self.world = world
        self.worker = worker
        self.master = world.masters[master]
        self.up = True
        self._is_replaced = False
        self.clear_at = {"master": 0.0, "worker": 0.0}  # what is sent now arrives after this
        self.master.connections[worker.name] = self

    def to_master(self, message: FromWorker) -> None:
        self._carry(message, "master", self._reach_master)

    def to_worker(self, message: FromMaster) -> None:
        self._carry(message, "worker", self._deliver)

    def drop(self) -> None:
        """Both ends notice, each in its own time: so a new connection may stand before the old one is missed."""
        if self.up:
            self.up = False
            worker, index = self.worker, self.master.index
            if worker.connections.get(index) is self:
                del worker.connections[index]
            self.world.later(0.05, lambda: self.master.connection_dropped(self))
            self.world.later(0.05, lambda: worker.handle(index, worker_side.LinkLost()))
            self.world.later(0.3, lambda: worker.connect(index))

    def replace(self) -> None:
        """Only the worker notices, and connects anew. What it has sent before still arrives, and nobody misses this one
        for seconds."""
        if self.up:
            self.up, self._is_replaced = False, True
            self.world.last_words_at = max(self.world.last_words_at, self.clear_at["master"])
            worker, index = self.worker, self.master.index
            del worker.connections[index]
            self.world.later(4.0, lambda: self.master.connection_dropped(self))
            worker.handle(index, worker_side.LinkLost())
            self.world.later(0.3, lambda: worker.connect(index))

    def _reach_master(self, message: Message) -> None:
        """Once another connection has its name, ZeroMQ gives the old one a made-up name."""
        name = self.worker.name
        self.master.receive(name if self.master.connections.get(name) is self else f"what was {name}", message)

    def _deliver(self, message: Message) -> None:
        assert isinstance(message, FromMaster)
        self.worker.handle(self.master.index, worker_side.MessageArrived(message))

    def _carry(self, message: Message, to: str, deliver: Callable[[Message], None]) -> None:
        frames = [bytes(frame) for frame in encode(message)]
        moment = max(self.world.now + self.world.random.uniform(0.0001, 0.02), self.clear_at[to])
        self.clear_at[to] = moment

        def arrive() -> None:
            if self.up or (self._is_replaced and to == "master" and self.master.alive):
                deliver(decode(frames))

        self.world.at(moment, arrive)
