"""Whether something grows that should not: trends of samples, and the bounds of a soak. Pure.

What counts is the floor: the lowest sample of each of a few stretches of time. Calls that are under way take memory and
descriptors, more or less of them at any moment, and give them back: the floor is what stays. A leak raises it for ever;
a cache that fills up raises it for a while, and less and less.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

WARM_UP_SHARE = 0.25  # of the samples, which are left out
STRETCHES = 9  # of what is left; the first three are compared with the last three


@dataclass(frozen=True, slots=True)
class Bound:
    """What the floor of a quantity may rise by, from the first third of the time to the last."""

    unit: str
    growth: float


# Memory: NumPy keeps freed arrays of less than 1 KB, 7 of each size, 3.6 MB in all; Python 2000 tuples of each length.
# Both fill up within the first tens of thousands of calls, most of it within the warm-up. A leak of 1 KB a call is
# 1.5 MB a minute at the soak's rate: more than this after five minutes.
BOUNDS: Mapping[str, Bound] = {
    "memory": Bound("MB", 3.0),
    "fds": Bound("", 3.0),
    "threads": Bound("", 2.0),
    "shm": Bound("", 0.0),
}


@dataclass(frozen=True, slots=True)
class Trend:
    """The floor of a quantity of one process over time. slope: units a minute in the second half, by least squares."""

    who: str
    quantity: str
    first: float
    last: float
    slope: float

    @property
    def is_flat(self) -> bool:
        """Whether it keeps within its bound."""
        return self.last - self.first <= BOUNDS[self.quantity].growth

    def __str__(self) -> str:
        unit = BOUNDS[self.quantity].unit
        numbers = f"{self.first:9.1f} {self.last:9.1f} {self.slope:+9.2f}"
        return f"{self.who:10} {self.quantity:8} {numbers} {unit:2}/min  {'flat' if self.is_flat else 'GROWS'}"


def trend(who: str, quantity: str, samples: Sequence[tuple[float, float]]) -> Trend:
    """The trend of (seconds, value) samples, twelve at least, without those of the warm-up."""
    kept = samples[int(len(samples) * WARM_UP_SHARE) :]
    cuts = [len(kept) * number // STRETCHES for number in range(STRETCHES + 1)]
    floors = [min(kept[start:stop], key=_value) for start, stop in pairwise(cuts)]
    third = STRETCHES // 3
    late = floors[STRETCHES // 2 :]
    slope = statistics.linear_regression([at / 60 for at, _ in late], [value for _, value in late]).slope
    first, last = (statistics.median(map(_value, part)) for part in (floors[:third], floors[-third:]))
    return Trend(who, quantity, first, last, slope)


def _value(sample: tuple[float, float]) -> float:
    return sample[1]
