"""What the rounds have found: a cell for each workload, load and peer; medians and ratios; tables and JSON."""

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

ORIGINAL = "original"
BUSY_SHARE = 0.8  # of a core: h2load has one thread


class Load(NamedTuple):
    """What every peer was given alike."""

    workload: str
    instances: int
    callers: int


@dataclass(frozen=True, slots=True)
class Round:
    """One measurement of one peer. CPU microseconds are a request's; `load_cpu_share` is the load's own, of a core."""

    requests_per_second: float
    mean_milliseconds: float
    p50_milliseconds: float
    p99_milliseconds: float
    master_cpu_microseconds: float
    worker_cpu_microseconds: float
    load_cpu_share: float
    errors: int


@dataclass(slots=True)
class Findings:
    """Rounds by load and peer. `echoes` are the peers that compute nothing."""

    peers: Sequence[str]
    echoes: frozenset[str]
    rounds: dict[tuple[Load, str], list[Round]] = field(default_factory=dict)

    def add(self, load: Load, peer: str, found: Round) -> None:
        self.rounds.setdefault((load, peer), []).append(found)

    def loads(self) -> list[Load]:
        """In the order in which they were measured first."""
        return list(dict.fromkeys(load for load, _ in self.rounds))

    def median(self, load: Load, peer: str, of: Callable[[Round], float]) -> float | None:
        """Over the rounds; None: not measured."""
        found = self.rounds.get((load, peer))
        return None if not found else statistics.median(map(of, found))

    def rate(self, load: Load, peer: str) -> float | None:
        """The median of requests a second."""
        return self.median(load, peer, lambda found: found.requests_per_second)

    @property
    def errors(self) -> int:
        """Calls that failed or got a wrong reply, over all rounds."""
        return sum(found.errors for rounds in self.rounds.values() for found in rounds)

    def baseline(self) -> str | None:
        """The peer that ratios are made against: the original if it ran, else the first that computes something."""
        if ORIGINAL in self.peers:
            return ORIGINAL
        return next((peer for peer in self.peers if peer not in self.echoes), None)

    def ratio(self, load: Load, peer: str) -> float | None:
        """The median, over the rounds, of the peer's rate against the baseline's in the same round; None for echoes."""
        baseline = self.baseline()
        if baseline is None or peer in self.echoes:
            return None
        pairs = zip(self.rounds.get((load, peer), ()), self.rounds.get((load, baseline), ()), strict=False)
        ratios = [
            one.requests_per_second / other.requests_per_second for one, other in pairs if other.requests_per_second
        ]
        return statistics.median(ratios) if ratios else None

    def as_json(self) -> list[dict[str, Any]]:
        """One object a cell, with every round."""
        return [
            {**load._asdict(), "peer": peer, "ratio": self.ratio(load, peer), "rounds": [asdict(one) for one in rounds]}
            for (load, peer), rounds in self.rounds.items()
        ]

    def notes(self) -> Iterator[str]:
        """Where the load had no time left, a server may be faster than its rate."""
        for load, peer in self.rounds:
            share = self.median(load, peer, lambda found: found.load_cpu_share)
            if share is not None and share > BUSY_SHARE:
                yield (
                    f"note: {load.workload}, {load.instances} instances, {load.callers} callers: the load took "
                    f"{share:.0%} of a core, and may be what bounds {peer}"
                )

    def tables(self) -> Iterator[str]:
        """A Markdown table for each workload and number of instances."""
        groups = dict.fromkeys((load.workload, load.instances) for load in self.loads())
        for workload, instances in groups:
            plural = "s" if instances > 1 else ""
            yield "\n".join(
                [
                    f"**{workload}**, {instances} instance{plural} a request",
                    "",
                    f"| callers | server | requests/s (median, rounds) | against {self.baseline()} "
                    "| mean ms | p50 ms | p99 ms | CPU us a request: master + worker |",
                    "|---|---|---|---|---|---|---|---|",
                    *self._lines(workload, instances),
                ]
            )

    def _lines(self, workload: str, instances: int) -> Iterator[str]:
        for load in self.loads():
            if (load.workload, load.instances) != (workload, instances):
                continue
            for peer in self.peers:
                rounds = self.rounds.get((load, peer))
                if rounds:
                    yield self._line(load, peer, rounds)

    def _line(self, load: Load, peer: str, rounds: Sequence[Round]) -> str:
        def median(of: Callable[[Round], float]) -> float:
            return statistics.median(map(of, rounds))

        rates = [found.requests_per_second for found in rounds]
        ratio = self.ratio(load, peer)
        cpu = f"{median(lambda r: r.master_cpu_microseconds):.0f}"
        if peer not in self.echoes:
            cpu += f" + {median(lambda r: r.worker_cpu_microseconds):.0f}"
        return (
            f"| {load.callers} | {peer} | {median(lambda r: r.requests_per_second):.0f} "
            f"({min(rates):.0f}-{max(rates):.0f}) | {'' if ratio is None else f'{ratio:.2f}'} "
            f"| {median(lambda r: r.mean_milliseconds):.2f} | {median(lambda r: r.p50_milliseconds):.2f} "
            f"| {median(lambda r: r.p99_milliseconds):.2f} | {cpu} |"
        )
