"""The workers that serve: they register, say that they live, stall, drain, and are lost."""

import math

from mindspore_serving.cluster.board import Board
from mindspore_serving.cluster.leases import Leases
from mindspore_serving.cluster.losses import Loss, Losses
from mindspore_serving.cluster.messages import (
    Condemned,
    Credit,
    CreditKept,
    FromWorker,
    Go,
    Goodbye,
    Heartbeat,
    Leaving,
    MayRun,
    NotUnderstood,
    Probe,
    Refused,
    Register,
    Registered,
    Released,
    Unregistered,
)
from mindspore_serving.cluster.moments import earliest
from mindspore_serving.cluster.open_requests import OpenRequests
from mindspore_serving.cluster.registry import Replica, Route

# Seconds after a dropped connection at which the transport is asked who is gone: it tells of the drop (ZeroMQ's I/O
# thread) a moment before it refuses to send there (the socket).
PROBE_SECONDS = (0.0, 0.01, 0.05, 0.25)
# A device that takes so many times the foretold seconds is in trouble ...
HANG_FACTOR = 10.0
# ... but never before this: other programs of the machine may have held it up.
STALL_SECONDS = 0.8


class Members:
    """Keeps their leases, and hears what they say of themselves."""

    def __init__(self, board: Board, requests: OpenRequests) -> None:
        seconds = board.limits.lease_seconds
        self._board = board
        self._leases = Leases(seconds)
        self._heard = Leases(seconds / 2)  # whoever misses this one is stalled
        self._probe_at: list[float] = []
        self._probed_at = -math.inf
        self.losses = Losses(board, requests, (self._leases, self._heard))

    def next_wakeup(self) -> float | None:
        """When end_leases(), probe() or open_again() have something to do, if nothing happens before."""
        probe_at, now = self._probe_at[0] if self._probe_at else None, self._board.now
        leases, heard = self._leases.next_expiry(now), self._heard.next_expiry(now)
        return earliest(leases, heard, self.losses.next_opening(), probe_at)

    def get(self, worker_id: str) -> Replica | None:
        """The replica that this worker is; None for a stranger."""
        return self._board.registry.get(worker_id)

    # --- what the transport and the clock say

    def unreachable(self, worker_id: str) -> None:
        """The transport has no connection to this worker."""
        if replica := self.get(worker_id):
            self.losses.lose(replica, "its connection is gone", Loss.DEATH)

    def cannot_be_read(self, worker_id: str) -> None:
        """What this worker said."""
        if replica := self.get(worker_id):
            self._not_understood(replica, "what it said cannot be read")

    def lose_for_nonsense(self, replica: Replica, why: str) -> None:
        """It may come again, and starts afresh."""
        self.losses.lose(replica, why, Loss.NONSENSE)
        self._board.send(replica.id, Unregistered())

    def connection_dropped(self) -> None:
        """Some worker's connection is gone. All workers are looked at: not more often when many drop at once."""
        start = max(self._board.now, self._probed_at + PROBE_SECONDS[1])
        self._probe_at = [start + seconds for seconds in PROBE_SECONDS]
        self.probe()

    def probe(self) -> None:
        """Sending is the question: the transport refuses it for a peer that is gone, and so names it."""
        if self._probe_at and self._probe_at[0] <= self._board.now:
            self._probe_at = [moment for moment in self._probe_at if moment > self._board.now]
            self._probed_at = self._board.now
            for replica in self._board.registry:
                # Nobody waits for those with nothing open: once for however many drop one after the other.
                if replica.open or not self._probe_at:
                    self._board.send(replica.id, Probe())

    def end_leases(self) -> None:
        """Only at a Tick: when other events come late, the heartbeats may stand right behind them."""
        for worker_id in self._heard.expired(self._board.now):
            if replica := self.get(worker_id):
                self.stall(replica, f"it was not heard of for {self._heard.seconds:g} s")
        for worker_id in self._leases.expired(self._board.now):
            if replica := self.get(worker_id):
                self.losses.lose(replica, "its lease ran out", Loss.SILENCE)

    # --- what the worker says

    def hear(self, replica: Replica, message: FromWorker) -> None:
        """Anything but Register and BatchDone, of a known worker. Whatever it says renews its leases."""
        match message:
            case Heartbeat(stuck_seconds):
                self._watch(replica, stuck_seconds)
            case MayRun(batch_id):
                if batch_id in replica.open:
                    replica.begun = batch_id
                    self._board.send(replica.id, Go(batch_id))
                else:
                    # It was lost, and has registered once more by the same number, before it heard of either: all that
                    # it has since waits behind what nobody waits for.
                    self.losses.lose(replica, "it asks for work of before it was lost", Loss.FAREWELL)
                    self._board.send(replica.id, Unregistered())
            case Credit(batches):
                replica.credit = batches
                replica.credit_is_kept = False
                self._board.place(replica)
                self.keep_credit(replica)
            case NotUnderstood():
                self._not_understood(replica, "it cannot read what it was sent")
            case Leaving():
                self._drain(replica)
            case Goodbye():
                self.losses.lose(replica, "it said goodbye", Loss.FAREWELL)

    def renew(self, worker_id: str) -> None:
        """The worker was heard of."""
        self._leases.renew(worker_id, self._board.now)
        self._heard.renew(worker_id, self._board.now)

    def answer_stranger(self, worker_id: str, message: FromWorker) -> None:
        """A worker that is not registered said something else than Register."""
        if not isinstance(message, Goodbye):
            self._board.send(worker_id, Released() if isinstance(message, Leaving) else Unregistered())

    def register(self, worker_id: str, register: Register) -> None:
        """A worker has loaded its servable; or says so again."""
        board, known = self._board, self.get(worker_id)
        registered = Registered(board.limits.lease_seconds, register.registration, board.siblings)
        if known and known.register.registration == register.registration:
            self.renew(worker_id)
            board.send(worker_id, registered)
            return
        if known:
            self.losses.lose(known, "it registered again", Loss.FAREWELL)
        if reason := board.registry.conflict(register):
            board.send(worker_id, Refused(reason))
            board.report("warning", f"worker {worker_id} refused: {reason}")
            return
        replica = board.registry.add(worker_id, register)
        if board.siblings:
            board.registry.stall(replica, "it registers at the other processes")  # until its first heartbeat
        self.renew(worker_id)
        board.place(replica)
        board.place_draining(replica.route)
        board.send(worker_id, registered)
        methods = ", ".join(method.name for method in register.methods)
        board.report("info", f"replica {replica} registered: {replica.route}, methods {methods}")

    def keep_credit(self, replica: Replica) -> None:
        """Tells the worker that its latest word on credit is kept to, as soon as that is so."""
        if not replica.credit_is_kept and len(replica.open) <= replica.credit:
            replica.credit_is_kept = True
            self._board.send(replica.id, CreditKept(replica.credit))

    def stall(self, replica: Replica, why: str) -> None:
        """A stalled replica gets nothing new until it goes on; `why` is empty when it does."""
        if bool(why) != bool(replica.stalled):
            text = f"replica {replica.id} is stalled: {why}" if why else f"replica {replica.id} goes on"
            self._board.report("warning" if why else "info", text)
            self._board.registry.stall(replica, why)
            self._board.place(replica)

    def release(self, route: Route) -> None:
        """Those that drain and have nothing open may go."""
        for replica in [replica for replica in route.draining.values() if not replica.open]:
            self.losses.forget(replica, "release")
            self._board.send(replica.id, Released())
            self._board.report("info", f"replica {replica.id} released")

    def _not_understood(self, replica: Replica, why: str) -> None:
        """What it has open would be waited for in vain: it may have been that, or the answer."""
        if replica.open:
            self.lose_for_nonsense(replica, why)

    def _drain(self, replica: Replica) -> None:
        self._board.registry.move(replica, "drain")
        self._board.place(replica)
        self._board.place_draining(replica.route)
        self._board.report("info", f"replica {replica.id} drains, {len(replica.open)} batches open")

    def _watch(self, replica: Replica, stuck_seconds: float) -> None:
        """Looks at how long the worker has not got on with what it has open: its link speaks while its device hangs."""
        oldest = next(iter(replica.open.values()), None)
        foretold = oldest.foretold_seconds if oldest else 0.0
        if oldest and stuck_seconds > max(HANG_FACTOR * foretold, self._board.limits.hang_seconds):
            why = f"it hangs: method {oldest.method.name} has been running for {stuck_seconds:.1f} s"
            self._board.send(replica.id, Condemned(why))
            self.losses.lose(replica, why, Loss.DEATH)
        elif foretold and stuck_seconds > max(HANG_FACTOR * foretold, STALL_SECONDS):
            self.stall(replica, f"it has not got on for {stuck_seconds:.1f} s")
        else:
            self.stall(replica, "")
