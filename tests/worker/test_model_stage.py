"""The quick way of stacked inputs, with a model that counts its calls."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from mindspore_serving.cluster.errors import Code, Failure
from mindspore_serving.worker.batch_plan import BatchPlan
from mindspore_serving.worker.loaded_model import InputSpec
from mindspore_serving.worker.model_stage import run_each, run_stacked

Array = npt.NDArray[Any]


class Doubler:
    """Takes inputs of one shape, gives the first of them twice as large."""

    def __init__(self, shape: tuple[int, ...], batched: Sequence[bool]) -> None:
        self.inputs = tuple(InputSpec("x", np.dtype(np.float32), shape, one) for one in batched)
        self.plan = BatchPlan({1: 1.0, 4: 1.0}, fill=True)
        self.shapes: list[tuple[int, ...]] = []

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        assert all(isinstance(array, np.ndarray) for array in arrays)
        self.shapes.append(arrays[0].shape)
        return [arrays[0] * np.float32(2) + np.zeros(arrays[0].shape, np.float32)]


@pytest.mark.parametrize("shape", [(), (2, 2)])
@pytest.mark.parametrize("count", [1, 3])
def test_a_model_without_batch_dimension_is_called_once_for_each_instance(shape: tuple[int, ...], count: int) -> None:
    model = Doubler(shape, [False])
    values = np.arange(count * 4 ** (len(shape) // 2), dtype=np.float32).reshape(count, *shape)
    outputs = run_stacked(model, [values])
    assert outputs is not None
    assert np.array_equal(outputs[0], values * 2)
    assert outputs[0].shape == values.shape
    assert model.shapes == [shape] * count


def test_a_batch_that_fits_is_one_call_and_another_is_filled_up() -> None:
    model = Doubler((4, 2), [True])
    for count in (4, 3):
        values = np.arange(count * 2, dtype=np.float32).reshape(count, 2)
        outputs = run_stacked(model, [values])
        assert outputs is not None
        assert np.array_equal(outputs[0], values * 2)
    assert model.shapes == [(4, 2), (4, 2)]


def test_inputs_that_instances_share_are_left_to_the_careful_way() -> None:
    model = Doubler((4, 2), [True, False])
    assert run_stacked(model, [np.zeros((4, 2), np.float32)] * 2) is None
    assert not model.shapes


@pytest.mark.parametrize("shape", [(-1, -1, 2), (4, -1, 2)])
def test_an_instance_of_no_numbers_is_refused_where_a_size_is_open(shape: tuple[int, ...]) -> None:
    """MindSpore 2.10 runs it, and gives everybody wrong numbers from then on."""
    model = Doubler(shape, [True])
    texts: list[Array | str | bytes | None] = [np.ones((length, 2), np.float32) for length in (3, 0, 3)]
    outcomes = run_each(model, [texts], range(3))
    fault = "Given model input 0 shape [0, 2] not match the shape [-1, 2] defined in model"
    assert outcomes[1] == Failure(Code.INVALID_INPUTS, fault)
    for index in (0, 2):
        (made,) = outcomes[index]  # type: ignore[misc]
        assert np.array_equal(made, np.full((3, 2), 2.0))
    assert all(0 not in called for called in model.shapes)


class Table:
    """Its input names rows of a table of five, and it has to be given such alone."""

    def __init__(self) -> None:
        self.inputs: tuple[InputSpec, ...] = (InputSpec("x", np.dtype(np.int32), (-1, 2), True, rows=5),)
        self.plan = BatchPlan({1: 1.0, 4: 1.0}, fill=True)

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        assert arrays[0].min() >= -5
        assert arrays[0].max() < 5
        return [np.arange(5)[arrays[0]]]


def test_a_row_that_a_table_does_not_have_is_found_before_the_model_is_called() -> None:
    """MindSpore takes three seconds to fail at it, and everybody waited."""
    assert run_stacked(Table(), [np.array([[0, 4], [-5, 1]], np.int32)]) is not None
    values = np.array([[0, 4], [5, 1], [2, -6], [-5, 1]], np.int32)
    assert run_stacked(Table(), [values]) is None
    outcomes = run_each(Table(), [values], range(4))
    text = "Given model input 0 names row {} of a table that has 5"
    assert [outcomes[place] for place in (1, 2)] == [Failure(Code.INVALID_INPUTS, text.format(n)) for n in (5, -6)]
    for place, rows in ((0, [0, 4]), (3, [0, 1])):
        outcome = outcomes[place]
        assert isinstance(outcome, list)
        assert np.array_equal(np.asarray(outcome[0]), rows)
