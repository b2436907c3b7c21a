"""What is made of rows: norms, Softmax, sums and the like."""

import warnings
from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest

from mindspore_serving.worker.rewrites.kernel_nodes import bits
from tests.worker.kernel_calls import Array, call
from tests.worker.kernels.numbers import normal_numbers, whole_numbers


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


@pytest.mark.parametrize("mean", [10, 1000, 1e4, -1e5])
@pytest.mark.parametrize("width", [16, 70, 4096])
def test_a_large_mean_takes_no_digits_from_a_norm(mean: float, width: int) -> None:
    x = np.random.default_rng(width).normal(mean, 1, (2, 4, width)).astype(np.float32)
    ones, zeros = np.ones(width, np.float32), np.zeros(width, np.float32)
    for rows, found in (
        (x.astype(np.float64), call("layer_norm", [x, ones, zeros], [bits(1e-5)], x.shape)),
        (
            x.reshape(2, 2, -1).astype(np.float64),
            call("group_norm", [x, ones[:4], zeros[:4]], [2, bits(1e-5), 0], x.shape),
        ),
    ):
        expected = (rows - rows.mean(-1, keepdims=True)) / np.sqrt(rows.var(-1, keepdims=True) + 1e-5)
        np.testing.assert_allclose(found, expected.reshape(x.shape), rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("number", [1e6 + 0.1, -3.3e7, 7.7])
def test_numbers_that_are_all_the_same_have_no_variance(number: float) -> None:
    for width in (3, 70, 1003):
        x, ones = np.full((2, 4, width), number, np.float32), np.ones(width + 4, np.float32)
        for name, given, told in (("layer_norm", ones[4:], []), ("group_norm", ones[:4], [2])):
            found = call(name, [x, given, given], [*told, bits(1e-12), *([0] if told else [])], x.shape)
            assert np.isfinite(found).all(), (name, width)


@pytest.mark.parametrize("axis", [1, 2])
def test_what_is_masked_has_no_share(axis: int) -> None:
    x = normal_numbers(1, 2, 19, 37)
    x[:, 5:9, 3:20] = -1e4
    x[:, 10, 30] = -np.inf
    found = call("softmax", [x], [axis], x.shape)
    np.testing.assert_array_equal(found == 0, x < -100)
    x[0], x[1, 0, 0] = -np.inf, np.nan
    found = call("softmax", [x], [axis], x.shape)
    np.testing.assert_array_equal(found[0], 0)  # though it is all that there is
    np.testing.assert_array_equal(np.isnan(found[1]).any(axis - 1), np.isnan(x[1]).any(axis - 1))


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
