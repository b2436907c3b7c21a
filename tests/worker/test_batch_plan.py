"""How instances are cut into calls: all of them, in sizes that exist, and never dearer than the plain way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindspore_serving.worker.batch_plan import BatchPlan

seconds = st.floats(1e-6, 10)
ladders = st.dictionaries(st.sampled_from([1, 2, 4, 8, 16, 32]), seconds, min_size=1)
open_batches = st.lists(seconds, min_size=1, max_size=20).map(lambda costs: dict(enumerate(costs, 1)))


@pytest.mark.parametrize(
    "costs, count, calls",
    [
        ({1: 1.0, 4: 2.0, 8: 8.0}, 5, [4, 1]),  # 3 against a filled up 8
        ({1: 1.0, 4: 2.0, 8: 2.9}, 5, [5]),  # less than a tenth is not worth a second call
        ({1: 5.0, 2: 1.0}, 1, [1]),
        ({4: 1.0}, 11, [4, 4, 3]),
        ({8: 1.0}, 8, [8]),
    ],
)
def test_the_cheapest_calls_are_made(costs: dict[int, float], count: int, calls: list[int]) -> None:
    assert BatchPlan(costs, fill=True).cut(count) == calls


def test_a_dearer_size_gives_way_to_a_larger_one() -> None:
    assert BatchPlan({1: 5.0, 2: 1.0}, fill=True).fit(1) == 2


@given(ladders, st.integers(1, 100))
def test_a_ladder_takes_all_and_costs_no_more_than_filling_up(costs: dict[int, float], count: int) -> None:
    plan = BatchPlan(costs, fill=True)
    calls = plan.cut(count)
    assert sum(calls) == count
    assert all(call <= plan.fit(call) and plan.fit(call) in costs for call in calls)
    rest = count % plan.most
    if rest:
        plain = min(costs[size] for size in costs if size >= rest)
        assert sum(costs[plan.fit(call)] for call in calls[count // plan.most :]) <= plain


@given(open_batches, st.integers(1, 100))
def test_an_open_batch_is_never_filled_up(costs: dict[int, float], count: int) -> None:
    plan = BatchPlan(costs, fill=False)
    calls = plan.cut(count)
    assert sum(calls) == count
    assert all(plan.fit(call) == call for call in calls)
