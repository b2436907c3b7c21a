"""The operators of worker/kernels/, called as MindSpore calls them, give the numbers of numpy, and touch nothing else.

What only adds and multiplies gets small whole numbers: so its results are exact, in whatever order it takes them.
"""

import ctypes
import math
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations, permutations, product
from math import prod
from threading import Barrier

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mindspore_serving.worker import kernels
from mindspore_serving.worker.rewrites.dense import panel_of, panels
from mindspore_serving.worker.rewrites.elements import ACTIVATIONS, COMBINATIONS
from mindspore_serving.worker.rewrites.kernel_nodes import bits
from mindspore_serving.worker.rewrites.packed_weights import pack, transform
from mindspore_serving.worker.rewrites.recurrence import CELLS, pack_gates
from tests.worker.kernel_calls import UNRANKED, Array, Shape, Vector, call, described, inferred_shape, library, program

pytestmark = pytest.mark.skipif(kernels.loaded() is None, reason="the kernels are not compiled")

Pair = tuple[int, int]  # for rows and columns, if nothing else is said

SETS = 3  # of instructions, where there are most: instructions.c
CLAMPS = ((-np.inf, np.inf), (0, np.inf), (0, 6))  # in the order of operators.c


@dataclass(frozen=True)
class Window:
    """How a window moves over an image. padding: before and behind."""

    kernel: Pair
    stride: Pair = (1, 1)
    dilation: Pair = (1, 1)
    padding: tuple[Pair, Pair] = ((0, 0), (0, 0))

    def reach(self, axis: int) -> int:
        return (self.kernel[axis] - 1) * self.dilation[axis] + 1

    def outs(self, image: Shape) -> Pair:
        rows, columns = (
            (image[axis] + sum(self.padding[axis]) - self.reach(axis)) // self.stride[axis] + 1 for axis in (0, 1)
        )
        return rows, columns

    def told(self, image: Shape, *more: int) -> list[int]:
        before = [padding[0] for padding in self.padding]
        return [*self.kernel, *self.stride, *self.dilation, *before, *self.outs(image), *more]

    def met(self, x: Array, padding: float) -> Iterator[tuple[Pair, Array]]:
        """For each place of the kernel, what it meets for all pixels of the output."""
        padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), *self.padding), constant_values=padding)
        (height, width), (down, right) = self.outs(x.shape[2:]), self.stride
        for row, column in product(range(self.kernel[0]), range(self.kernel[1])):
            here = padded[:, :, row * self.dilation[0] :: down, column * self.dilation[1] :: right]
            yield (row, column), here[:, :, :height, :width]


Place = tuple[Window, Pair]  # a window, and the size of the image


