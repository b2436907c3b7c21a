"""Windows over images: what they meet, by numpy."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import prod

import numpy as np
from hypothesis import strategies as st

from mindspore_serving.worker.rewrites.packed_weights import pack
from tests.worker.kernel_calls import Array, Shape, call
from tests.worker.kernels.numbers import CLAMPS, whole_numbers

Pair = tuple[int, int]  # for rows and columns, if nothing else is said


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
