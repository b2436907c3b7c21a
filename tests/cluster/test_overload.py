"""More load than a device can take: what cannot be in time is refused early, and no method starves another.

The numbers of the load tests are those of the study in the project's notes: S(n) = 4 ms + 0.5 ms * n, batches of 32.
"""

import heapq
import random
from dataclasses import dataclass

import pytest

from mindspore_serving.cluster.costs import Cost
from mindspore_serving.cluster.dispatch_events import (
    Action,
    Answer,
    Arrival,
    Event,
    Limits,
    MessageReceived,
    RequestsArrived,
    Send,
    Tick,
)
from mindspore_serving.cluster.dispatcher import Dispatcher
from mindspore_serving.cluster.errors import Code, Failure
from mindspore_serving.cluster.messages import BatchDone, Heartbeat, MethodSpec, Register, RunBatch
from mindspore_serving.cluster.tensors import Stacked

FIXED_SECONDS, SECONDS_EACH, BATCH = 0.004, 0.0005, 32
CAPACITY = BATCH / (FIXED_SECONDS + BATCH * SECONDS_EACH)  # instances a second
X = Stacked("|u1", (1,), b"x")


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_the_cost_of_a_batch_is_learned(noise: float) -> None:
    chance = random.Random(1)
    cost = Cost()
    assert not cost.is_known and cost.seconds_if_known(3) == 0.0
    for _ in range(100):
        n = chance.randrange(1, 33)
        cost.observe(n, (0.004 + 0.0005 * n) * chance.gauss(1.0, noise))
    assert cost.seconds(1) == pytest.approx(0.0045, rel=0.3)
    assert cost.seconds(32) == pytest.approx(0.020, rel=0.1)
    assert cost.margin == pytest.approx(max(0.05, 1.5 * noise), abs=0.1)


def test_batches_of_one_size_foretell_others_without_extremes() -> None:
    cost = Cost()
    for _ in range(5):
        cost.observe(8, 0.08)
    assert cost.seconds(8) == pytest.approx(0.08)
    assert 0.0 < cost.seconds(1) < 0.08 < cost.seconds(16) < 0.16


def test_one_hiccup_teaches_little_and_a_slower_device_is_followed() -> None:
    cost = Cost()
    for _ in range(50):
        cost.observe(4, 0.01)
    cost.observe(4, 60.0)
    assert cost.seconds(4) < 0.02
    for _ in range(100):
        cost.observe(4, 1.0)
    assert cost.seconds(4) > 0.7


@dataclass
class Outcome:
    """Counts of requests, and how long those that were answered in time had waited at most."""

    offered: int = 0
    in_time: int = 0
    late: int = 0  # a result came, but after its deadline
    refused: int = 0
    refused_after: float = 0.0  # seconds, of the slowest refusal


class Load:
    """One dispatcher under a stream of requests in virtual time, and replicas that take S(n) for a batch."""

    def __init__(self, seed: int, noise: float, replicas: int = 1) -> None:
        self.chance = random.Random(seed)
        self.noise = noise
        self.now = 0.0
        self.dispatcher = Dispatcher(Limits())
        self.outcome = Outcome()
        self.most_waiting = 0
        self._agenda: list[tuple[float, int, Event]] = []
        self._count = 0
        self._alarm = -1.0
        self._free_at: dict[str, float] = {}
        self._callers: dict[int, tuple[float, float]] = {}
        spec = MethodSpec("m", ("x",), ("y",), BATCH)
        for number in range(replicas):
            self._feed(MessageReceived(f"w{number}", Register(1, "s", 1, (spec,), "CPU:0", "h", 1)))

    def run(self, rate: float, seconds: float, objective: float) -> Outcome:
        moment = 0.0
        while (moment := moment + self.chance.expovariate(rate)) < seconds:
            route, spec = self.dispatcher.resolve("s", 0, "m")
            self._count += 1
            deadline = moment + objective
            self._callers[self._count] = (moment, deadline)
            arrival = Arrival(self._count, 0, route, spec, 1, (X,), 1, deadline)
            self._at(moment, RequestsArrived([arrival]))
        for beat in range(int(seconds) + 1):
            for name in list(self._free_at) or ["w0"]:
                self._at(float(beat), MessageReceived(name, Heartbeat()))
        while self._agenda:
            self.now, _, event = heapq.heappop(self._agenda)
            if isinstance(event, Tick):
                self._alarm = -1.0
            self._feed(event)
            self.most_waiting = max(self.most_waiting, self.dispatcher.open_requests)
        self.outcome.offered = len(self._callers)
        return self.outcome

    def _at(self, moment: float, event: Event) -> None:
        self._count += 1
        heapq.heappush(self._agenda, (moment, self._count, event))

    def _feed(self, event: Event) -> None:
        for action in self.dispatcher.handle(event, self.now):
            self._carry_out(action)
        wakeup = self.dispatcher.next_wakeup()
        if wakeup is not None and self.dispatcher.open_requests and not self.now <= self._alarm <= wakeup:
            self._alarm = max(wakeup, self.now)
            self._at(self._alarm, Tick())

    def _carry_out(self, action: Action) -> None:
        if isinstance(action, Send) and isinstance(batch := action.message, RunBatch):
            seconds = FIXED_SECONDS + SECONDS_EACH * batch.count
            seconds *= max(0.2, self.chance.gauss(1.0, self.noise))
            done_at = max(self.now, self._free_at.get(action.worker_id, 0.0)) + seconds
            self._free_at[action.worker_id] = done_at
            done = BatchDone(batch.batch_id, (Stacked("|u1", (batch.count,), bytes(batch.count)),))
            self._at(done_at, MessageReceived(action.worker_id, done))
        elif isinstance(action, Answer):
            arrived_at, deadline = self._callers[action.request_id]
            if isinstance(action.results, Failure):
                self.outcome.refused += 1
                self.outcome.refused_after = max(self.outcome.refused_after, self.now - arrived_at)
            elif self.now <= deadline:
                self.outcome.in_time += 1
            else:
                self.outcome.late += 1