@pytest.fixture(scope="module", autouse=True, params=[*product(range(SETS), (1, 3))], ids="set{0[0]}-x{0[1]}".format)
def _how(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each test runs with each set of instructions, by one thread and by three."""
    number, threads = request.param
    if library().choose_instructions(number) != 1:
        pytest.skip("this machine lacks these instructions")
    assert library().choose_instructions(SETS) == -1
    assert library().use_threads(threads) == threads
    yield
    assert library().use_threads(1) == 1
    assert any(library().choose_instructions(best) == 1 for best in range(SETS))


def whole_numbers(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(np.float32)


def normal_numbers(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).normal(1, 3, shape).astype(np.float32)


def convolved(x: Array, weights: Array, bias: Array, group: int, window: Window, clamp: int) -> Array:
    """By numpy."""
    (outs, ins, *_), size = weights.shape, window.outs(x.shape[2:])
    made = np.zeros((len(x), group, outs // group, prod(size)))
    for (row, column), met in window.met(x, 0.0):
        made += weights[..., row, column].reshape(group, -1, ins) @ met.reshape(len(x), group, ins, -1)
    biased: Array = made.reshape(len(x), outs, *size) + bias[:, None, None]
    return biased.clip(*CLAMPS[clamp])


def check_convolution(images: int, group: int, sides: Pair, place: Place, clamp: int, with_nan: bool) -> None:
    """sides: inputs and outputs of a group."""
    (ins, outs), (window, image) = sides, place
    x = whole_numbers(1, images, group * ins, *image)
    weights, bias = whole_numbers(2, group * outs, ins, *window.kernel), whole_numbers(3, group * outs)
    if with_nan:
        x[-1, -1, image[0] // 2, image[1] // 2] = np.nan
    told = window.told(image, group * outs, group, clamp)
    found = call("convolution", [x, *pack(weights, bias, group)], told, (images, group * outs, *window.outs(image)))
    np.testing.assert_array_equal(found, convolved(x, weights, bias, group, window, clamp))


def pairs(least: int, most: int) -> st.SearchStrategy[Pair]:
    return st.tuples(st.integers(least, most), st.integers(least, most))


@st.composite
def windows_and_images(draw: st.DrawFn) -> Place:
    """An image has room for one window at least, with what is padded."""
    window = Window(draw(pairs(1, 5)), draw(pairs(1, 3)), draw(pairs(1, 2)), draw(st.tuples(pairs(0, 4), pairs(0, 4))))
    least = [max(1, window.reach(axis) - sum(window.padding[axis])) for axis in (0, 1)]
    rows, columns = draw(pairs(0, 20))
    return window, (least[0] + rows, least[1] + columns)


SIDES = st.just((1, 1)) | st.tuples(st.integers(1, 5), st.sampled_from((1, 2, 4, 5, 8, 9, 17)))
SAME = Window((3, 3), padding=((1, 1), (1, 1)))
UNEVEN = Window((3, 5), (2, 3), (2, 1), ((0, 3), (2, 1)))


@settings(max_examples=120, deadline=None)
@given(st.integers(1, 5), st.integers(1, 5), SIDES, windows_and_images(), st.integers(0, 2), st.booleans())
@example(1, 1, (64, 64), (SAME, (80, 80)), 0, False)  # bands of rows
@example(2, 1, (64, 17), (UNEVEN, (80, 81)), 2, False)
@example(1, 1, (448, 9), (Window((3, 1)), (5, 300)), 0, False)  # bands of one row
@example(3, 2, (1, 1), (SAME, (400, 401)), 1, True)  # bands of each channel
@example(2, 3, (20, 8), (Window((1, 1)), (90, 100)), 0, False)  # bands of groups
@example(200, 1, (8, 8), (SAME, (9, 9)), 0, True)  # runs of images
@example(301, 5, (1, 1), (UNEVEN, (20, 13)), 0, False)
@example(1, 1, (30, 70), (SAME, (6, 6)), 1, True)  # slices of outputs
@example(3, 1, (20, 21), (Window((1, 1)), (12, 13)), 2, True)  # points
@example(2, 1, (9, 12), (Window((1, 1)), (16, 12)), 0, False)
@example(1, 1, (9, 1), (Window((1, 1)), (13, 77)), 0, False)
def test_convolutions(images: int, group: int, sides: Pair, place: Place, clamp: int, with_nan: bool) -> None:
    check_convolution(images, group, sides, place, clamp, with_nan)


@settings(max_examples=120, deadline=None)
@given(st.integers(1, 4), st.integers(16, 40), windows_and_images(), st.integers(0, 2), st.booleans())
@example(2, 16, (SAME, (70, 80)), 1, False)  # bands of rows
@example(1, 17, (UNEVEN, (300, 31)), 0, False)
@example(3, 100, (Window((5, 5), padding=((2, 2), (2, 2))), (7, 7)), 2, False)  # narrow ones
@example(1, 16, (Window((3, 3), (2, 2), (2, 2), ((3, 3), (3, 3))), (4, 600)), 0, False)  # bands of one row
@example(5, 16, (SAME, (9, 9)), 0, True)  # slices of images
def test_convolutions_of_each_channel(images: int, channels: int, place: Place, clamp: int, with_nan: bool) -> None:
    check_convolution(images, channels, (1, 1), place, clamp, with_nan)


def test_windows_of_padding_alone_are_zeros() -> None:
    x, weights, bias = whole_numbers(1, 2, 20, 3, 3), whole_numbers(2, 20, 9), whole_numbers(3, 20)
    told = [3, 3, 1, 1, 1, 1, 9, 9, 2, 2, 20, 20, 0]
    expected = np.broadcast_to(bias[:, None, None], (2, 20, 2, 2))
    np.testing.assert_array_equal(call("convolution", [x, weights, bias], told, expected.shape), expected)


@st.composite
def images_of_threes(draw: st.DrawFn) -> Place:
    """For windows of 3 x 3, that move by one place."""
    padding = draw(st.tuples(pairs(0, 3), pairs(0, 3)))
    rows, columns = draw(pairs(0, 20))
    return Window((3, 3), padding=padding), (
        max(1, 3 - sum(padding[0])) + rows,
        max(1, 3 - sum(padding[1])) + columns,
    )


@pytest.mark.parametrize("side", [2, 4])
@settings(max_examples=120, deadline=None)
@given(st.integers(1, 5), pairs(1, 20), images_of_threes(), st.integers(0, 2), st.booleans())
@example(1, (64, 20), (SAME, (70, 71)), 0, False)  # bands of rows
@example(200, (8, 8), (SAME, (9, 9)), 1, True)  # runs of images
@example(2, (600, 9), (SAME, (7, 9)), 0, False)  # no more tiles than must be
@example(1, (3, 70), (SAME, (12, 12)), 2, True)  # slices of outputs
def test_winograd(side: int, images: int, sides: Pair, place: Place, clamp: int, with_nan: bool) -> None:
    (ins, outs), (window, image) = sides, place
    x, weights, bias = whole_numbers(1, images, ins, *image), whole_numbers(2, outs, ins, 3, 3), whole_numbers(3, outs)
    if with_nan:
        x[-1, -1, image[0] // 2, image[1] // 2] = np.nan
    told = window.told(image, outs, clamp)
    found = call("winograd", [x, *transform(weights, bias, side)], told, (images, outs, *window.outs(image)))
    expected = convolved(x, weights, bias, 1, window, clamp)
    # No number goes into what it does not belong to, but for the other outputs of a tile.
    assert np.isnan(found[np.isnan(expected)]).all() and np.isnan(found).sum() <= outs * 4 * side**2
    # Four outputs of whole numbers are exact; for more there are roots.
    slack = 0.0 if side == 2 else 1e-5 * max(1.0, np.nanmax(np.abs(expected), initial=0), ins * 9 * 9.0)
    is_number = ~np.isnan(found)
    np.testing.assert_allclose(found[is_number], expected[is_number], rtol=0, atol=slack)


@pytest.mark.parametrize(
    ("told", "weights"),
    [
        ([2, 3, 1, 1, 1, 1, 0, 0, 7, 6, 8, 0], (16, 1, 4, 8)),
        ([3, 3, 1, 2, 1, 1, 0, 0, 6, 3, 8, 0], (16, 1, 4, 8)),
        ([3, 3, 1, 1, 2, 1, 0, 0, 4, 6, 8, 0], (16, 1, 4, 8)),
        ([3, 3, 1, 1, 1, 1, 0, 0, 6, 6, 8, 0], (15, 1, 4, 8)),
        ([3, 3, 1, 1, 1, 1, 0, 0, 6, 6, 8, 0], (16, 1, 5, 8)),
        ([3, 3, 1, 1, 1, 1, 0, 0, 6, 6, 9, 0], (16, 1, 4, 8)),
        ([3, 3, 1, 1, 1, 1, 0, 0, 6, 6, 8, 0], (16, 4, 8)),
    ],
    ids=["kernel", "stride", "dilation", "transformed", "channels", "outputs", "axes"],
)
def test_what_is_no_convolution_for_winograd_is_refused(told: list[int], weights: Shape) -> None:
    assert inferred_shape([program("winograd", 3, told), (1, 4, 8, 8), weights, (8,)]) is None


@settings(max_examples=100, deadline=None)
@given(pairs(1, 3), pairs(0, 20), pairs(1, 5), pairs(1, 3), st.booleans())
@example((5, 9), (39, 40), (3, 2), (2, 1), True)  # several parts
@example((5, 9), (0, 0), (9, 13), (1, 1), False)  # all of a plane
def test_poolings(planes: Pair, more: Pair, kernel: Pair, stride: Pair, is_same: bool) -> None:
    """Of negative numbers, so that padding by zeros would be seen. is_same: MindSpore's padding of this name."""
    image = tuple(size + (1 if is_same else least) for size, least in zip(more, kernel, strict=True))
    padding = []
    for size, least, step in zip(image, kernel, stride, strict=True):
        missing = max(0, ((size - 1) // step) * step + least - size) if is_same else 0
        padding.append((missing // 2, missing - missing // 2))
    window = Window(kernel, stride, padding=(padding[0], padding[1]))
    x = -1 - abs(normal_numbers(1, *planes, *image))
    found = call("pooling", [x], window.told(image), (*planes, *window.outs(image)))
    np.testing.assert_array_equal(found, np.max([met for _, met in window.met(x, -np.inf)], axis=0))


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 20), st.integers(1, 70), st.integers(1, 150), st.integers(0, 2), st.booleans())
@example(300, 33, 200, 1, True)
@example(385, 5, 65, 0, False)
@example(30, 70, 500, 0, True)
def test_dense(rows: int, depth: int, columns: int, clamp: int, with_nan: bool) -> None:
    x, weights, bias = whole_numbers(1, rows, depth), whole_numbers(2, depth, columns), whole_numbers(3, columns)
    if with_nan:
        x[rows // 2, depth // 2] = np.nan
    shifts = np.pad(bias, (0, -columns % panel_of(columns)))
    found = call("dense", [x, panels(weights), shifts], [columns, clamp], (rows, columns))
    np.testing.assert_array_equal(found, np.clip(x.astype(np.float64) @ weights + bias, *CLAMPS[clamp]))


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([(), (1,), (5,), (2, 3), (0, 2)]), st.integers(1, 20), pairs(1, 150), st.booleans())
def test_products(matrices: Shape, rows: int, sizes: Pair, is_transposed: bool) -> None:
    depth, columns = sizes
    x, weights = whole_numbers(1, *matrices, rows, depth), whole_numbers(2, *matrices, depth, columns)
    other = weights.swapaxes(-1, -2) if is_transposed else weights
    found = call("products", [x, other], [int(is_transposed)], (*matrices, rows, columns))
    np.testing.assert_array_equal(found, x @ weights)


@pytest.mark.parametrize(
    ("one", "other"),
    [((4,), (1,)), ((1,), (4,)), ((2, 3), (1, 3)), ((2, 1), (1, 3)), ((2, 3), (2, 1)), ((0, 3), (1, 3))],
)
def test_products_of_repeated_matrices(one: Shape, other: Shape) -> None:
    x, weights = whole_numbers(1, *one, 5, 7), whole_numbers(2, *other, 7, 9)
    expected = x @ weights
    np.testing.assert_array_equal(call("products", [x, weights], [0], expected.shape), expected)


def sigmoid(x: Array) -> Array:
    half: Array = np.tanh(x / 2) / 2
    return half + 0.5


def remembered(cell: str, gates: Array, y: Array, kept: Array) -> tuple[Array, Array]:
    """By numpy: y of the next moment, and what is kept. gates: [row][gate][unit]."""
    if cell in ("Tanh", "ReLU"):
        return FORMULAS[cell](gates[:, 0]), kept
    first, second, third, fourth = gates.swapaxes(0, 1)
    if cell == "GRU":
        new: Array = np.tanh(third + sigmoid(first) * fourth)
        new += sigmoid(second) * (y - new)
        return new, kept
    kept = sigmoid(second) * kept + sigmoid(first) * np.tanh(third)
    return sigmoid(fourth) * np.tanh(kept), kept


LAYERS = st.tuples(st.integers(1, 9), st.integers(1, 20), st.integers(1, 40), st.integers(1, 70))
GATES = {"LSTM": 4, "GRU": 4, "Tanh": 1, "ReLU": 1}


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(CELLS), LAYERS, st.booleans(), st.booleans(), st.booleans())
@example("LSTM", (600, 9, 3, 40), True, False, True)  # some moments at a time
@example("GRU", (600, 9, 3, 40), True, False, True)
@example("LSTM", (3, 5, 4, 16), False, True, True)
def test_recurrences(cell: str, sizes: Shape, is_backward: bool, with_kept: bool, has_first: bool) -> None:
    (moments, rows, ins, units), is_lstm = sizes, cell == "LSTM"
    x, chances = normal_numbers(1, moments, rows, ins) / 4, [ins, units]
    weights, back = [normal_numbers(2, GATES[cell], units, size) / (4 * size) for size in chances]
    bias = normal_numbers(4, GATES[cell], units)
    first = [normal_numbers(5 + one, rows, units) for one in range(1 + is_lstm)] if has_first else []
    y, kept = (first[0], first[-1]) if first else np.zeros((2, rows, units))
    made = []
    for moment in x[::-1] if is_backward else x:
        gates = np.einsum("bi,gui->bgu", moment, weights) + bias + np.einsum("bi,gui->bgu", y, back)
        y, kept = remembered(cell, gates, y, kept)
        made.append(y)
    expected = np.array([*(made[::-1] if is_backward else made), *([kept] if with_kept and is_lstm else [])])
    given = [x, pack_gates(weights), pack_gates(bias[..., None])[:, 0], pack_gates(back)]
    told = [CELLS.index(cell), units, int(is_backward), int(with_kept and is_lstm)]
    found = call("recurrence", [*given, *(state[None] for state in first)], told, expected.shape)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("rows", [1, 200])
def test_layer_norm(rows: int) -> None:
    for width in range(1, 71):
        x, scale, shift = normal_numbers(1, rows, 2, width), normal_numbers(2, width), normal_numbers(3, width)
        found = call("layer_norm", [x, scale, shift], [bits(1e-3)], x.shape)
        away = x.astype(np.float64) - x.mean(-1, dtype=np.float64, keepdims=True)
        expected = away / np.sqrt((away**2).mean(-1, keepdims=True) + 1e-3) * scale + shift
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=3e-5, err_msg=f"{width=}")


@pytest.mark.parametrize(("images", "channels", "groups"), [(1, 1, 1), (2, 6, 3), (3, 6, 6), (1, 4, 1), (40, 32, 8)])
def test_group_norm(images: int, channels: int, groups: int) -> None:
    scale, shift = normal_numbers(2, channels), normal_numbers(3, channels)
    for pixels in (*range(1, 70), 300):
        x = normal_numbers(1, images, channels, pixels) + np.float32(20)
        rows = x.reshape(images, groups, -1).astype(np.float64)
        away = (rows - rows.mean(-1, keepdims=True)) / np.sqrt(rows.var(-1, keepdims=True) + 1e-3)
        expected = away.reshape(x.shape) * scale[:, None] + shift[:, None]
        for clamp, most in ((0, None), (1, np.inf), (2, 6)):
            clamped = expected if most is None else expected.clip(0, most)
            found = call("group_norm", [x, scale, shift], [groups, bits(1e-3), clamp], x.shape)
            np.testing.assert_allclose(found, clamped, rtol=1e-4, atol=2e-4, err_msg=f"{pixels=} {clamp=}")


def test_of_no_images_a_group_norm_makes_none() -> None:
    x = np.zeros((0, 4, 3), np.float32)
    call("group_norm", [x, normal_numbers(1, 4), normal_numbers(2, 4)], [2, 0, 0], x.shape)


@pytest.mark.parametrize("rows", [1, 200])
@pytest.mark.parametrize("scale", [1, 30, 1e30])
def test_softmax(rows: int, scale: float) -> None:
    for width in range(1, 71):
        x = (normal_numbers(width, rows, 2, width) * scale).astype(np.float32)
        x[:, 1, 1::3] = -np.inf
        found = call("softmax", [x], [2], x.shape)
        power = np.exp(x.astype(np.float64) - x.max(-1, keepdims=True))
        expected = power / power.sum(-1, keepdims=True)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7, err_msg=f"{width=}")
        np.testing.assert_allclose(found.sum(-1, dtype=np.float64), 1, rtol=1e-6)


