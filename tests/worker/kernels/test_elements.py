"""What is done to each number by itself, or to two of them."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from mindspore_serving.worker.rewrites.elements import ACTIVATIONS, COMBINATIONS
from mindspore_serving.worker.rewrites.kernel_nodes import bits
from tests.worker.kernel_calls import Array, Shape, call
from tests.worker.kernels.numbers import CLAMPS, normal_numbers, sigmoid, whole_numbers
from tests.worker.kernels.windows import Window

FORMULAS: dict[str, Callable[[Array], Array]] = {
    "ReLU": lambda x: np.maximum(x, 0),
    "ReLU6": lambda x: np.clip(x, 0, 6),
    "Sigmoid": sigmoid,
    "SiLU": lambda x: x * sigmoid(x),
    "HSigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
    "HSwish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "GeLU": lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    "Tanh": np.tanh,
    "Erf": np.vectorize(math.erf),
    "Exp": np.exp,
    "Sqrt": np.sqrt,
    "Rsqrt": lambda x: 1 / np.sqrt(x),
    "Square": np.square,
    "Abs": np.abs,
    "Neg": np.negative,
    "Sin": np.sin,
    "Cos": np.cos,
    "Mish": lambda x: x * np.tanh(np.log1p(np.exp(x))),
    "Log": np.log,
    "Elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
}
LARGE = np.array([50, -50, 88.3, -88.4, 1e4, -1e4, 1e30, -1e30, 3e38, -3e38, 0], np.float32)
SIZES = (*range(1, 71), 70_001)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name: str) -> None:
    for size in SIZES:
        x = normal_numbers(size, 1, size)
        x[0, -len(LARGE) :] = LARGE[:size]
        found = call("activation", [x], [ACTIVATIONS.index(name)], x.shape)
        with np.errstate(all="ignore"):  # of the largest numbers, of roots of those below 0
            expected = FORMULAS[name](x.astype(np.float64)).astype(np.float32)
        np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-6, err_msg=f"{size=}")


def test_a_logarithm_has_edges() -> None:
    x = np.array([[0.0, -0.0, -1, np.inf, -np.inf, 1, 1e-45, 1.2e-38, 3.4e38, 0.70710677, 1.4142135]], np.float32)
    found = call("activation", [x], [ACTIVATIONS.index("Log")], x.shape)
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(found, np.log(x.astype(np.float64)), rtol=2e-6)


def test_an_exponential_ends_in_zero_and_in_infinity() -> None:
    """What has no place among the numbers that float32 holds with all digits, on either side."""
    near = np.array([[-87.33, -80.5, 88.3762, 88.5, 88.72, 88.72283]], np.float32)
    found = call("activation", [near], [ACTIVATIONS.index("Exp")], near.shape)
    np.testing.assert_allclose(found, np.exp(near.astype(np.float64)), rtol=5e-7)
    far = np.array([[-87.34, -88, -104, -1e30, -np.inf, 88.7229, 104, 1e30, np.inf]], np.float32)
    found = call("activation", [far], [ACTIVATIONS.index("Exp")], far.shape)
    np.testing.assert_array_equal(found, [[0, 0, 0, 0, 0, *[np.inf] * 4]])


def test_tanh_and_erf_are_never_beyond_one() -> None:
    x = np.linspace(-20, 20, 100_001, dtype=np.float32)[None]
    for name in ("Tanh", "Erf"):
        assert np.abs(call("activation", [x], [ACTIVATIONS.index(name)], x.shape)).max() <= 1, name


@pytest.mark.parametrize("bits", [0x7FC00000, 0x7FC00001, 0x7FC001FF, 0xFFC00000])
def test_whatever_is_no_number_stays_none(bits: int) -> None:
    """A number of another kind than the usual one, too."""
    x = np.array([[0, 1, bits, 2]], np.uint32)
    x[0, [1, 3]] = np.array([1, 2], np.float32).view(np.uint32)
    for name in ACTIVATIONS:
        found = call("activation", [x.view(np.float32)], [ACTIVATIONS.index(name)], x.shape)
        np.testing.assert_array_equal(np.isnan(found), [[False, False, True, False]], err_msg=name)
    assert np.isnan(call("softmax", [x.view(np.float32)], [1], x.shape)).all()


def test_what_is_no_number_is_the_largest_wherever_it_is() -> None:
    x = np.zeros((1, 1, 3, 3), np.float32)
    x[..., 1, 1] = np.nan
    assert np.isnan(call("pooling", [x], Window((2, 2)).told((3, 3)), (1, 1, 2, 2))).all()
    for size in range(1, 71):
        for place in range(size):
            row = np.arange(size, dtype=np.float32).reshape(1, 1, 1, size)
            row[..., place] = np.nan
            assert np.isnan(call("pooling", [row], Window((1, size)).told((1, size)), (1, 1, 1, 1)))


SIZES_OF_COMBINATIONS: list[tuple[Shape, Shape]] = [
    *[((size,), (size,)) for size in SIZES],
    ((300, 129), (300, 129)),
    ((5, 70), ()),
    ((), (5, 70)),
    ((), ()),
    ((1, 1), (1,)),
    ((5, 70), (70,)),
    ((300, 129), (129,)),
    ((129,), (300, 129)),
    ((5, 7, 33), (7, 1)),
    ((5, 1, 33), (7, 1)),
    ((3, 4, 1, 1), (3, 4, 12, 13)),
    ((2, 1, 9, 9), (2, 3, 9, 9)),
    ((1, 70_001), (3, 1)),
    ((1, 300_001), (2, 1)),
    ((2, 1, 3, 1, 2), (1, 2, 1, 3, 1)),
    ((0, 4), (4,)),
]
COMBINED: dict[str, Callable[[Array, Array], Array]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
    "Maximum": np.maximum,
    "Minimum": np.minimum,
    "PReLU": lambda x, other: np.where(x < 0, x * other, x),
    "Greater": lambda x, other: (x > other).astype(np.float32),
    "GreaterEqual": lambda x, other: (x >= other).astype(np.float32),
    "Equal": lambda x, other: (x == other).astype(np.float32),
    "NotEqual": lambda x, other: (x != other).astype(np.float32),
}


NAMES_OF_COMBINATIONS = [names[0] for names in COMBINATIONS]


@pytest.mark.parametrize("clamp", range(3))
@pytest.mark.parametrize("number", range(len(COMBINATIONS)), ids=NAMES_OF_COMBINATIONS)
def test_combinations(number: int, clamp: int) -> None:
    for one, other in SIZES_OF_COMBINATIONS:
        are_compared = number >= NAMES_OF_COMBINATIONS.index("Greater")  # some of them are equal then
        x, y = whole_numbers(1, *one), whole_numbers(2, *other) + np.float32(0.0 if are_compared else 0.5)
        expected = np.clip(COMBINED[COMBINATIONS[number][0]](x, y), *CLAMPS[clamp])
        found = call("combination", [x, y], [number, clamp], expected.shape)
        np.testing.assert_array_equal(found, expected, err_msg=f"{one} {other}")


def test_what_is_no_number_is_the_larger_and_the_smaller_of_two() -> None:
    x, y = np.array([1, np.nan, np.nan], np.float32), np.array([np.nan, 1, np.nan], np.float32)
    for number, (name, *_) in enumerate(COMBINATIONS):
        found = call("combination", [x, y], [number, 0], (3,))
        np.testing.assert_array_equal(found, COMBINED[name](x, y))


@pytest.mark.parametrize("number", [-1e9, -np.inf, 0.0, np.float32(0.1)])
def test_a_number_takes_the_place_of_others_where_a_mask_says_so(number: float) -> None:
    for one, other in SIZES_OF_COMBINATIONS:
        x, mask = whole_numbers(1, *one), (whole_numbers(2, *other) > 0).astype(np.float32)
        for is_kept in (False, True):
            expected = np.where((mask != 0) != is_kept, np.float32(number), x)
            found = call("filling", [x, mask], [bits(number), int(is_kept)], expected.shape)
            np.testing.assert_array_equal(found, expected, err_msg=f"{one} {other}")


def test_what_is_masked_may_be_no_number() -> None:
    x, mask = np.array([np.nan, np.inf, np.nan, 1], np.float32), np.array([1, 1, 0, 0], np.float32)
    np.testing.assert_array_equal(call("filling", [x, mask], [bits(-1.0), 0], (4,)), [-1, -1, np.nan, 1])
