"""The operators of worker/kernels/, called as MindSpore calls them, give the numbers of numpy, and touch nothing else.

What only adds and multiplies gets small whole numbers: so its results are exact, in whatever order it takes them.
"""

import ctypes
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from math import prod
from threading import Barrier
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mindspore_serving.worker import kernels
from mindspore_serving.worker.rewrites.dense import panels
from mindspore_serving.worker.rewrites.elements import ACTIVATIONS
from mindspore_serving.worker.rewrites.windows import pack

pytestmark = pytest.mark.skipif(kernels.loaded() is None, reason="the kernels are not compiled")

Array = npt.NDArray[Any]
Shape = tuple[int, ...]
Pair = tuple[int, int]  # for rows and columns, if nothing else is said

SETS = 3  # of instructions, where there are most: instructions.c
GUARD = 67  # floats beside each value: more than any part of the library reads or writes at once, and no whole vectors
MARK = -12345.0
CLAMPS = ((-np.inf, np.inf), (0, np.inf), (0, 6))  # in the order of operators.c


class Vector(ctypes.Structure):
    """What C++ calls std::vector."""

    _fields_ = (("begin", ctypes.c_void_p), ("end", ctypes.c_void_p), ("room", ctypes.c_void_p))


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

    def told(self, image: Shape, *more: int) -> Array:
        before = [padding[0] for padding in self.padding]
        return told(*self.kernel, *self.stride, *self.dilation, *before, *self.outs(image), *more)

    def met(self, x: Array, padding: float) -> Iterator[tuple[Pair, Array]]:
        """For each place of the kernel, what it meets for all pixels of the output."""
        padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), *self.padding), constant_values=padding)
        (height, width), (down, right) = self.outs(x.shape[2:]), self.stride
        for row, column in product(range(self.kernel[0]), range(self.kernel[1])):
            here = padded[:, :, row * self.dilation[0] :: down, column * self.dilation[1] :: right]
            yield (row, column), here[:, :, :height, :width]


Place = tuple[Window, Pair]  # a window, and the size of the image


def library() -> ctypes.CDLL:
    found = kernels.loaded()
    assert found is not None
    return found


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


def described(shapes: Sequence[Shape]) -> tuple[Any, Any]:
    """How many dimensions each has, and these."""
    dimensions: list[Any] = [(ctypes.c_int64 * len(shape))(*shape) for shape in shapes]
    return (ctypes.c_int * len(shapes))(*map(len, shapes)), (ctypes.POINTER(ctypes.c_int64) * len(shapes))(*dimensions)


