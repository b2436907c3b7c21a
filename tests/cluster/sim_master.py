"""A master process in virtual time: a real Dispatcher, its clock, and the connections of its workers.

What must hold at the moment of sending is asserted here; the rest is in invariants.py.
"""

import functools
from typing import TYPE_CHECKING

from mindspore_serving.cluster import dispatch_events as master_side
from mindspore_serving.cluster.batcher import Cut, count_instances
from mindspore_serving.cluster.dispatch_events import Answer
from mindspore_serving.cluster.dispatcher import Dispatcher
from mindspore_serving.cluster.errors import Failure
from mindspore_serving.cluster.messages import FromWorker, Message, RunBatch
from mindspore_serving.cluster.registry import ReplicaState

if TYPE_CHECKING:
    from tests.cluster.sim_worker import Connection
    from tests.cluster.simulator import World


class SimMaster:
    """It can be killed, and is then started again with nothing remembered."""

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
        self._answered_now: set[int] = set()

    @property
    def now(self) -> float:
        return self.world.now + self.clock_offset

    @property
    def is_settled(self) -> bool:
        """It knows all workers, none has work or is in trouble, and no method is shut off."""
        board = self.dispatcher._board
        known = list(board.registry)
        return (
            self.alive
            and sorted(replica.id for replica in known) == sorted(worker.name for worker in self.world.workers)
            and all(
                replica.state is ReplicaState.READY and not replica.stalled and not replica.open for replica in known
            )
            and not self.dispatcher._members.losses._shut
            and self.dispatcher._members._probe_at == []
        )

    def crash(self) -> None:
        """Killed, and started again with nothing remembered."""
        if not self.alive:
            return
        self.alive = False
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
            actions = self.dispatcher.handle(events.pop(0), self.now)
            self._answered_now = {action.request_id for action in actions if isinstance(action, Answer)}
            for action in actions:
                match action:
                    case master_side.Send(worker_id, message):
                        connection = self.connections.get(worker_id)
                        if connection is None:
                            events.append(master_side.PeerUnreachable(worker_id))
                        else:
                            if isinstance(message, RunBatch):
                                self._check_run(worker_id, message)
                            connection.to_worker(message)
                    case Answer():
                        results = action.results
                        self.world.answer(
                            action.request_id, results if isinstance(results, Failure) else results.each()
                        )
                    case master_side.Report(_, text):
                        self.world.note(f"master {self.index}: {text}")
        wakeup = self.dispatcher.next_wakeup()
        if wakeup is not None and (self._alarm is None or wakeup < self._alarm):
            self._alarm = wakeup
            self.world.at(self.world.moment_of(wakeup, self.clock_offset), functools.partial(self._ring, wakeup))

    def receive(self, worker_id: str, message: Message) -> None:
        assert isinstance(message, FromWorker)
        self.feed(master_side.MessageReceived(worker_id, message))

    def connection_dropped(self, connection: "Connection") -> None:
        """As ZeroMQ does: first the news that some connection is gone, a moment later sending there is refused."""
        self.world.later(0.04, functools.partial(self._forget_connection, connection))
        self.feed(master_side.ConnectionDropped())

    def _forget_connection(self, connection: "Connection") -> None:
        if self.connections.get(connection.worker.name) is connection:
            del self.connections[connection.worker.name]

    def _ring(self, moment: float) -> None:
        if moment == self._alarm:  # else an earlier alarm has taken its place
            self._alarm = None
            self.feed(master_side.Tick())

    def _check_run(self, worker_id: str, run: RunBatch) -> None:
        assert run.seconds_left is not None and run.seconds_left > 0, "sent after its deadline"
        replica = self.dispatcher._board.registry.get(worker_id)
        if replica is None or run.batch_id not in replica.open:
            return  # lost again by the time that this is carried out
        assert len(replica.open) <= replica.credit, "a worker was given more batches than it has credit for"
        stays = replica.state is ReplicaState.READY or not replica.route.ready
        assert stays, "a worker that leaves was given work, though others serve"
        is_shared = len(replica.open) > 1 and any(batch.cut is Cut.ALONE for batch in replica.open.values())
        assert not is_shared, "an instance whose worker died does not run alone"
        batch = replica.open[run.batch_id]
        assert run.count == batch.count == count_instances(batch.spans)
        for request in [span.request for span in batch.spans]:
            settled_before = request.settled and request.id not in self._answered_now
            assert not settled_before, "an instance was sent whose request is answered or cancelled"
            assert request.deadline > self.now, "an instance was sent after its deadline"
