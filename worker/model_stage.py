"""Runs instances through a model: checks each, groups those that may share a call, pads a batch, splits results."""

import itertools
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from mindspore_serving.cluster.errors import Code, Failure
from mindspore_serving.worker.arrays import Array, Value, Values, kind, kind_of
from mindspore_serving.worker.batch_plan import BatchPlan
from mindspore_serving.worker.loaded_model import InputSpec, first_line
from mindspore_serving.worker.mindir_file import DYNAMIC

Outcome = list[Value] | Failure  # one instance's outputs


class Runnable(Protocol):
    """What is needed of a LoadedModel."""

    inputs: tuple[InputSpec, ...]
    plan: BatchPlan

    def run(self, arrays: Sequence[Array]) -> list[Array]: ...


def run_stacked(model: Runnable, inputs: Sequence[Array]) -> list[Array] | None:
    """The quick way for stacked inputs without any fault: outputs stacked alike. None where each instance needs a look.

    Raises whatever the model raises.
    """
    count = len(inputs[0])
    batched = model.inputs[0].batched
    shaped = []
    for array, spec in zip(inputs, model.inputs, strict=True):
        if array.dtype != spec.dtype or spec.is_open or spec.batched is not batched:
            return None
        if array.nbytes != count * spec.instance_bytes or (spec.rows and _strange_row(array, spec.rows) is not None):
            return None
        shape = (count, *spec.instance_shape)
        shaped.append(array if array.shape == shape else array.reshape(shape))
    if not batched:
        # The ellipsis keeps a scalar an array.
        if count == 1:
            return [output[np.newaxis, ...] for output in model.run([array[0, ...] for array in shaped])]
        calls = [model.run([array[index, ...] for array in shaped]) for index in range(count)]
        return [np.stack(outputs) for outputs in zip(*calls, strict=True)]
    sizes = model.plan.cut(count)
    if len(sizes) == 1:
        return _rows(model, shaped, count) if model.plan.fit(count) == count else _call(model, shaped)
    ends = list(itertools.accumulate(sizes))
    parts = [_call(model, [array[end - size : end] for array in shaped]) for size, end in zip(sizes, ends, strict=True)]
    return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]


def run_each(
    model: Runnable, inputs: Sequence[Values], live: Sequence[int], *, alone: bool = False
) -> dict[int, Outcome]:
    """The outcome of each live instance (indices into the values); a faulty one never spoils another.

    alone: each in a call of its own, as after one that failed for them together.
    """
    outcomes: dict[int, Outcome] = {}
    groups: dict[Any, list[int]] = {}
    rows: dict[int, list[Array]] = {}
    for index in live:
        values: list[Any] = [
            column[index, ...] if isinstance(column, np.ndarray) else column[index] for column in inputs
        ]
        fault = _fault(model.inputs, values)
        if fault is not None:
            outcomes[index] = Failure(Code.INVALID_INPUTS, fault)
            continue
        rows[index] = [_shaped(value, spec) for value, spec in zip(values, model.inputs, strict=True)]
        groups.setdefault(_group(model.inputs, rows[index]), []).append(index)
    batched = any(spec.batched for spec in model.inputs)
    for members in groups.values():
        start = 0
        for size in model.plan.cut(len(members)) if batched and not alone else [1] * len(members):
            chunk = members[start : start + size]
            start += size
            outcomes.update(_run_chunk(model, chunk, [rows[index] for index in chunk], batched))
    return outcomes


def _run_chunk(
    model: Runnable, indices: Sequence[int], rows: Sequence[Sequence[Array]], batched: bool
) -> dict[int, Outcome]:
    try:
        if not batched:
            (row,) = rows
            (index,) = indices
            return {index: list(model.run(row))}
        columns = [
            np.stack([row[place] for row in rows]) if spec.batched else rows[0][place]
            for place, spec in enumerate(model.inputs)
        ]
        outputs = _call(model, columns)
    except Exception as error:  # a model that fails is an answer to its callers, not the end of the worker
        if len(indices) > 1:  # and it is an answer to him alone whose instance it fails on
            # No halves: a call that fails takes MindSpore 2.10 three seconds, and nearly all of one by one do not.
            outcomes: dict[int, Outcome] = {}
            for index, row in zip(indices, rows, strict=True):
                outcomes.update(_run_chunk(model, [index], [row], batched))
            return outcomes
        return dict.fromkeys(indices, Failure(Code.FAILED, first_line(error) or "Predict Failed"))
    return {index: [output[place, ...] for output in outputs] for place, index in enumerate(indices)}