@pytest.mark.parametrize("overload, noise, replicas", [(1.5, 0.1, 1), (3.0, 0.1, 1), (1.5, 0.0, 3), (3.0, 0.1, 3)])
def test_under_overload_the_device_does_nothing_but_useful_work(overload: float, noise: float, replicas: int) -> None:
    seconds = 5.0
    load = Load(7, noise, replicas)
    outcome = load.run(overload * CAPACITY * replicas, seconds, objective=0.05)
    goodput = outcome.in_time / seconds / (CAPACITY * replicas)
    assert goodput >= 0.95, outcome
    assert outcome.late <= 0.02 * outcome.offered, outcome
    assert outcome.refused_after <= 0.051, outcome
    assert load.most_waiting < 0.1 * CAPACITY * replicas, "the queue is longer than its objective"


def test_below_capacity_hardly_anything_is_refused() -> None:
    outcome = Load(3, 0.1).run(0.6 * CAPACITY, 8.0, objective=0.06)
    assert outcome.in_time >= 0.98 * outcome.offered, outcome


def test_an_estimate_that_is_too_high_is_mended_by_requests_that_find_an_idle_replica() -> None:
    load = Load(5, 0.0)
    (lane,) = load.dispatcher._board.lanes.values()
    for _ in range(20):
        lane.cost("m").observe(1, 3.0)  # the device was busy with something else
    outcome = load.run(0.5 * CAPACITY, 4.0, objective=0.05)
    assert outcome.in_time >= 0.7 * outcome.offered, outcome


def test_a_refusal_says_how_long_to_wait() -> None:
    load = Load(5, 0.0)
    load.run(3 * CAPACITY, 2.0, objective=0.05)
    route, spec = load.dispatcher.resolve("s", 0, "m")
    burst = [Arrival(10**6 + i, 0, route, spec, 1, (X,), 1, load.now + 0.05) for i in range(500)]
    answers = [a for a in load.dispatcher.handle(RequestsArrived(burst), load.now) if isinstance(a, Answer)]
    refusals = [answer.results for answer in answers if isinstance(answer.results, Failure)]
    assert len(refusals) > 300
    for failure in refusals:
        assert failure.code is Code.WOULD_BE_LATE and failure.retry_seconds is not None and failure.retry_seconds > 0
        assert f"too busy to be in time: try again in {failure.retry_seconds:.3f} s" in failure.text


def test_a_flooded_method_gives_way_to_another() -> None:
    methods = (MethodSpec("flood", ("x",), ("y",), 1), MethodSpec("calm", ("x",), ("y",), 1))
    dispatcher = Dispatcher(Limits(max_enqueued_requests=20))
    dispatcher.handle(MessageReceived("w", Register(1, "s", 1, methods, "CPU:0", "h", 1)), 0.0)

    def ask(number: int, method: str) -> list[Action]:
        route, spec = dispatcher.resolve("s", 0, method)
        return dispatcher.handle(RequestsArrived([Arrival(number, 0, route, spec, 1, (X,), 1)]), 0.0)

    for number in range(20):
        ask(number, "flood")
    (refused,) = ask(100, "flood")
    assert isinstance(refused, Answer) and refused.request_id == 100
    (pushed_out,) = ask(101, "calm")
    assert isinstance(pushed_out, Answer) and pushed_out.request_id == 19
    assert isinstance(pushed_out.results, Failure) and pushed_out.results.code is Code.TOO_MANY_REQUESTS
    # And it runs in its turn, not after the flood.
    (run,) = [
        action.message.method
        for action in dispatcher.handle(MessageReceived("w", BatchDone(1, (Stacked("|u1", (1,), b"y"),))), 0.0)
        if isinstance(action, Send) and isinstance(action.message, RunBatch)
    ][-1:]
    assert run in ("flood", "calm")
    ran = [run]
    for batch_id in (2, 3):
        ran += [
            action.message.method
            for action in dispatcher.handle(
                MessageReceived("w", BatchDone(batch_id, (Stacked("|u1", (1,), b"y"),))), 0.0
            )
            if isinstance(action, Send) and isinstance(action.message, RunBatch)
        ]
    assert "calm" in ran[:2]
