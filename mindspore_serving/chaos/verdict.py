"""What became of the calls and of the cluster, as lines for people and as JSON. Pure."""

import bisect
import itertools
import json
import math
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from mindspore_serving.chaos.checked_calls import Order, Outcome, Patience

SHOWN_TEXTS = 5


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One call as its client saw it. Moments are monotonic seconds, of one clock for all processes of the machine."""

    started_at: float
    ended_at: float
    outcome: Outcome
    patience: Patience
    order: Order
    instances: int
    nbytes: int
    foreign: int = 0
    text: str = ""

    def as_json(self) -> str:
        """One line."""
        names = {"outcome": self.outcome.value, "patience": self.patience.value, "order": self.order.name}
        return json.dumps({**asdict(self), **names})

    @classmethod
    def from_json(cls, line: str) -> "CallRecord":
        """What as_json wrote."""
        fields = json.loads(line)
        fields["outcome"] = Outcome(fields["outcome"])
        fields["patience"] = Patience(fields["patience"])
        fields["order"] = Order[fields["order"]]
        return cls(**fields)


@dataclass(frozen=True, slots=True)
class ClusterRecord:
    """What happened to the processes.

    noticed_seconds: from each kill -9 of a worker to the master's word of it. opened_at: when masters that were started
    again opened their doors. registered_seconds: from such a moment to the return of each worker that nothing else
    disturbed.
    """

    masters: int
    workers: int
    faults: Mapping[str, int]
    worker_starts: int
    master_starts: int
    batches_moved: int
    poison_deaths: int
    noticed_seconds: Sequence[float]
    opened_at: Sequence[float]
    registered_seconds: Sequence[float]
    troubles: Sequence[str]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The figures of a run. Seconds; `gap` is the longest time without any right answer.

    answered_again_seconds: from each opening of a restarted master to the next right answer of any; not if it was ended
    again before.
    """

    seed: int
    seconds: float
    calls: Mapping[str, int]
    instances: int
    megabytes: float
    duplicated: int
    p50_seconds: float
    p99_seconds: float
    slowest_seconds: float
    gap_seconds: float
    answered_again_seconds: Sequence[float]
    cluster: ClusterRecord
    texts: Mapping[str, int]

    @property
    def passed(self) -> bool:
        """Nothing lost, nothing wrong, no answer twice, and the cluster was whole again after each fault."""
        bad = self.calls[Outcome.LOST.value] + self.calls[Outcome.WRONG.value] + self.duplicated
        return not bad and not self.cluster.troubles and self.calls[Outcome.RIGHT.value] > 0

    def as_json(self) -> str:
        """Everything, for other programs."""
        return json.dumps({**asdict(self), "passed": self.passed}, indent=2)

    def lines(self) -> list[str]:
        """For people."""
        calls, cluster = self.calls, self.cluster
        faults = ", ".join(f"{name} {count}" for name, count in sorted(cluster.faults.items())) or "none"
        lines = [
            *_wrapped(
                f"calls       {sum(calls.values())} in {self.seconds:.1f} s ({self.instances} instances, "
                f"{self.megabytes:.0f} MB each way): " + ", ".join(f"{name} {count}" for name, count in calls.items())
            ),
            *_wrapped(f"faults      {sum(cluster.faults.values())}: {faults}"),
            f"lost        {calls[Outcome.LOST.value]}",
            f"wrong       {calls[Outcome.WRONG.value]}",
            f"duplicated  {self.duplicated}",
            f"latency     p50 {_ms(self.p50_seconds)}, p99 {_ms(self.p99_seconds)}, "
            f"slowest {_ms(self.slowest_seconds)}",
            f"longest gap {_ms(self.gap_seconds)} without an answer",
            f"restarts    workers {cluster.worker_starts - cluster.workers}, "
            f"masters {cluster.master_starts - cluster.masters}; {cluster.batches_moved} batches moved to others",
        ]
        if cluster.noticed_seconds:
            lines.append(f"kill -9     noticed after {_spread(cluster.noticed_seconds)}")
        if cluster.registered_seconds:
            lines.append(f"master back workers registered again after {_spread(cluster.registered_seconds)}")
        if self.answered_again_seconds:
            lines.append(f"            the next answer came after {_spread(self.answered_again_seconds)}")
        if cluster.poison_deaths:
            lines.append(
                f"poison      {cluster.poison_deaths} workers died of {calls[Outcome.ISOLATED.value]} instances"
            )
        lines += [f"trouble     {text}" for text in cluster.troubles]
        lines += [f"{count:5} times: {text}" for text, count in list(self.texts.items())[:SHOWN_TEXTS]]
        lines.append(f"{'passed' if self.passed else 'FAILED'}, seed {self.seed}")
        return lines


def judge(records: Iterable[CallRecord], cluster: ClusterRecord, seed: int, seconds: float) -> Verdict:
    """The verdict over these calls. Latencies are those of callers who waited as long as it took."""
    records = list(records)
    counts = Counter(record.outcome for record in records)
    answered = sorted(record.ended_at for record in records if record.outcome is Outcome.RIGHT)
    waits = sorted(
        record.ended_at - record.started_at
        for record in records
        if record.outcome is Outcome.RIGHT and record.patience is Patience.PATIENT
    )
    texts = Counter(
        f"{record.outcome.value}: {record.text}"
        for record in records
        if record.outcome in (Outcome.LOST, Outcome.WRONG)
    )
    first = min((record.started_at for record in records), default=0.0)
    return Verdict(
        seed=seed,
        seconds=seconds,
        calls={outcome.value: counts[outcome] for outcome in Outcome},
        instances=sum(record.instances for record in records),
        megabytes=sum(record.nbytes for record in records) / (1 << 20),
        duplicated=sum(record.foreign for record in records),
        p50_seconds=percentile(waits, 50),
        p99_seconds=percentile(waits, 99),
        slowest_seconds=percentile(waits, 100),
        gap_seconds=max((b - a for a, b in itertools.pairwise([first, *answered])), default=0.0),
        answered_again_seconds=_answered_again(cluster.opened_at, answered),
        cluster=cluster,
        texts=dict(texts.most_common()),
    )


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The smallest value that so many per cent of the values do not exceed; 0.0 of none."""
    if not ordered:
        return 0.0
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def _answered_again(opened_at: Sequence[float], answered: Sequence[float]) -> list[float]:
    """Both in order."""
    waits = []
    for moment, next_opening in itertools.pairwise([*opened_at, math.inf]):
        place = bisect.bisect(answered, moment)
        if place < len(answered) and answered[place] < next_opening:
            waits.append(answered[place] - moment)
    return waits


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, 110, subsequent_indent=" " * 12, break_on_hyphens=False)


def _spread(seconds: Sequence[float]) -> str:
    ordered = sorted(seconds)
    return f"p50 {_ms(percentile(ordered, 50))}, at most {_ms(ordered[-1])} ({len(ordered)} times)"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"
