"""One version of a servable at work: what waits, which replicas have room, what batches cost, and the next move.

Just in time: a batch that would wait behind a running one stays here as long as the device can do without it, so that
it takes along who comes meanwhile (pace.py).

Foretelling: a device call of n instances costs a + b * n seconds (costs.py). What cannot be in time is told so when it
arrives, and looked at again before it is sent, where more is known. A share of those seconds is kept as a margin, by
how much single batches were off. All of it costs the same for any number of replicas.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from functools import partial

from mindspore_serving.cluster.batcher import Batch, Batcher, Cut, MethodQueue, Request, Span, count_instances, split
from mindspore_serving.cluster.costs import Cost
from mindspore_serving.cluster.messages import MethodSpec
from mindspore_serving.cluster.moments import Calendar
from mindspore_serving.cluster.quarantine import Quarantine
from mindspore_serving.cluster.registry import Replica, ReplicaState, Route
from mindspore_serving.cluster.scheduler import Slots

_LEAST_FIXED_SHARE = 0.1  # of a batch's seconds, for a larger one to be worth a risk
_WORTH_SECONDS = 0.0001  # for less nothing is held: a timer costs as much


class Move:
    """These instances run now, on this replica; `late` are requests that cannot be in time any more."""

    __slots__ = ("cut", "late", "method", "replica", "spans")

    def __init__(
        self, replica: Replica, method: MethodSpec, spans: Sequence[Span], cut: Cut, late: Sequence[Request]
    ) -> None:
        self.replica = replica
        self.method = method
        self.spans = spans
        self.cut = cut
        self.late = late


class Lane:
    """What the dispatcher keeps for one route."""

    def __init__(self, route: Route, window: int, quarantine_deaths: int, just_in_time: bool) -> None:
        self.route = route
        self.held_until: float | None = None  # something waits that leaves then, if nothing else happens before
        self.batcher = Batcher()
        self.quarantines: defaultdict[str, Quarantine] = defaultdict(partial(Quarantine, quarantine_deaths))
        self.draining_work = False  # those that drain get work, since no other is left
        self._slots: Slots[Replica] = Slots(window)
        self._costs: defaultdict[str, Cost] = defaultdict(Cost)
        self._device_costs: defaultdict[str, Cost] = defaultdict(Cost)
        self._just_in_time = just_in_time
        self._due: Calendar[Replica] = Calendar()  # when to send the next batch to a replica that has one open
        self._free_at: dict[Replica, float] = {}  # when what a replica has open will be done, as far as foretold
        self._sum_free_at = 0.0

    def cost(self, method: str) -> Cost:
        """What is known about the batches of a method."""
        return self._costs[method]

    def device_seconds(self, method: str, count: int) -> float:
        """How long a batch will take the device; 0 while that is unknown."""
        return self._device_costs[method].seconds_if_known(count)

    # --- replicas

    def place(self, replica: Replica) -> None:
        """Puts the replica where the next batch can find it. One that drains takes work only when no other is left."""
        if replica.state is ReplicaState.READY or not self.route.ready:
            full = any(batch.cut is Cut.ALONE for batch in replica.open.values())
            self._slots.place(replica, len(replica.open), 0 if full or replica.stalled else replica.credit)
            self._set_free_at(replica, self._free_at.get(replica, 0.0))
            self._set_due(replica)
        else:
            self.remove(replica)

    def remove(self, replica: Replica) -> None:
        """The replica gets nothing more."""
        self._slots.remove(replica)
        self._due.remove(replica)
        self._sum_free_at -= self._free_at.pop(replica, 0.0)

    def start(self, replica: Replica, batch: Batch, now: float) -> None:
        """The batch is sent to the replica."""
        if not replica.open:
            replica.running_since = now
        replica.open[batch.id] = batch
        replica.pace.sent(now, batch.device_seconds)
        self._set_free_at(replica, max(self._free_at.get(replica, 0.0), now) + batch.foretold_seconds)
        self.place(replica)

    def finish(
        self, replica: Replica, batch: Batch, succeeded: int, now: float, device_seconds: float | None = None
    ) -> None:
        """The batch was answered: its method has shown that it runs, and what it cost is learned.

        Not from a batch without any result: the worker may have given it up unread.
        """
        if succeeded:
            self._costs[batch.method.name].observe(batch.count, max(0.0, now - replica.running_since))
            if device_seconds is not None:
                self._device_costs[batch.method.name].observe(batch.count, device_seconds)
                replica.pace.learn(now - batch.sent_at - device_seconds)
        if quarantine := self.quarantines.get(batch.method.name):
            quarantine.success()
        replica.running_since = now
        del replica.open[batch.id]
        replica.pace.heard(now)
        for rest in replica.open.values():
            replica.pace.sent(rest.sent_at, rest.device_seconds)
        self._set_free_at(replica, now + sum(rest.foretold_seconds for rest in replica.open.values()))
        self.place(replica)

    def _set_free_at(self, replica: Replica, moment: float) -> None:
        self._sum_free_at += moment - self._free_at.get(replica, 0.0)
        self._free_at[replica] = moment

    def _set_due(self, replica: Replica) -> None:
        batches = replica.open.values()
        may_wait = self._just_in_time and replica.open and replica in self._slots and replica.pace.is_known
        if may_wait and all(batch.device_seconds for batch in batches):
            last = next(reversed(batches))
            margin = self._device_costs[last.method.name].deviation * last.device_seconds
            self._due.put(replica, replica.pace.free_at - margin)
        else:
            self._due.remove(replica)

    # --- what will be

    def late_by(self, method: MethodSpec, count: int, deadline: float, now: float) -> float:
        """By how many seconds a new request of `count` instances would miss its deadline; 0 when it can be in time.

        What finds an idle replica is always tried: so an estimate that is too high is mended.
        """
        cost = self._costs[method.name]
        own = self.batcher.queue(method)
        if not cost.is_known or (self._slots.idle() is not None and not own.waiting):
            return 0.0
        batches = math.ceil((own.waiting + count) / method.batch_size)
        last = own.waiting + count - (batches - 1) * method.batch_size
        before = (batches - 1) * cost.seconds(method.batch_size)
        for queue in self.batcher.others(own):
            size = queue.method.batch_size
            turns = min(batches, math.ceil(queue.waiting / size))  # methods take turns
            before += turns * self._costs[queue.method.name].seconds_if_known(min(size, queue.waiting))
        replicas = max(1, len(self._free_at))
        start = max(now, self._sum_free_at / replicas) + before / replicas
        return max(0.0, start + cost.seconds_with_margin(last) - deadline)

    def next_move(self, now: float) -> Move | None:
        """What to send next, and where; None while nothing waits or no replica has room."""
        self.held_until = None
        queue = self.batcher.next()
        if queue is None:
            return None
        alone = queue.next_runs_alone()
        replica = self._slots.idle() if alone else self._pick(queue, now)
        if replica is None:
            return None
        late: list[Request] = []
        if alone:
            spans, cut = queue.take(), Cut.ALONE
        else:
            spans, shortened = self._take_in_time(queue, replica, late, now)
            cut = Cut.DEADLINE if shortened else _why_no_larger(spans, queue, replica)
        if not spans and not late:
            return None
        self.batcher.end_turn(queue)
        return Move(replica, queue.method, spans, cut, late)

    def _pick(self, queue: MethodQueue, now: float) -> Replica | None:
        """Who gets the next batch now. None: nobody has room, or it stays here until `held_until`."""
        replica = self._slots.pick()
        if replica is None or self._due.get(replica) is None or not self._gains_by_waiting(queue):
            return replica
        soonest, due = self._due.first(), self._due.next()
        if due is None or due - now < _WORTH_SECONDS:
            return soonest
        self.held_until = due
        return None

    def _gains_by_waiting(self, queue: MethodQueue) -> bool:
        """Whether the next batch may become larger, and so cost less for each instance."""
        cost, most = self._device_costs[queue.method.name], queue.method.batch_size
        if queue.waiting >= most or not cost.is_known:
            return False
        return cost.fixed_seconds >= _LEAST_FIXED_SHARE * cost.seconds(queue.waiting)

    def _take_in_time(
        self, queue: MethodQueue, replica: Replica, late: list[Request], now: float
    ) -> tuple[list[Span], bool]:
        """The next batch, and whether it is shortened to be in time. `late` gets the requests that cannot be."""
        cost = self._costs[queue.method.name]
        while spans := queue.take():
            if not cost.is_known:
                break
            start = max(now, self._free_at[replica])
            count = count_instances(spans)
            finish = start + cost.seconds_with_margin(count)
            if finish <= min([span.request.deadline for span in spans]):
                break
            if replica.open:
                # Behind what runs there it is late. When that is done more will be known, and more be waiting.
                queue.put_back(spans)
                return [], False
            if count == 1 and not queue.waiting:
                break  # nobody else wants the device: try it
            missed = {spans[0].request: None}
            if queue.waiting:
                # More than a batch waits. A smaller one for the sake of the first would make all the others late.
                missed = {span.request: None for span in spans if span.request.deadline < finish}
            elif fit := _longest_in_time(cost, start, spans):
                front, rest = split(spans, fit)
                queue.put_back(rest)
                return front, True
            for request in missed:
                request.settle()
            late += missed
            queue.put_back(spans)  # but for what has been settled
        return spans, False


def _why_no_larger(spans: Sequence[Span], queue: MethodQueue, replica: Replica) -> Cut:
    """Of a batch that no deadline has shortened."""
    if count_instances(spans) == queue.method.batch_size:
        return Cut.FULL
    if queue.waiting:
        return Cut.BYTES
    return Cut.AHEAD if replica.open else Cut.IDLE


def _longest_in_time(cost: Cost, start: float, spans: Sequence[Span]) -> int:
    """How many instances from the front can run together so that each of them is in time."""
    fit, earliest = 0, math.inf
    for span in spans:
        earliest = min(earliest, span.request.deadline)
        most = cost.most_within(earliest - start)
        if most < fit + span.size:
            return max(fit, most)
        fit += span.size
    return fit
