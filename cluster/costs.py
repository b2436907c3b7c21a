"""What a batch costs a device: seconds(n) = a + b * n, learned from the batches that were run.

Least squares over the past, in which each batch weighs a little less than the one after it.
"""

import math
from typing import Final

MEMORY: Final = 0.98  # weight of the past at each new batch: about the last 50 count
MIN_BATCHES: Final = 3  # before that nothing is foretold
# A batch that took longer than so many times the foretold seconds counts as that: one hiccup teaches little, while a
# device that has really become slower is followed within a few batches.
_MOST_SURPRISE: Final = 4.0
_LEAST_MARGIN: Final = 0.05
_MOST_MARGIN: Final = 1.0


class Cost:
    """The cost of one method's batches, and how far single batches are from it."""

    def __init__(self) -> None:
        self.batches = 0
        self._weight = self._n = self._n2 = self._t = self._nt = 0.0
        self._error2 = 0.0

    @property
    def is_known(self) -> bool:
        """Whether seconds() may be asked."""
        return self.batches >= MIN_BATCHES

    def observe(self, n: int, seconds: float) -> None:
        """A batch of n instances took so long."""
        if self.is_known:
            foretold = max(self.seconds(n), 1e-6)
            seconds = min(seconds, _MOST_SURPRISE * foretold)
            self._error2 = MEMORY * self._error2 + (1 - MEMORY) * (seconds / foretold - 1) ** 2
        self.batches += 1
        self._weight = MEMORY * self._weight + 1
        self._n = MEMORY * self._n + n
        self._n2 = MEMORY * self._n2 + n * n
        self._t = MEMORY * self._t + seconds
        self._nt = MEMORY * self._nt + n * seconds

    def seconds(self, n: int) -> float:
        """What a batch of n instances will take."""
        a, b = self._line()
        return a + b * n

    def seconds_if_known(self, n: int) -> float:
        """What a batch of n instances will take; 0 while that is unknown."""
        return self.seconds(n) if self.is_known else 0.0

    @property
    def fixed_seconds(self) -> float:
        """What a batch of any size takes."""
        a, _ = self._line()
        return a

    def seconds_with_margin(self, n: int) -> float:
        """What a batch of n instances will hardly exceed: one and a half standard deviations more."""
        return self.seconds(n) * (1 + self.margin)

    @property
    def margin(self) -> float:
        """One and a half standard deviations of the seconds of single batches, as a share of what was foretold."""
        return min(_MOST_MARGIN, max(_LEAST_MARGIN, 1.5 * self.deviation))

    @property
    def deviation(self) -> float:
        """One standard deviation of the seconds of single batches, as a share of what was foretold."""
        return math.sqrt(self._error2)

    def most_within(self, seconds: float) -> int:
        """The largest batch that will hardly take longer than this; 0 when none is small enough."""
        a, b = self._line()
        left = seconds / (1 + self.margin) - a
        if left < b:
            return 0
        return int(left / b) if b > 0 else 1 << 30

    def _line(self) -> tuple[float, float]:
        spread = self._weight * self._n2 - self._n * self._n
        mean_n, mean_t = self._n / self._weight, self._t / self._weight
        if spread <= 1e-9 * self._n2 * self._weight:
            # All batches were equally large. Half of it is taken for the share of the instances.
            b = mean_t / (2 * mean_n)
        else:
            b = min(max(0.0, (self._weight * self._nt - self._n * self._t) / spread), mean_t / mean_n)
        return mean_t - b * mean_n, b
