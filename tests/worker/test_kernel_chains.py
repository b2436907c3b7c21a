"""Chains of steps, called as MindSpore calls them, give what numpy gives step by step, wherever their values lie.

Of whole numbers, so that sums and products are exact as long as they are small.
"""

import ctypes
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mindspore_serving.worker import kernels
from mindspore_serving.worker.rewrites.elements import ACTIVATIONS
from mindspore_serving.worker.rewrites.kernel_nodes import MOST_AXES, MOST_INPUTS, MOST_STEPS, OPERATORS
from tests.worker.kernel_calls import Array, Shape, call_chain, described, inferred_shape, library

pytestmark = pytest.mark.skipif(kernels.loaded() is None, reason="the kernels are not compiled")

RELU, SUM, LARGER = ACTIVATIONS.index("ReLU"), 0, 4


def whole_numbers(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(np.float32)


@dataclass
class Chain:
    """Steps, and what numpy makes of them."""

    inputs: list[Array]
    of_instances: int = 0
    values: list[Array] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.values = list(self.inputs)

    def add(self, operator: str, given: Sequence[int], told: Sequence[int], made: Array) -> int:
        """Another step. Returns the number of what it makes."""
        self.steps += [OPERATORS.index(operator), len(given), len(told), *given, *told]
        self.values.append(made)
        return len(self.values) - 1

    def relu(self, x: int) -> int:
        return self.add("activation", [x], [RELU], np.maximum(self.values[x], 0))

    def sum(self, x: int, other: int) -> int:
        return self.add("combination", [x, other], [SUM, 0], self.values[x] + self.values[other])

    def larger(self, x: int, other: int) -> int:
        return self.add("combination", [x, other], [LARGER, 0], np.maximum(self.values[x], self.values[other]))

    def total(self, x: int) -> int:
        axes = self.values[x].ndim
        return self.add("reduction", [x], [axes - 1, axes, 1, 0], self.values[x].sum(-1, keepdims=True))

    def axes(self, x: int) -> int:
        return self.add("transposition", [x], [0, 2, 1, 3], self.values[x].swapaxes(1, 2))

    def view(self, x: int, *shape: int) -> int:
        """Of this shape, in which one size may be 0: what is left."""
        return self.add("view", [x], shape, self.values[x].reshape([size or -1 for size in shape]))

    @property
    def program(self) -> Shape:
        return (0, len(self.inputs), self.of_instances, *self.steps)

    def check(self) -> None:
        expected = self.values[-1]
        np.testing.assert_array_equal(call_chain(self.program, self.inputs, expected.shape), expected)


@settings(max_examples=300)
@given(st.data(), st.integers(1, 3), st.integers(1, 3), st.integers(1, 40))
def test_chains(data: st.DataObject, batch: int, count: int, steps: int) -> None:
    """Any steps, each of any of the values that there are: of some many, of some one of each row."""
    chain = Chain([whole_numbers(seed, batch, 3, 4, 5 + 40 * seed * (seed > 1)) for seed in range(1, count + 1)])
    for _ in range(steps):
        some = st.integers(0, len(chain.values) - 1)
        x, other = data.draw(some), data.draw(some)
        kinds = ["relu", "total", "axes", "view"]
        fitting = chain.values[x].shape == chain.values[other].shape
        kind = data.draw(st.sampled_from(["sum", "larger", *kinds] if fitting else kinds))
        if np.abs(chain.values[x]).max() > 1e5:  # sums stay exact
            kind = "relu"
        if kind == "view":
            one, two, three, four = chain.values[x].shape
            chain.view(x, one, 0, 1, two * three * four) if data.draw(st.booleans()) else chain.view(
                x, 0, two, three, four
            )
        elif kind in ("sum", "larger"):
            getattr(chain, kind)(x, other)
        else:
            getattr(chain, kind)(x)
    chain.relu(len(chain.values) - 1)
    chain.check()


def test_a_value_stays_until_the_last_step_that_needs_it() -> None:
    """Also where that takes it by a view of a view, and many larger ones come between."""
    chain = Chain([whole_numbers(1, 2, 3, 4, 5)])
    kept = chain.relu(0)
    seen = chain.view(chain.view(kept, 6, 20), 0, 3, 4, 5)
    other = 0
    for _ in range(MOST_STEPS - 6):
        other = chain.larger(other, 0)
    chain.larger(chain.relu(other), seen)
    chain.check()


def test_the_last_steps_may_be_views_of_what_another_has_made() -> None:
    chain = Chain([whole_numbers(1, 2, 3, 4, 5)])
    made = chain.relu(0)
    chain.sum(made, made)
    chain.view(chain.view(made, 6, 20), 0, 10)
    chain.check()


def test_a_view_of_an_input_is_copied() -> None:
    chain = Chain([whole_numbers(1, 2, 3, 4)])
    chain.view(chain.view(0, 6, 4), 0, 3)
    chain.check()


def test_a_step_may_take_one_value_twice() -> None:
    chain = Chain([whole_numbers(1, 7, 9)])
    chain.sum(chain.sum(0, 0), 0)
    chain.check()


def test_open_sizes_go_through_all_steps() -> None:
    chain = Chain([whole_numbers(1, 2, 3, 4, 5)])
    chain.relu(chain.view(chain.axes(0), 0, 20))
    assert inferred_shape([chain.program, (-1, 3, 4, 5)]) == (-1, 20)
    assert inferred_shape([chain.program, (2, 3, 4, 5)]) == (6, 20)
    assert call_chain(chain.program, [np.zeros((0, 3, 4, 5), np.float32)], (0, 20)).size == 0


@pytest.fixture(params=[1, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    assert library().use_threads(request.param) == request.param
    yield request.param
    assert library().use_threads(1) == 1


@pytest.mark.parametrize("batch", [1, 2, 3, 7, 40])
def test_instances_are_computed_some_at_a_time(batch: int, threads: int) -> None:
    """Where they are too many for a cache, whatever goes into all of them."""
    assert threads > 0
    images = [whole_numbers(seed, batch, 6, 70, 90) for seed in (1, 2)]
    chain = Chain([*images, whole_numbers(3, 90)], of_instances=2)
    both = chain.relu(chain.sum(chain.sum(0, 2), 1))
    turned = chain.axes(both)
    chain.view(chain.larger(chain.view(turned, 0, 70, 540), chain.view(both, 0, 70, 540)), 0, 3, 90)
    chain.check()


def test_instances_that_are_not_as_many_everywhere_stay_together() -> None:
    chain = Chain([whole_numbers(1, 9, 300, 400), whole_numbers(2, 1, 300, 400)], of_instances=2)
    chain.relu(chain.sum(0, 1))
    chain.check()


def test_what_tells_all_sizes_stays_together() -> None:
    chain = Chain([whole_numbers(1, 8, 300, 400)], of_instances=1)
    chain.relu(chain.view(chain.relu(0), 8, 400, 300))
    chain.check()


def test_what_is_made_of_all_instances_together_is_not_parted() -> None:
    chain = Chain([whole_numbers(1, 9, 300, 400)], of_instances=1)
    made = chain.relu(0)
    chain.add("reduction", [made], [0, 1, 0, 0], chain.values[made].sum(0))
    chain.check()


def test_rows_that_parts_of_the_instances_do_not_fill_keep_them_together() -> None:
    """Of 14 instances, each of one and a half rows, parts would have an odd number somewhere."""
    for batch in range(2, 15, 2):
        chain = Chain([whole_numbers(1, batch, 300, 400)], of_instances=1)
        chain.total(chain.relu(chain.view(0, 0, 200, 400)))
        chain.check()


def test_weights_that_each_part_would_read_keep_instances_together() -> None:
    chain = Chain([whole_numbers(1, 4, 300, 400), whole_numbers(2, 1, 300, 400)], of_instances=1)
    chain.relu(chain.sum(0, 1))
    chain.check()


def numbered(*steps: int, inputs: int = 1) -> Shape:
    return (0, inputs, 0, *steps)


ACTIVATION, VIEW = OPERATORS.index("activation"), OPERATORS.index("view")
RELU_STEP, MORE = (ACTIVATION, 1, 1, 0, RELU), (ACTIVATION, 1, 1, 1, RELU)
WRONG: dict[str, tuple[Shape, list[Shape]]] = {
    "fewer inputs than none": ((0, -1, 0, *RELU_STEP), [(2, 3)]),
    "a value before the first": (numbered(ACTIVATION, 1, 1, -1, RELU), [(2, 3)]),
    "no step": (numbered(), [(2, 3)]),
    "half a step": (numbered(ACTIVATION, 1), [(2, 3)]),
    "no such operator": (numbered(len(OPERATORS), 1, 0, 0), [(2, 3)]),
    "a value that is not made yet": (numbered(ACTIVATION, 1, 1, 1, RELU), [(2, 3)]),
    "too little told": (numbered(ACTIVATION, 1, 0, 0), [(2, 3)]),
    "given too much": (numbered(ACTIVATION, 2, 1, 0, 0, RELU), [(2, 3)]),
    "given nothing": (numbered(OPERATORS.index("concatenation"), 0, 1, 0), [(2, 3)]),
    "given more than a step may": (numbered(OPERATORS.index("concatenation"), 9, 1, *[0] * 9, 0), [(2, 3)]),
    "given more than there is": (numbered(OPERATORS.index("concatenation"), 8, 1, 0), [(2, 3)]),
    "told more than there is": (numbered(VIEW, 1, 9, 0, 6), [(2, 3)]),
    "a view of more numbers": (numbered(VIEW, 1, 1, 0, 7, *MORE), [(2, 3)]),
    "a view of a part": (numbered(VIEW, 1, 2, 0, 0, 4, *MORE), [(2, 3)]),
    "two open sizes": (numbered(VIEW, 1, 2, 0, 0, 0, *MORE), [(2, 3)]),
    "more inputs of instances than inputs": ((0, 1, 2, *RELU_STEP), [(2, 3)]),
    "no instances": ((0, 1, 1, *RELU_STEP), [()]),
    "too many axes": (numbered(*RELU_STEP), [(1,) * (MOST_AXES + 1)]),
    "a view of too many axes": (numbered(VIEW, 1, 9, 0, *(1,) * 9, *MORE), [(1,)]),
    "too many inputs": (numbered(*RELU_STEP, inputs=MOST_INPUTS + 1), [(2,)] * (MOST_INPUTS + 1)),
    "too many steps": (numbered(*RELU_STEP * (MOST_STEPS + 1)), [(2, 3)]),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_chain_is_refused(name: str) -> None:
    program, shapes = WRONG[name]
    assert inferred_shape([program, *shapes]) is None
    rooms = [np.zeros(shape, np.float32) for shape in (*shapes, (2, 3))]
    values = (ctypes.c_void_p * (len(rooms) + 1))(None, *(room.ctypes.data for room in rooms))
    every = described([program, *shapes, (2, 3)])
    assert library().chain(len(values), values, *every, None, None, None) == -1


def test_as_many_steps_and_inputs_as_there_may_be() -> None:
    chain = Chain([whole_numbers(seed, 2, 3) for seed in range(MOST_INPUTS)])
    value = 0
    for number in range(MOST_STEPS):
        value = chain.sum(value, number)
    chain.check()
