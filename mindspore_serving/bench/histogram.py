"""Latencies counted in buckets that are 1 % wide, from a microsecond up: small, and easy to add up over processes."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

_LOWEST_SECONDS = 1e-6
_GROWTH = math.log(1.01)


@dataclass(slots=True)
class Histogram:
    """Its size does not depend on how much was counted. A percentile is at most 1 % above the exact one."""

    buckets: dict[int, int] = field(default_factory=dict)
    count: int = 0
    total_seconds: float = 0.0
    max_seconds: float = 0.0

    def add(self, seconds: float) -> None:
        """Counts one latency."""
        bucket = math.ceil(math.log(seconds / _LOWEST_SECONDS) / _GROWTH) if seconds > _LOWEST_SECONDS else 0
        self.buckets[bucket] = self.buckets.get(bucket, 0) + 1
        self.count += 1
        self.total_seconds += seconds
        self.max_seconds = max(self.max_seconds, seconds)

    def merge(self, others: Iterable["Histogram"]) -> None:
        """Counts what the others have counted."""
        for other in others:
            for bucket, count in other.buckets.items():
                self.buckets[bucket] = self.buckets.get(bucket, 0) + count
            self.count += other.count
            self.total_seconds += other.total_seconds
            self.max_seconds = max(self.max_seconds, other.max_seconds)

    @property
    def mean_seconds(self) -> float:
        """0 when nothing was counted."""
        return self.total_seconds / self.count if self.count else 0.0

    def percentile(self, percent: float) -> float:
        """The seconds that `percent` of the latencies do not exceed; 0 when nothing was counted."""
        wanted = math.ceil(self.count * percent / 100)
        seen = 0
        for bucket in sorted(self.buckets):
            seen += self.buckets[bucket]
            if seen >= wanted:
                return min(_LOWEST_SECONDS * math.exp(bucket * _GROWTH), self.max_seconds)
        return self.max_seconds