@pytest.mark.parametrize("axis", range(3))
def test_softmax_along_any_axis(axis: int) -> None:
    for width in (1, 2, 15, 16, 17, 70):
        x = normal_numbers(width, 3, 9, width) * np.float32(30)
        power = np.exp(x.astype(np.float64) - x.max(axis, keepdims=True))
        found = call("softmax", [x], [axis], x.shape)
        expected = power / power.sum(axis, keepdims=True)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7, err_msg=f"{width=}")


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


def in_whole_numbers(numbers: Array) -> Array:
    """The bits of int32, as a chain is given them."""
    return numbers.astype(np.int32).view(np.float32)


@pytest.mark.parametrize("table", [(1, 1), (9,), (5, 3), (5, 2, 70)])
@pytest.mark.parametrize("asked", [(1,), (4,), (3, 2), (0, 2)])
def test_rows_are_looked_up(table: Shape, asked: Shape) -> None:
    rows, numbers = whole_numbers(1, *table), np.random.default_rng(2).integers(0, table[0], asked)
    found = call("lookup", [rows, in_whole_numbers(numbers)], [], (*asked, *table[1:]))
    np.testing.assert_array_equal(found, rows[numbers])


@pytest.mark.parametrize("number", [-1, 5, 2**31 - 1, -(2**31)])
def test_a_row_that_is_not_there_is_refused(number: int) -> None:
    rows, numbers, room = np.zeros((5, 3), np.float32), in_whole_numbers(np.array([0, number])), np.zeros(6, np.float32)
    values = (ctypes.c_void_p * 4)(None, rows.ctypes.data, numbers.ctypes.data, room.ctypes.data)
    shapes = [program("lookup", 2, []), (5, 3), (2,), (2, 3)]
    assert library().chain(4, values, *described(shapes), None, None, None) == -1


