"""Costs that are measured on a machine which does other things too."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from mindspore_serving.worker.call_costs import LONG_SECONDS, rising, shortest


class Machine:
    """Its clock moves by what calls take: their own time, and more in a slow moment."""

    def __init__(self, slow: range) -> None:
        self.now = self.own = 0.0
        self.calls = 0
        self._slow = slow

    def clock(self) -> tuple[float, ...]:
        return (self.now,)

    def own_clock(self) -> tuple[float, ...]:
        """With the time that other processes did not have."""
        return self.now, self.own

    def call(self, seconds: float) -> Callable[[], object]:
        def work() -> None:
            self.now += seconds * (10 if self.calls in self._slow else 1)
            self.own += seconds
            self.calls += 1

        return work


def test_a_slow_moment_does_not_make_a_call_dear() -> None:
    machine = Machine(slow=range(4))  # the first round: two calls of each
    costs = shortest({1: machine.call(1e-3), 2: machine.call(2e-3)}, machine.clock)
    assert [round(seconds, 9) for seconds in costs.values()] == [1e-3, 2e-3]


def test_what_other_processes_take_does_not_count_on_a_cpu() -> None:
    machine = Machine(slow=range(1000))
    costs = shortest({1: machine.call(1e-3), 2: machine.call(2e-3)}, machine.own_clock)
    assert [round(seconds, 9) for seconds in costs.values()] == [1e-3, 2e-3]


def test_long_calls_are_measured_once() -> None:
    machine = Machine(slow=range(0))
    shortest({1: machine.call(1.01 * LONG_SECONDS)}, machine.clock)
    assert machine.calls == 1


@given(st.dictionaries(st.integers(1, 64), st.floats(1e-6, 1)))
def test_rising_costs_rise_and_are_never_above_what_was_measured(costs: dict[int, float]) -> None:
    found = rising(costs)
    assert found.keys() == costs.keys()
    assert list(found.values()) == sorted(found.values())
    assert all(found[size] <= costs[size] for size in costs)
