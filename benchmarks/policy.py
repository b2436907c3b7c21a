"""When should a batch leave? Just in time against send-when-idle, fixed delays and staggering, as curves.

    python -m benchmarks.policy [--quick] [--picture FILE]

Drives the real core (Dispatcher) in virtual time, so that nothing of this machine's load is in the figures. Requests of
one instance arrive as a Poisson process; a device call of n instances takes a + b * n, give or take NOISE. Delays and
staggering are a gate in front of the core, here and nowhere else.
"""

import argparse
import heapq
import itertools
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.curves import Panel, draw
from mindspore_serving.cluster.dispatch_events import (
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
from mindspore_serving.cluster.errors import Failure
from mindspore_serving.cluster.messages import BatchDone, MethodSpec, Register, RunBatch
from mindspore_serving.cluster.tensors import Stacked

BATCH = 32
LOADS = (0.02, 0.1, 0.3, 0.5, 0.7, 0.85, 0.95)  # of what the devices can do with full batches
REPLICAS = (1, 4)
REQUESTS = 3000
METHOD = MethodSpec("m", ("x",), ("y",), BATCH)
NOISE = 0.1  # standard deviation of a batch's seconds, as a share
SOON = 0.1  # what ends later, as leases and deadlines, does not matter here
FOR_EVER = 1e9
_X = Stacked("|u1", (1,), b"x")


@dataclass(frozen=True, slots=True)
class Law:
    """What a model's batch costs: fixed + each * n seconds on the device, and `transit` on the way there or back."""

    name: str
    fixed: float
    each: float
    transit: float

    def seconds(self, n: int) -> float:
        return self.fixed + self.each * n

    @property
    def capacity(self) -> float:
        """Instances a second that one device does with full batches."""
        return BATCH / self.seconds(BATCH)


# Measured on two cores with ONEDNN_MAX_CPU_ISA=AVX2, the engine alone: MLP 2.5 k instances/s at batch 1 and 44 k at 64,
# LeNet 1.9 k and 13.5 k, image 1 k at any batch. A ROUTER and a DEALER exchange 1 KB in 0.1 ms, an image in 0.8 ms.
LAWS = (
    Law("MLP", 383e-6, 16.7e-6, 50e-6),
    Law("LeNet", 459e-6, 67e-6, 50e-6),
    Law("image", 20e-6, 980e-6, 400e-6),
)


@dataclass(frozen=True, slots=True)
class Policy:
    """How many batches a replica may have open, and what holds requests back before the core sees them."""

    name: str
    window: int = 2
    just_in_time: bool = False  # what would wait behind a running batch leaves when that is nearly done
    delay: float = 0.0  # seconds that the oldest request waits for others, unless a batch is full before
    staggers: bool = False  # while some replicas are busy and others not, batches leave evenly spaced


PRODUCT = Policy("just in time", just_in_time=True)
POLICIES = (
    PRODUCT,
    Policy("idle, window 1", window=1),
    Policy("idle, window 2"),
    Policy("idle, window 3", window=3),
    Policy("delay 2 ms", delay=0.002),
    Policy("delay 5 ms", delay=0.005),
    Policy("delay 10 ms", delay=0.010),
    Policy("stagger", staggers=True),
)


@dataclass(slots=True)
class Outcome:
    """Seconds from each request's arrival to its answer, and the sizes of the batches."""

    latencies: list[float] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    @property
    def mean_milliseconds(self) -> float:
        return statistics.mean(self.latencies) * 1e3

    @property
    def p99_milliseconds(self) -> float:
        return sorted(self.latencies)[int(len(self.latencies) * 0.99)] * 1e3


class Run:
    """One policy under one load, in virtual time."""

    def __init__(self, law: Law, policy: Policy, replicas: int, noise: float = NOISE) -> None:
        self.outcome = Outcome()
        self._law, self._policy = law, policy
        self._now = 0.0
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._arrived_at: dict[int, float] = {}
        self._held: list[Arrival] = []  # by the gate
        self._left_at = -1.0  # when the gate last let something through
        self._free_at = {f"w{number}": 0.0 for number in range(replicas)}
        self._noise = noise
        self._chance = random.Random(2)
        self._tick_at: float | None = None
        limits = Limits(FOR_EVER, policy.window, policy.just_in_time, max_enqueued_requests=10**9)
        self._dispatcher = Dispatcher(limits)
        for name in self._free_at:
            self._feed(MessageReceived(name, Register(1, "s", 1, (METHOD,), "CPU:0", "h", 1, policy.window)))

    def play(self, load: float, requests: int, seed: int = 1) -> Outcome:
        """Requests at this share of the capacity; all are answered."""
        chance = random.Random(seed)
        rate = load * self._law.capacity * len(self._free_at)
        moment = 0.0
        for number in range(requests):
            moment += chance.expovariate(rate)
            self._at(moment, lambda number=number: self._arrive(number))  # type: ignore[misc]
        while self._agenda:
            self._now, _, action = heapq.heappop(self._agenda)
            action()
        assert len(self.outcome.latencies) == requests
        return self.outcome

    def _at(self, moment: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (moment, next(self._order), action))

    # --- the gate

    def _arrive(self, number: int) -> None:
        self._arrived_at[number] = self._now
        route, method = self._dispatcher.resolve("s", 0, "m")
        self._held.append(Arrival(number, 0, route, method, 1, (_X,), 1))
        self._open_gate()
        if self._held and (len(self._held) == 1 or self._policy.staggers):
            self._at(self._opens_at(), self._open_gate)

    def _open_gate(self) -> None:
        if self._held and (len(self._held) >= BATCH or self._now >= self._opens_at()):
            held, self._held, self._left_at = self._held, [], self._now
            self._feed(RequestsArrived(held))

    def _opens_at(self) -> float:
        if not self._policy.staggers:
            return self._arrived_at[self._held[0].request_id] + self._policy.delay
        busy = sum(moment > self._now for moment in self._free_at.values())
        if busy in (0, len(self._free_at)):
            return self._now
        return self._left_at + self._law.seconds(len(self._held)) / len(self._free_at)

    # --- the core, and devices

    def _feed(self, event: Event) -> None:
        for action in self._dispatcher.handle(event, self._now):
            if isinstance(action, Send) and isinstance(batch := action.message, RunBatch):
                self._run(action.worker_id, batch)
            elif isinstance(action, Answer):
                assert not isinstance(action.results, Failure)
                self.outcome.latencies.append(self._now - self._arrived_at[action.request_id])
        wakeup = self._dispatcher.next_wakeup()
        if self._policy.just_in_time and wakeup is not None and wakeup != self._tick_at and wakeup < self._now + SOON:
            self._tick_at = wakeup
            self._at(max(wakeup, self._now), lambda: self._feed(Tick()))
        self._open_gate()

    def _run(self, worker: str, batch: RunBatch) -> None:
        self.outcome.sizes.append(batch.count)
        start = max(self._now + self._law.transit, self._free_at[worker])
        seconds = self._law.seconds(batch.count) * max(0.5, self._chance.gauss(1.0, self._noise))
        self._free_at[worker] = start + seconds
        column = Stacked("|u1", (batch.count,), bytes(batch.count))
        done = BatchDone(batch.batch_id, (column,), device_seconds=seconds)
        heard_at = self._free_at[worker] + self._law.transit
        self._at(heard_at, lambda: self._feed(MessageReceived(worker, done)))


def compare(law: Law, replicas: int, loads: Sequence[float], requests: int) -> Panel:
    """Prints one table, and gives it as a panel of the picture."""
    print(f"\n**{law.name}**, {replicas} replica{'s' if replicas > 1 else ''}: {law.fixed * 1e3:.2f} + ", end="")
    print(f"{law.each * 1e3:.3f} n ms; mean / p99 in ms, mean size of a batch\n")
    print("| policy | " + " | ".join(f"{load:.0%}" for load in loads) + " |")
    print("|---|" + "---|" * len(loads))
    curves = {}
    for policy in POLICIES:
        if policy.staggers and replicas == 1:
            continue  # nothing to stagger
        found = [Run(law, policy, replicas).play(load, requests) for load in loads]
        curves[policy.name] = [outcome.mean_milliseconds for outcome in found]
        cells = [
            f"{one.mean_milliseconds:.2f} / {one.p99_milliseconds:.2f}, {statistics.mean(one.sizes):.1f}"
            for one in found
        ]
        print(f"| {policy.name} | " + " | ".join(cells) + " |", flush=True)
    title = f"{law.name}, {replicas} replica{'s' if replicas > 1 else ''}: mean ms against load"
    return Panel(title, tuple(f"{load:.0%}" for load in loads), curves)


def print_regrets(panels: Sequence[Panel]) -> None:
    """How much slower each policy is than the best one of the same model, replicas and load."""
    print("\nmean latency, as a multiple of that of the best policy for this model and load\n")
    print("| policy | geometric mean | worst |\n|---|---|---|")
    for policy in POLICIES:
        ratios = [
            panel.curves[policy.name][at] / min(curve[at] for curve in panel.curves.values())
            for panel in panels
            if policy.name in panel.curves
            for at in range(len(panel.marks))
        ]
        print(f"| {policy.name} | {statistics.geometric_mean(ratios):.2f} | {max(ratios):.2f} |")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.policy", description="When should a batch leave?")
    parser.add_argument("--quick", action="store_true", help="three loads, and a tenth of the requests")
    parser.add_argument("--picture", type=Path, help="also draws the curves into this SVG file")
    asked = parser.parse_args(arguments)
    loads, requests = ((0.02, 0.5, 0.95), REQUESTS // 10) if asked.quick else (LOADS, REQUESTS)
    panels = [compare(law, replicas, loads, requests) for law in LAWS for replicas in REPLICAS]
    print_regrets(panels)
    if asked.picture:
        asked.picture.parent.mkdir(parents=True, exist_ok=True)
        asked.picture.write_text(draw(panels))


if __name__ == "__main__":
    main()
