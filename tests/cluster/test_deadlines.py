"""The next deadline of the requests that are open, in whatever order they come and go."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mindspore_serving.cluster.deadlines import Deadlines


@given(st.lists(st.one_of(st.floats(0, 10), st.just(5.0), st.integers(0, 30))))
def test_the_first_is_always_the_earliest_of_the_open_ones(steps: list[float | int]) -> None:
    """A float is the deadline of a new request; an integer the place of one that is answered."""
    open_requests: dict[int, Any] = {}
    deadlines = Deadlines(open_requests)
    for number, step in enumerate(steps):
        if isinstance(step, float):
            open_requests[number] = step
            deadlines.add(step, number)
        elif open_requests:
            del open_requests[list(open_requests)[step % len(open_requests)]]
        expected = min(((deadline, each) for each, deadline in open_requests.items()), default=None)
        assert deadlines.first() == expected


def test_those_of_answered_requests_do_not_pile_up_behind_one_that_is_open() -> None:
    open_requests: dict[int, Any] = {0: None}
    deadlines = Deadlines(open_requests)
    deadlines.add(1.0, 0)
    for number in range(1, 5000):
        open_requests[number] = None
        deadlines.add(100.0 - number % 7, number)
        del open_requests[number]
    assert deadlines.first() == (1.0, 0)
    assert len(deadlines) < 1100
    open_requests[5000] = None
    deadlines.add(0.5, 5000)
    assert deadlines.first() == (0.5, 5000)