def test_what_is_masked_may_be_no_number() -> None:
    x, mask = np.array([np.nan, np.inf, np.nan, 1], np.float32), np.array([1, 1, 0, 0], np.float32)
    np.testing.assert_array_equal(call("filling", [x, mask], [bits(-1.0), 0], (4,)), [-1, -1, np.nan, 1])


REDUCED: list[Callable[..., Array]] = [np.sum, np.mean, np.max, np.min]  # in the order of kernels/rows.c


@pytest.mark.parametrize("what", range(len(REDUCED)))
@pytest.mark.parametrize("are_kept", [False, True])
def test_reductions(are_kept: bool, what: int) -> None:
    for shape in [(2, 3, 5, 7), (3, 64, 70), (1, 1, 1), (300, 2, 131), (2, 50_003), (0, 3, 4), (9,)]:
        x = whole_numbers(1, *shape)
        for first, behind in combinations(range(len(shape) + 1), 2):
            if REDUCED[what] in (np.max, np.min) and 0 in shape[first:behind]:
                continue  # there is none
            with warnings.catch_warnings():  # the mean of nothing is no number
                warnings.simplefilter("ignore", RuntimeWarning)
                expected = REDUCED[what](x, axis=tuple(range(first, behind)), keepdims=are_kept)
            found = call("reduction", [x], [first, behind, int(are_kept), what], expected.shape)
            np.testing.assert_allclose(found, expected, rtol=1e-6, err_msg=f"{shape} {first} {behind}")