def inferred_shape(name: str, shapes: Sequence[Shape]) -> Shape:
    function = library()[f"{name}InferShape"]
    function.restype = Vector
    made = function(*described(shapes), None)
    assert made.begin < made.end <= made.room
    shape = tuple((ctypes.c_int64 * ((made.end - made.begin) // 8)).from_address(made.begin))
    ctypes.CDLL(None).free(ctypes.c_void_p(made.begin))
    return shape


def between_guards(array: Array, guard: float) -> Array:
    """A copy of the numbers, with so many others before and behind."""
    return np.pad(array.astype(np.float32).ravel(), GUARD, constant_values=guard)


def call(name: str, inputs: Sequence[Array], shape: Shape) -> Array:
    """What an operator makes: what it reads beside its inputs is NaN, and what it writes beside its output is seen."""
    shapes = [array.shape for array in inputs]
    assert inferred_shape(name, shapes) == shape
    rooms = [*(between_guards(array, np.nan) for array in inputs), between_guards(np.full(shape, np.nan), MARK)]
    values = (ctypes.c_void_p * len(rooms))(*(room[GUARD:].ctypes.data for room in rooms))
    types = (ctypes.c_char_p * len(rooms))(*[b"float32"] * len(rooms))
    assert library()[name](len(rooms), values, *described([*shapes, shape]), types, None, None) == 0
    *given, made = rooms
    for room, array in zip(given, inputs, strict=True):
        np.testing.assert_array_equal(room, between_guards(array, np.nan))
    assert (made[:GUARD] == MARK).all() and (made[-GUARD:] == MARK).all()
    return made[GUARD:-GUARD].reshape(shape)


def told(*numbers: int) -> Array:
    return np.zeros((0, *numbers), np.float32)


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
    inputs = [x, *pack(weights, bias, group), window.told(image, group * outs, group, clamp)]
    found = call("convolution", inputs, (images, group * outs, *window.outs(image)))
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
def test_convolutions(images: int, group: int, sides: Pair, place: Place, clamp: int, with_nan: bool) -> None:
    check_convolution(images, group, sides, place, clamp, with_nan)


@settings(max_examples=100, deadline=None)
@given(pairs(1, 3), pairs(0, 20), pairs(1, 5), pairs(1, 3), st.booleans())
@example((5, 9), (39, 40), (3, 2), (2, 1), True)  # several parts
def test_poolings(planes: Pair, more: Pair, kernel: Pair, stride: Pair, is_same: bool) -> None:
    """Of negative numbers, so that padding by zeros would be seen. is_same: MindSpore's padding of this name."""
    image = tuple(size + (1 if is_same else least) for size, least in zip(more, kernel, strict=True))
    padding = []
    for size, least, step in zip(image, kernel, stride, strict=True):
        missing = max(0, ((size - 1) // step) * step + least - size) if is_same else 0
        padding.append((missing // 2, missing - missing // 2))
    window = Window(kernel, stride, padding=(padding[0], padding[1]))
    x = -1 - abs(normal_numbers(1, *planes, *image))
    found = call("pooling", [x, window.told(image)], (*planes, *window.outs(image)))
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
    shifts = np.pad(bias, (0, -columns % 64))
    found = call("dense", [x, panels(weights), shifts, told(columns, clamp)], (rows, columns))
    np.testing.assert_array_equal(found, np.clip(x.astype(np.float64) @ weights + bias, *CLAMPS[clamp]))


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([(), (1,), (5,), (2, 3), (0, 2)]), st.integers(1, 20), pairs(1, 150), st.booleans())
def test_products(matrices: Shape, rows: int, sizes: Pair, is_transposed: bool) -> None:
    depth, columns = sizes
    x, weights = whole_numbers(1, *matrices, rows, depth), whole_numbers(2, *matrices, depth, columns)
    other = weights.swapaxes(-1, -2) if is_transposed else weights
    found = call("products", [x, other, told(int(is_transposed))], (*matrices, rows, columns))
    np.testing.assert_array_equal(found, x @ weights)


@pytest.mark.parametrize("rows", [1, 200])
def test_layer_norm(rows: int) -> None:
    for width in range(1, 71):
        x, scale, shift = normal_numbers(1, rows, 2, width), normal_numbers(2, width), normal_numbers(3, width)
        found = call("layer_norm", [x, scale, shift, np.array([1e-3], np.float32)], x.shape)
        away = x.astype(np.float64) - x.mean(-1, dtype=np.float64, keepdims=True)
        expected = away / np.sqrt((away**2).mean(-1, keepdims=True) + 1e-3) * scale + shift
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=3e-5, err_msg=f"{width=}")


@pytest.mark.parametrize("rows", [1, 200])
@pytest.mark.parametrize("scale", [1, 30, 1e30])
def test_softmax(rows: int, scale: float) -> None:
    for width in range(1, 71):
        x = (normal_numbers(width, rows, 2, width) * scale).astype(np.float32)
        x[:, 1, 1::3] = -np.inf
        found = call("softmax", [x], x.shape)
        power = np.exp(x.astype(np.float64) - x.max(-1, keepdims=True))
        expected = power / power.sum(-1, keepdims=True)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7, err_msg=f"{width=}")
        np.testing.assert_allclose(found.sum(-1, dtype=np.float64), 1, rtol=1e-6)


FORMULAS: dict[str, Callable[[Array], Array]] = {
    "ReLU": lambda x: np.maximum(x, 0),
    "ReLU6": lambda x: np.clip(x, 0, 6),
    "Sigmoid": lambda x: 0.5 + 0.5 * np.tanh(x / 2),
    "SiLU": lambda x: x * (0.5 + 0.5 * np.tanh(x / 2)),
    "HSigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
    "HSwish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "GeLU": lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
}
LARGE = np.array([50, -50, 88.3, -88.4, 1e4, -1e4, 1e30, -1e30, 3e38, -3e38, 0], np.float32)
SIZES = (*range(1, 71), 70_001)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name: str) -> None:
    for size in SIZES:
        x = normal_numbers(size, 1, size)
        x[0, -len(LARGE) :] = LARGE[:size]
        found = call("activation", [x, told(ACTIVATIONS.index(name))], x.shape)
        expected = FORMULAS[name](x.astype(np.float64))
        np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-6, err_msg=f"{size=}")


@pytest.mark.parametrize("bits", [0x7FC00000, 0x7FC00001, 0x7FC001FF, 0xFFC00000])
def test_whatever_is_no_number_stays_none(bits: int) -> None:
    """A number of another kind than the usual one, too."""
    x = np.array([[0, 1, bits, 2]], np.uint32)
    x[0, [1, 3]] = np.array([1, 2], np.float32).view(np.uint32)
    for name in ACTIVATIONS:
        found = call("activation", [x.view(np.float32), told(ACTIVATIONS.index(name))], x.shape)
        np.testing.assert_array_equal(np.isnan(found), [[False, False, True, False]], err_msg=name)
    assert np.isnan(call("softmax", [x.view(np.float32)], x.shape)).all()


def test_what_is_no_number_is_the_largest_wherever_it_is() -> None:
    x = np.zeros((1, 1, 3, 3), np.float32)
    x[..., 1, 1] = np.nan
    assert np.isnan(call("pooling", [x, Window((2, 2)).told((3, 3))], (1, 1, 2, 2))).all()


# Of each operator, inputs whose sizes do not belong together, and the shape that it would make.
MISFITS: dict[str, tuple[str, list[Shape], Shape]] = {
    "depth": ("dense", [(2, 9), (1, 7, 64), (64,), (0, 5, 0)], (2, 5)),
    "depth of pairs": ("products", [(1, 2, 9), (1, 3, 5), (0, 0)], (1, 2, 5)),
    "depth of turned pairs": ("products", [(1, 2, 9), (1, 5, 3), (0, 1)], (1, 2, 5)),
    "pairs": ("products", [(4, 2, 3), (1, 3, 5), (0, 0)], (4, 2, 5)),
    "channels": (
        "convolution",
        [(1, 4, 6, 7), (1, 2, 27, 8), (1, 16), SAME.told((6, 7), 11, 1, 0).shape],
        (1, 11, 6, 7),
    ),
    "each channel": ("convolution", [(1, 4, 6, 7), (5, 9), (5,), SAME.told((6, 7), 5, 5, 0).shape], (1, 5, 6, 7)),
    "image": ("pooling", [(1, 4, 3, 7), SAME.told((6, 7)).shape], (1, 4, 6, 7)),
    "scale": ("layer_norm", [(3, 9), (8,), (9,), (1,)], (3, 9)),
    "shift": ("layer_norm", [(3, 9), (9,), (8,), (1,)], (3, 9)),
    "turned": ("sum", [(2, 3), (3, 2), (0, 0)], (2, 3)),
    "one more": ("sum", [(2, 3), (1, 2, 3), (0, 0)], (2, 3)),
}


@pytest.mark.parametrize("name", MISFITS)
def test_sizes_that_do_not_belong_together_are_refused(name: str) -> None:
    operator, shapes, made = MISFITS[name]
    arrays = [np.zeros(shape, np.float32) for shape in (*shapes, made)]
    values = (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))
    assert library()[operator](len(arrays), values, *described([*shapes, made]), None, None, None) == -1


@pytest.mark.parametrize("clamp", range(3))
def test_sums(clamp: int) -> None:
    for size in SIZES:
        x, other = whole_numbers(1, size), whole_numbers(2, size)
        found = call("sum", [x, other, told(clamp)], (size,))
        np.testing.assert_array_equal(found, np.clip(x + other, *CLAMPS[clamp]))


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 9, 4, 16), (3, 5, 7, 33), (1, 2, 3, 1), (40, 8, 20, 19)])
def test_middle_axes(shape: Shape) -> None:
    x = normal_numbers(1, *shape)
    expected = x.swapaxes(1, 2)
    np.testing.assert_array_equal(call("middle_axes", [x], expected.shape), expected)