def _call(model: Runnable, arrays: Sequence[Array]) -> list[Array]:
    """One call with at most as many instances as fit, filled up to a size of the model with copies of the first."""
    count = next(len(array) for array, spec in zip(arrays, model.inputs, strict=True) if spec.batched)
    fit = model.plan.fit(count)
    missing = fit - count
    if missing:
        arrays = [
            np.concatenate([array, np.repeat(array[:1], missing, axis=0)]) if spec.batched else array
            for array, spec in zip(arrays, model.inputs, strict=True)
        ]
    outputs = _rows(model, arrays, fit)
    return [output[:count] for output in outputs] if missing else outputs


def _rows(model: Runnable, arrays: Sequence[Array], count: int) -> list[Array]:
    """A call whose outputs have a row for each instance. Raises ValueError: rows that depend on data are nobody's."""
    outputs = model.run(arrays)
    for index, output in enumerate(outputs):
        if output.ndim == 0 or len(output) != count:
            raise ValueError(
                f"Given model output {index} has shape {list(output.shape)}, which does not start with the batch size "
                f"{count}: declare the model with with_batch_dim=False"
            )
    return outputs


def _fault(specs: Sequence[InputSpec], values: Sequence[Value]) -> str | None:
    """Why the model cannot take this instance, in the texts of MindSpore Serving 2.0.2; size, type and rows count."""
    if len(values) != len(specs):
        return f"Given model inputs size {len(values)} less than model inputs size {len(specs)}"
    for place, (value, spec) in enumerate(zip(values, specs, strict=True)):
        if not isinstance(value, np.ndarray) or value.dtype != spec.dtype:
            return (
                f"Given model input {place} data type {kind(value)} not match the data type {kind_of(spec.dtype)} "
                "defined in model"
            )
        if spec.is_open:
            if not _fits(value.shape, spec.instance_shape):
                return (
                    f"Given model input {place} shape {list(value.shape)} not match the shape "
                    f"{list(spec.instance_shape)} defined in model"
                )
        elif value.nbytes != spec.instance_bytes:
            return (
                f"Given model input {place} size {value.nbytes} not match the size {spec.instance_bytes} "
                "defined in model"
            )
        if spec.rows and (row := _strange_row(value, spec.rows)) is not None:
            return f"Given model input {place} names row {row} of a table that has {spec.rows}"
    return None


def _strange_row(numbers: Array, rows: int) -> int | None:
    """One of these that a table of so many rows does not have: MindSpore 2.10 takes three seconds to fail at it."""
    if not numbers.size:
        return None
    for row in (int(numbers.min()), int(numbers.max())):
        if not -rows <= row < rows:
            return row
    return None


def _fits(shape: Sequence[int], pattern: Sequence[int]) -> bool:
    """An open size is 1 or more: a call with none leaves MindSpore 2.10 with a graph that is wrong from then on."""
    return len(shape) == len(pattern) and all(
        have == want or (want == DYNAMIC and have > 0) for have, want in zip(shape, pattern, strict=True)
    )


def _shaped(value: Array, spec: InputSpec) -> Array:
    return value if spec.is_open else value.reshape(spec.instance_shape)


def _group(specs: Sequence[InputSpec], row: Sequence[Array]) -> Any:
    """Instances of one call agree in every shape, and in the value of what they share: never another caller's value."""
    return tuple(
        array.shape if spec.batched else (array.shape, array.tobytes()) for array, spec in zip(row, specs, strict=True)
    )
