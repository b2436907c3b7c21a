"""Convolutions and poolings."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mindspore_serving.worker.rewrites.packed_weights import transform
from tests.worker.kernel_calls import Shape, call, inferred_shape, program
from tests.worker.kernels.numbers import normal_numbers, whole_numbers
from tests.worker.kernels.windows import (
    SAME,
    SIDES,
    UNEVEN,
    Pair,
    Place,
    Window,
    check_convolution,
    convolved,
    pairs,
    windows_and_images,
)


@settings(max_examples=120)
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


@settings(max_examples=120)
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
@settings(max_examples=120)
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


@settings(max_examples=100)
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