@pytest.mark.parametrize("what", [2, 3])
def test_what_is_no_number_is_the_largest_and_the_smallest_of_all(what: int) -> None:
    for place in (0, 5, 39, 62):
        x = whole_numbers(1, 63)
        x[place] = np.nan
        assert np.isnan(call("reduction", [x], [0, 1, 0, what], ()))
        np.testing.assert_array_equal(
            call("reduction", [x.reshape(3, 21)], [0, 1, 0, what], (21,)), REDUCED[what](x.reshape(3, 21), axis=0)
        )


@pytest.mark.parametrize(
    "shape", [(1, 1, 1, 1), (2, 9, 4, 16), (3, 5, 7, 33), (1, 2, 3, 1), (40, 8, 20, 19), (2, 0, 3, 4), (5,), (70, 300)]
)
def test_transpositions(shape: Shape) -> None:
    x = normal_numbers(1, *shape)
    for order in permutations(range(x.ndim)):
        expected = x.transpose(order)
        found = call("transposition", [x], order, expected.shape)
        np.testing.assert_array_equal(found, expected, err_msg=str(order))


Span = tuple[int, int, int, int]
ALL, GOES = (0, 0, 1, 0), 1
PARTS: list[tuple[Shape, list[Span]]] = [
    ((9,), [(2, 5, 1, 0)]),
    ((9,), [(1, 4, 2, 0)]),
    ((3, 9, 5), [ALL, (0, 1, 1, GOES), ALL]),
    ((3, 9, 5), [ALL, (8, 1, 1, 0), ALL]),
    ((3, 9, 5), [ALL, ALL, (4, 1, 1, GOES)]),
    ((3, 9, 5), [(1, 2, 1, 0), (0, 3, 4, 0), (1, 2, 3, 0)]),
    ((40, 60, 70), [ALL, (7, 50, 1, 0), ALL]),
    ((40, 60, 70), [ALL, ALL, (1, 33, 2, 0)]),
    ((2, 3), [(1, 1, 1, GOES), (2, 1, 1, 0)]),
    ((0, 3), [ALL, (1, 2, 1, 0)]),
]


