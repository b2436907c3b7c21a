"""Whether something grows that should not: trends of samples, and the bounds of a soak. Pure."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WARM_UP_SHARE = 0.25  # of the samples, which are left out: caches fill, each thread takes its arena


@dataclass(frozen=True, slots=True)
class Bound:
    """What a quantity may grow by from the first third of the samples to the last, in units or as a share of it."""

    unit: str
    growth: float
    share: float = 0.0


# Memory: two batches of up to 8 MB an instance come and go; a leak of 1 KB a call is above this within minutes.
BOUNDS: Mapping[str, Bound] = {
    "rss": Bound("MB", 16.0, 0.10),
    "fds": Bound("", 3.0),
    "threads": Bound("", 2.0),
    "shm": Bound("", 0.0),
}


@dataclass(frozen=True, slots=True)
class Trend:
    """A quantity of one process over time. slope: units a minute, by least squares."""

    who: str
    quantity: str
    first: float
    last: float
    slope: float

    @property
    def is_flat(self) -> bool:
        """Whether it keeps within its bound."""
        bound = BOUNDS[self.quantity]
        return self.last - self.first <= max(bound.growth, bound.share * self.first)

    def __str__(self) -> str:
        unit = BOUNDS[self.quantity].unit
        numbers = f"{self.first:9.1f} {self.last:9.1f} {self.slope:+9.2f}"
        return f"{self.who:10} {self.quantity:8} {numbers} {unit:2}/min  {'flat' if self.is_flat else 'GROWS'}"


def trend(who: str, quantity: str, samples: Sequence[tuple[float, float]]) -> Trend:
    """The trend of (seconds, value) samples, six at least, without those of the warm-up."""
    kept = samples[int(len(samples) * WARM_UP_SHARE) :]
    third = max(1, len(kept) // 3)
    minutes, values = [at / 60 for at, _ in kept], [value for _, value in kept]
    slope = statistics.linear_regression(minutes, values).slope
    return Trend(who, quantity, statistics.median(values[:third]), statistics.median(values[-third:]), slope)