# Of each operator the shapes of its inputs, and of what it makes, for an open number of instances.
OPEN: dict[str, tuple[list[Shape], Shape]] = {
    "convolution": ([(-1, 3, 6, 7), (1, 2, 27, 8), (1, 16), SAME.told((6, 7), 11, 1, 0).shape], (-1, 11, 6, 7)),
    "pooling": ([(-1, 3, 6, 7), SAME.told((6, 7)).shape], (-1, 3, 6, 7)),
    "dense": ([(-1, 5), (2, 5, 64), (128,), (0, 70, 1)], (-1, 70)),
    "products": ([(-1, 2, 3, 5), (-1, 2, 5, 70), (0, 0)], (-1, 2, 3, 70)),
    "layer_norm": ([(-1, 3, 9), (9,), (9,), (1,)], (-1, 3, 9)),
    "softmax": ([(-1, 3, 9)], (-1, 3, 9)),
    "activation": ([(-1, 3, 9), (0, 6)], (-1, 3, 9)),
    "sum": ([(-1, 3, 9), (-1, 3, 9), (0, 1)], (-1, 3, 9)),
    "middle_axes": ([(-1, 3, 4, 5)], (-1, 4, 3, 5)),
}


@pytest.mark.parametrize("name", OPEN)
def test_an_open_number_of_instances_stays_open_and_none_give_an_empty_result(name: str) -> None:
    shapes, made = OPEN[name]
    assert inferred_shape(name, shapes) == made
    inputs = [np.ones([max(size, 0) for size in shape], np.float32) for shape in shapes]
    assert call(name, inputs, (0, *made[1:])).size == 0


@pytest.mark.parametrize("name", OPEN)
def test_the_type_is_that_of_the_first_input(name: str) -> None:
    types = (ctypes.c_int * 3)(43, 44, 45)
    begin = ctypes.addressof(types)
    end = begin + ctypes.sizeof(types)
    assert library()[f"{name}InferType"](ctypes.byref(Vector(begin, end, end)), None) == 43


def test_threads_that_call_at_once_get_their_own_numbers() -> None:
    together = Barrier(2)

    def calls(outs: int) -> None:
        together.wait(60)
        for _ in range(20):
            check_convolution(2, 1, (16, outs), (SAME, (40, 41)), clamp=0, with_nan=False)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(calls, (9, 17)))