@pytest.mark.parametrize(("shape", "spans"), PARTS)
def test_parts(shape: Shape, spans: list[Span]) -> None:
    x = normal_numbers(1, *shape)
    cuts = tuple(
        first if goes else slice(first, first + (count - 1) * every + 1, every) if count else slice(None)
        for first, count, every, goes in spans
    )
    expected = x[cuts]
    told = [number for span in spans for number in span]
    np.testing.assert_array_equal(call("part", [x], told, expected.shape), expected)


@pytest.mark.parametrize(
    ("shape", "times"),
    [((3, 4), (1, 1)), ((3, 1, 5, 1), (1, 2, 1, 3)), ((1,), (9,)), ((1, 70), (33, 1)), ((40, 1, 90, 1), (1, 7, 1, 2))],
)
def test_repetitions(shape: Shape, times: Shape) -> None:
    x = normal_numbers(1, *shape)
    expected = np.tile(x, times)
    np.testing.assert_array_equal(call("repetition", [x], times, expected.shape), expected)


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("sizes", [(1,), (3, 4), (1, 20, 2), (5, 5, 5, 5, 5, 5, 5, 5), (0, 2), (90, 200)])
def test_concatenations(sizes: Shape, axis: int) -> None:
    shapes = [(*(3, 7, 9)[:axis], size, *(3, 7, 9)[axis + 1 :]) for size in sizes]
    parts = [normal_numbers(seed, *shape) for seed, shape in enumerate(shapes)]
    expected = np.concatenate(parts, axis)
    np.testing.assert_array_equal(call("concatenation", parts, [axis], expected.shape), expected)


@pytest.mark.parametrize("first", [1, 2])
def test_one_place_is_repeated_for_all_that_it_is_put_beside(first: int) -> None:
    """A token that begins each text, say, wherever it stands."""
    token, texts = normal_numbers(1, 1, first, 9), normal_numbers(2, 5, 4, 9)
    repeated = np.broadcast_to(token, (5, first, 9))
    for parts, expected in (([token, texts], [repeated, texts]), ([texts, token, texts], [texts, repeated, texts])):
        made = np.concatenate(expected, 1)
        np.testing.assert_array_equal(call("concatenation", parts, [1], made.shape), made)


@pytest.mark.parametrize("number", [0.0, -2.5, float("inf")])
@pytest.mark.parametrize(
    ("shape", "around"),
    [
        ((7,), [(2, 3)]),
        ((3, 4), [(0, 0), (0, 0)]),
        ((2, 3, 30, 31), [(0, 0), (0, 0), (1, 1), (2, 0)]),
        ((2, 3, 4), [(1, 0), (0, 2), (0, 0)]),
        ((40, 50, 60), [(0, 0), (0, 9), (1, 0)]),
        ((0, 3), [(0, 0), (1, 1)]),
        ((2, 0, 3), [(0, 0), (1, 1), (0, 0)]),
    ],
)
def test_paddings(shape: Shape, around: list[tuple[int, int]], number: float) -> None:
    x = normal_numbers(1, *shape)
    expected = np.pad(x, around, constant_values=number)
    told = [bits(number), *(count for pair in around for count in pair)]
    np.testing.assert_array_equal(call("padding", [x], told, expected.shape), expected)


