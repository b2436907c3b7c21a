"""Which calls a number of instances is best cut into, from what a call of each size costs: measured at load.

A call of 4 and one of 1 may cost less than a call of 8 that is filled up with copies, or than one of 5 that a graph for
any size runs.
"""

from collections.abc import Mapping

_WORTH = 0.9  # what several calls may cost at most of what one costs: measuring is not exact


class BatchPlan:
    """costs: seconds of a call at each size that the model runs at. fill: a call may be filled up to a larger size."""

    def __init__(self, costs: Mapping[int, float], *, fill: bool) -> None:
        self._sizes = sorted(costs)
        self.most = self._sizes[-1]
        self._fit: list[int] = [0]  # by number of instances: the size of the one call that is cheapest
        self._take: list[int] = [0]  # and how many of them the first call had better take
        best = [0.0]
        for count in range(1, self.most + 1):
            fit = min((size for size in self._sizes if size >= count), key=costs.__getitem__) if fill else count
            seconds, take = costs[fit], count
            for size in reversed(self._sizes):
                if size < count and costs[size] + best[count - size] < min(seconds, _WORTH * costs[fit]):
                    seconds, take = costs[size] + best[count - size], size
            self._fit.append(fit)
            self._take.append(take)
            best.append(seconds)

    def fit(self, count: int) -> int:
        """The size at which one call runs so many instances, at most `most`."""
        return self._fit[count]

    def cut(self, count: int) -> list[int]:
        """How many instances each call takes."""
        calls = [self.most] * (count // self.most)
        rest = count % self.most
        while rest:
            calls.append(self._take[rest])
            rest -= calls[-1]
        return calls
