"""Products of matrices, and recurrent layers."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mindspore_serving.worker.rewrites.dense import panel_of, panels
from mindspore_serving.worker.rewrites.recurrence import CELLS, pack_gates
from tests.worker.kernel_calls import Array, Shape, call
from tests.worker.kernels.numbers import CLAMPS, normal_numbers, sigmoid, whole_numbers
from tests.worker.kernels.windows import Pair, pairs


@settings(max_examples=100)
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


@settings(max_examples=100)
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


def remembered(cell: str, gates: Array, y: Array, kept: Array) -> tuple[Array, Array]:
    """By numpy: y of the next moment, and what is kept. gates: [row][gate][unit]."""
    if cell in ("Tanh", "ReLU"):
        return np.tanh(gates[:, 0]) if cell == "Tanh" else np.maximum(gates[:, 0], 0), kept
    first, second, third, fourth = gates.swapaxes(0, 1)
    if cell == "GRU":
        new: Array = np.tanh(third + sigmoid(first) * fourth)
        new += sigmoid(second) * (y - new)
        return new, kept
    kept = sigmoid(second) * kept + sigmoid(first) * np.tanh(third)
    return sigmoid(fourth) * np.tanh(kept), kept


LAYERS = st.tuples(st.integers(1, 9), st.integers(1, 20), st.integers(1, 40), st.integers(1, 70))
GATES = {"LSTM": 4, "GRU": 4, "Tanh": 1, "ReLU": 1}


@settings(max_examples=100)
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
