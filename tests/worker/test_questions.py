"""What branches ask of sizes: an answer holds whatever the open ones are, and some have none."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from mindspore_serving.worker.rewrites.questions import are_equal, is_ordered
from mindspore_serving.worker.rewrites.sizes import Size, named

BATCH, WORDS = named("x", 0), named("x", 1)
SIZES = st.builds(Size, st.integers(0, 12), st.lists(st.sampled_from(["x.0", "x.1"]), max_size=2).map(tuple))
OPEN = st.fixed_dictionaries({"x.0": st.integers(1, 5), "x.1": st.integers(1, 5)})


def number_of(size: Size, of_open: dict[str, int]) -> int:
    number = size.number
    for name in size.names:
        number *= of_open[name]
    return number


@given(SIZES, SIZES, OPEN)
def test_an_answer_holds_whatever_open_sizes_are(one: Size, other: Size, of_open: dict[str, int]) -> None:
    numbers: Sequence[int] = [number_of(size, of_open) for size in (one, other)]
    assert are_equal(one, other) in (None, numbers[0] == numbers[1])
    assert is_ordered(1, one, other) in (None, numbers[0] > numbers[1])
    assert is_ordered(-1, one, other) in (None, numbers[0] < numbers[1])


def test_what_follows_is_known() -> None:
    assert are_equal(BATCH, BATCH) is True
    assert are_equal(BATCH.times(WORDS), WORDS.times(BATCH)) is True
    assert are_equal(BATCH, Size(0)) is False
    assert are_equal(Size(8).times(BATCH), Size(4)) is False
    assert are_equal(Size(3).times(BATCH), Size(7)) is False
    assert are_equal(Size(0).times(BATCH), Size(0)) is True
    assert are_equal(Size(0).times(BATCH), Size(3)) is False
    assert are_equal(Size(3), Size(3)) is True
    assert are_equal(Size(3), Size(4)) is False
    assert (is_ordered(1, Size(3), Size(2)), is_ordered(-1, Size(3), Size(2))) == (True, False)


def test_what_does_not_is_not() -> None:
    assert are_equal(BATCH, WORDS) is None
    assert are_equal(BATCH, Size(1)) is None
    assert are_equal(Size(2).times(BATCH), Size(6)) is None
    assert are_equal(BATCH, None) is None
    assert is_ordered(1, BATCH, Size(5)) is None