SEEN = SAME.told((6, 7))
LAYER: list[Shape] = [(2, 3, 64), (2, 64), (2, 20, 64)]  # of an LSTM, or a GRU, of 3 numbers and 20 units
# Of each operator inputs whose sizes do not belong together, and what it is told.
MISFITS: dict[str, tuple[str, list[Shape], list[int]]] = {
    "depth": ("dense", [(2, 9), (1, 7, 16), (16,)], [5, 0]),
    "three axes": ("dense", [(2, 2, 9), (1, 2, 16), (16,)], [5, 0]),
    "a wider panel": ("dense", [(2, 9), (1, 9, 64), (64,)], [5, 0]),
    "fewer panels": ("dense", [(2, 9), (1, 9, 64), (64,)], [70, 0]),
    "bias of fewer panels": ("dense", [(2, 9), (2, 9, 64), (64,)], [70, 0]),
    "depth of pairs": ("products", [(1, 2, 9), (1, 3, 5)], [0]),
    "depth of turned pairs": ("products", [(1, 2, 9), (1, 5, 3)], [1]),
    "pairs": ("products", [(4, 2, 3), (2, 3, 5)], [0]),
    "one matrix": ("products", [(3,), (3,)], [0]),
    "axes of pairs": ("products", [(1, 1, 2, 3), (1, 3, 5)], [0]),
    "no sequence": ("recurrence", [(2, 3), *LAYER], [0, 20, 0, 0]),
    "numbers of a moment": ("recurrence", [(4, 2, 4), *LAYER], [0, 20, 0, 0]),
    "units": ("recurrence", [(4, 2, 3), *LAYER], [0, 33, 0, 0]),
    "units of the moment before": ("recurrence", [(4, 2, 3), *LAYER], [0, 21, 0, 0]),
    "gates": ("recurrence", [(4, 2, 3), LAYER[0], (1, 64), LAYER[2]], [0, 20, 0, 0]),
    "no cell": ("recurrence", [(4, 2, 3), *LAYER], [4, 20, 0, 0]),
    "gates of another cell": ("recurrence", [(4, 2, 3), *LAYER], [2, 20, 0, 0]),
    "what it does not keep": ("recurrence", [(4, 2, 3), *LAYER], [1, 20, 0, 1]),
    "first y alone": ("recurrence", [(4, 2, 3), *LAYER, (1, 2, 20)], [0, 20, 0, 0]),
    "two first ones": ("recurrence", [(4, 2, 3), *LAYER, (2, 20), (2, 20)], [1, 20, 0, 0]),
    "first units": ("recurrence", [(4, 2, 3), *LAYER, (1, 2, 20), (1, 2, 21)], [0, 20, 0, 0]),
    "first rows": ("recurrence", [(4, 2, 3), *LAYER, (1, 3, 20), (1, 2, 20)], [0, 20, 0, 0]),
    "first ones of two": ("recurrence", [(4, 2, 3), *LAYER, (2, 1, 20)], [1, 20, 0, 0]),
    "channels": ("convolution", [(1, 4, 6, 7), (1, 2, 27, 8), (1, 16)], [*SEEN, 11, 1, 0]),
    "each channel": ("convolution", [(1, 4, 6, 7), (5, 9), (5,)], [*SEEN, 5, 5, 0]),
    "no image": ("convolution", [(4, 6, 7), (4, 9), (4,)], [*SEEN, 4, 4, 0]),
    "image": ("pooling", [(1, 4, 3, 7)], SEEN),
    "three axes of an image": ("pooling", [(4, 6, 7)], SEEN),
    "scale": ("layer_norm", [(3, 9), (8,), (9,)], [0]),
    "shift": ("layer_norm", [(3, 9), (9,), (8,)], [0]),
    "groups of unlike size": ("group_norm", [(3, 9, 5), (9,), (9,)], [2, 0, 0]),
    "no groups": ("group_norm", [(3, 9, 5), (9,), (9,)], [0, 0, 0]),
    "no channels": ("group_norm", [(9,), (9,), (9,)], [3, 0, 0]),
    "scale of channels": ("group_norm", [(3, 9, 5), (5,), (9,)], [3, 0, 0]),
    "no row": ("softmax", [()], [0]),
    "an axis that a softmax has not": ("softmax", [(2, 3)], [2]),
    "no activation": ("activation", [(3,)], [len(ACTIVATIONS)]),
    "turned": ("combination", [(2, 3), (3, 2)], [0, 0]),
    "no combination": ("combination", [(2,), (2,)], [len(COMBINATIONS), 0]),
    "no axes": ("reduction", [(2, 3)], [1, 1, 0, 0]),
    "nothing that is known of axes": ("reduction", [(2, 3)], [1, 2, 0, 4]),
    "axes behind": ("reduction", [(2, 3)], [1, 3, 0, 0]),
    "axes of three": ("transposition", [(2, 3, 4)], [1, 0]),
    "an axis that is not there": ("transposition", [(2, 3, 4)], [0, 1, 3]),
    "an axis twice": ("transposition", [(2, 3, 4)], [0, 1, 1]),
    "a part behind": ("part", [(2, 3)], [*ALL, 2, 2, 1, 0]),
    "a part far behind": ("part", [(2, 3)], [*ALL, 0, 2, 3, 0]),
    "parts of fewer axes": ("part", [(2, 3)], [*ALL]),
    "an axis goes that has two places": ("part", [(2, 3)], [*ALL, 0, 2, 1, GOES]),
    "two places repeated": ("repetition", [(2, 3)], [1, 2]),
    "repeated along fewer axes": ("repetition", [(1, 1)], [2]),
    "behind another size": ("concatenation", [(2, 3), (2, 4)], [0]),
    "behind another number of axes": ("concatenation", [(2, 3), (2, 3, 1)], [0]),
    "paddings of fewer axes": ("padding", [(2, 3)], [0, 1, 1]),
    "a number for a table": ("lookup", [(), (3,)], []),
    "rows of too many axes": ("lookup", [(2, 1, 1, 1, 1), (2, 1, 1, 1, 1)], []),
    "behind along no axis": ("concatenation", [(2, 3), (2, 3)], [2]),
}


@pytest.mark.parametrize("name", MISFITS)
def test_sizes_that_do_not_belong_together_are_refused(name: str) -> None:
    operator, shapes, told = MISFITS[name]
    assert inferred_shape([program(operator, len(shapes), told), *shapes]) is None


