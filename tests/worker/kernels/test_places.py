"""The same numbers, at other places."""

import ctypes
from itertools import permutations

import numpy as np
import pytest

from mindspore_serving.worker.rewrites.kernel_nodes import bits
from tests.worker.kernel_calls import Array, Shape, call, described, library, program
from tests.worker.kernels.numbers import normal_numbers, whole_numbers


def in_whole_numbers(numbers: Array) -> Array:
    """The bits of int32, as a chain is given them."""
    return numbers.astype(np.int32).view(np.float32)


@pytest.mark.parametrize("table", [(1, 1), (9,), (5, 3), (5, 2, 70)])
@pytest.mark.parametrize("asked", [(1,), (4,), (3, 2), (0, 2)])
def test_rows_are_looked_up(table: Shape, asked: Shape) -> None:
    rows, numbers = whole_numbers(1, *table), np.random.default_rng(2).integers(-table[0], table[0], asked)
    found = call("lookup", [rows, in_whole_numbers(numbers)], [], (*asked, *table[1:]))
    np.testing.assert_array_equal(found, rows[numbers])


@pytest.mark.parametrize("number", [-6, 5, 2**31 - 1, -(2**31)])
def test_a_row_that_is_not_there_is_refused(number: int) -> None:
    rows, numbers, room = np.zeros((5, 3), np.float32), in_whole_numbers(np.array([0, number])), np.zeros(6, np.float32)
    values = (ctypes.c_void_p * 4)(None, rows.ctypes.data, numbers.ctypes.data, room.ctypes.data)
    shapes = [program("lookup", 2, []), (5, 3), (2,), (2, 3)]
    assert library().chain(4, values, *described(shapes), None, None, None) == -1


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
