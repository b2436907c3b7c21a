"""What was asked of each method of each version, and how long it took. Counters that only grow."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from mindspore_serving.cluster.batcher import Cut


@dataclass(slots=True)
class Duration:
    """How often something happened, and the sum of its durations."""

    count: int = 0
    seconds: float = 0.0

    def add(self, seconds: float, count: int = 1) -> None:
        self.count += count
        self.seconds += seconds


@dataclass(slots=True)
class Counters:
    """Of one method, or summed over several.

    An accepted request counts once, when it is answered: under `succeeded` when all its instances have results, else
    under `failed`; a cancelled one does not count. Its time in the queue ends when its first instance is sent to a
    worker; `computed` is what follows until the answer. An execution is a batch that a worker answered; each has one
    reason why it was no larger, so that `cuts` sum up to `executions`.
    """

    succeeded: Duration = field(default_factory=Duration)
    failed: Duration = field(default_factory=Duration)
    queued: Duration = field(default_factory=Duration)
    computed: Duration = field(default_factory=Duration)
    inferences: int = 0  # instances with a result
    executions: int = 0
    last_execution_at: float | None = None  # monotonic seconds
    batches: dict[int, Duration] = field(default_factory=dict)  # by size: from sent to answered
    cuts: dict[Cut, int] = field(default_factory=lambda: dict.fromkeys(Cut, 0))

    def request_answered(self, ok: bool, arrived_at: float, sent_at: float | None, now: float) -> None:
        (self.succeeded if ok else self.failed).add(now - arrived_at)
        if sent_at is not None:
            self.queued.add(sent_at - arrived_at)
            self.computed.add(now - sent_at)

    def batch_done(self, size: int, succeeded: int, cut: Cut, sent_at: float, now: float) -> None:
        self.inferences += succeeded
        self.executions += 1
        self.cuts[cut] += 1
        self.last_execution_at = now
        self.batches.setdefault(size, Duration()).add(now - sent_at)


class Statistics:
    """The counters of everything that was ever asked."""

    def __init__(self) -> None:
        self._counters: dict[tuple[str, int, str], Counters] = {}  # by servable, version, method

    def of(self, servable: str, version: int, method: str) -> Counters:
        """The counters to count in."""
        subject = (servable, version, method)
        counters = self._counters.get(subject)
        if counters is None:
            counters = self._counters[subject] = Counters()
        return counters

    def total(self, servable: str, version: int, methods: Iterable[str]) -> Counters:
        """A new sum over these methods."""
        total = Counters()
        moments = []
        for method in methods:
            one = self._counters.get((servable, version, method), Counters())
            for into, part in (
                (total.succeeded, one.succeeded),
                (total.failed, one.failed),
                (total.queued, one.queued),
                (total.computed, one.computed),
                *((total.batches.setdefault(size, Duration()), batch) for size, batch in one.batches.items()),
            ):
                into.add(part.seconds, part.count)
            total.inferences += one.inferences
            total.executions += one.executions
            for cut, count in one.cuts.items():
                total.cuts[cut] += count
            moments.append(one.last_execution_at)
        total.last_execution_at = max((moment for moment in moments if moment is not None), default=None)
        return total