def test_another_shape_of_what_is_made_than_the_caller_has_room_for_is_refused() -> None:
    shapes, room = [program("softmax", 1, [1]), (2, 3)], np.zeros(9, np.float32)
    values = (ctypes.c_void_p * 3)(None, room.ctypes.data, room.ctypes.data)
    for made, result in (((2, 3), 0), ((3, 2), -1), ((6,), -1)):
        assert library().chain(3, values, *described([*shapes, made]), None, None, None) == result


# Of each operator the shapes of its inputs, what it is told, and what it makes, for an open number of instances.
OPEN: dict[str, tuple[list[Shape], list[int], Shape]] = {
    "convolution": ([(-1, 3, 6, 7), (1, 2, 27, 8), (1, 16)], [*SEEN, 11, 1, 0], (-1, 11, 6, 7)),
    "pooling": ([(-1, 3, 6, 7)], SEEN, (-1, 3, 6, 7)),
    "dense": ([(-1, 5), (2, 5, 64), (128,)], [70, 1], (-1, 70)),
    "lookup": ([(50, 16, 2), (-1, 7)], [], (-1, 7, 16, 2)),
    "products": ([(-1, 2, 3, 5), (-1, 2, 5, 70)], [0], (-1, 2, 3, 70)),
    "recurrence": ([(4, -1, 3), *LAYER], [0, 20, 0, 1], (5, -1, 20)),
    "layer_norm": ([(-1, 3, 9), (9,), (9,)], [0], (-1, 3, 9)),
    "group_norm": ([(-1, 6, 9), (6,), (6,)], [3, 0, 1], (-1, 6, 9)),
    "softmax": ([(-1, 3, 9)], [1], (-1, 3, 9)),
    "activation": ([(-1, 3, 9)], [6], (-1, 3, 9)),
    "combination": ([(-1, 3, 9), (-1, 3, 9)], [0, 1], (-1, 3, 9)),
    "reduction": ([(-1, 3, 9)], [1, 2, 0, 1], (-1, 9)),
    "transposition": ([(-1, 3, 4, 5)], [2, 0, 1, 3], (4, -1, 3, 5)),
    "part": ([(-1, 3, 9)], [*ALL, 1, 1, 1, GOES, 0, 5, 2, 0], (-1, 5)),
    "repetition": ([(-1, 1, 9)], [1, 4, 1], (-1, 4, 9)),
    "concatenation": ([(-1, 3, 9), (-1, 4, 9)], [1], (-1, 7, 9)),
    "padding": ([(-1, 3, 9)], [0, 0, 0, 1, 2, 0, 4], (-1, 6, 13)),
}


@pytest.mark.parametrize("name", OPEN)
def test_an_open_number_of_instances_stays_open_and_none_give_an_empty_result(name: str) -> None:
    shapes, told, made = OPEN[name]
    assert inferred_shape([program(name, len(shapes), told), *shapes]) == made
    inputs = [np.ones([max(size, 0) for size in shape], np.float32) for shape in shapes]
    assert call(name, inputs, told, tuple(max(size, 0) for size in made)).size == 0


@pytest.mark.parametrize("name", OPEN)
def test_no_size_need_be_known(name: str) -> None:
    """As long as a graph is compiled, a file may say nothing of them."""
    shapes, told, made = OPEN[name]
    fixed = shapes[1:] if name not in ("products", "combination", "concatenation") else []
    inputs = [tuple(-1 for _ in shape) for shape in shapes[: len(shapes) - len(fixed)]]
    found = inferred_shape([program(name, len(shapes), told), *inputs, *fixed])
    assert found is not None and len(found) == len(made)
    assert all(size in (-1, known) for size, known in zip(found, made, strict=True))


def test_nothing_is_known_behind_an_input_of_which_nothing_is_known() -> None:
    for shapes in ([UNRANKED, (3,)], [(3,), UNRANKED]):
        assert inferred_shape([program("combination", 2, [0, 0]), *shapes]) is None


@pytest.mark.parametrize(
    ("one", "other", "made"),
    [((-1, 3), (3,), (-1, 3)), ((-1, 3), (1, 3), (-1, 3)), ((7, 3), (-1, 3), (7, 3)), ((-1, 3), (-1, 1), (-1, 3))],
)
def test_open_sizes_of_combinations(one: Shape, other: Shape, made: Shape) -> None:
    for shapes in ([one, other], [other, one]):
        assert inferred_shape([program("combination", 2, [0, 0]), *shapes]) == made


def test_the_type_is_that_of_the_program() -> None:
    types = (ctypes.c_int * 3)(43, 44, 45)
    begin = ctypes.addressof(types)
    end = begin + ctypes.sizeof(types)
    assert library().chainInferType(ctypes.byref(Vector(begin, end, end)), None) == 43


def test_threads_that_call_at_once_get_their_own_numbers() -> None:
    together = Barrier(2)

    def calls(outs: int) -> None:
        together.wait(60)
        for _ in range(20):
            check_convolution(2, 1, (16, outs), (SAME, (40, 41)), clamp=0, with_nan=False)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(calls, (9, 17)))
