"""A model without a batch axis that runs several instances in one call: by a graph that MindSpore's vmap makes of it.

Or past MindSpore, where nothing but kernels/ is left of its graph: then one after the other, of any number.

A small model's call is mostly MindSpore's own overhead: sixteen calls of a 2x2 addition take 2 ms, one call of all
sixteen takes what one instance does. Whether vmap knows every operator of a model is found out by trying, in a process
of its own first (stacking.py). A size is used only if it gives the numbers that the instances give one by one.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mindspore_serving.worker.batch_plan import BatchPlan
from mindspore_serving.worker.batch_sizes import equal, sample
from mindspore_serving.worker.call_costs import Clock, of_every_size, rising, shortest
from mindspore_serving.worker.loaded_model import OutputSpec, ReadyModel, first_line

logger = logging.getLogger("mindspore_serving.worker")

Array = npt.NDArray[Any]

_SIZES = (16, 64, 4)  # in the order in which they are tried: each is a graph, compiled before the worker is ready,
_SECONDS = 0.3  # and no further one after this
_SOME = 4  # of which is proven that they can be computed one after the other
_LONG_SECONDS = 0.005  # of a call that is hardly overhead any more
_WORTH = 0.8  # what a call may cost at most of what its instances cost one by one
_SEED = 22  # any: the same numbers for each load


Calls = Callable[[Sequence[Array]], list[Array]]


class GraphCalls(Protocol):
    """What is needed of those of a graph."""

    def learn(self, arrays: Sequence[Array]) -> list[Array]: ...
    def __call__(self, arrays: Sequence[Array]) -> list[Array]: ...


class StackedModel:
    """`calls`: for each size, the graph of so many instances. What comes is filled up to one of them, or runs alone."""

    def __init__(self, single: ReadyModel, calls: dict[int, Calls], costs: dict[int, float]) -> None:
        self._single = single
        self._calls = calls
        self.path = single.path
        self.plan = BatchPlan(costs, fill=True)
        self.inputs = tuple(replace(spec, shape=(self.plan.most, *spec.shape), batched=True) for spec in single.inputs)
        self.batch_size = single.batch_size
        self.sizes = tuple(sorted(costs))
        self.seconds_per_call = costs[self.plan.most]

    @property
    def outputs(self) -> tuple[OutputSpec, ...]:
        return self._single.outputs

    @property
    def outputs_count(self) -> int:
        return self._single.outputs_count

    @property
    def is_straight(self) -> bool:
        return self._single.is_straight

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """One call: arrays of one of the sizes in, outputs out. Raises whatever MindSpore raises."""
        count = len(arrays[0])
        if count > 1:
            return self._calls[count](arrays)
        # The ellipsis keeps a scalar an array.
        return [output[np.newaxis, ...] for output in self._single.run([array[0, ...] for array in arrays])]


class _Opened:
    """A graph that its first call opens, for that may fail too."""

    def __init__(self, open_graph: Callable[[], GraphCalls]) -> None:
        self._open_graph = open_graph

    def learn(self, arrays: Sequence[Array]) -> list[Array]:
        self.graph = self._open_graph()
        return self.graph.learn(arrays)


def can_be_stacked(model: ReadyModel) -> bool:
    """Whether it is worth trying: no batch axis, shapes that are known, and a call that is not long."""
    if not model.inputs or any(spec.batched or spec.is_open for spec in model.inputs):
        return False
    return model.seconds_per_call <= _LONG_SECONDS


def stacked(single: ReadyModel, open_graph: Callable[[], GraphCalls], clock: Clock) -> ReadyModel:
    """The model, which can_be_stacked, with calls of several instances; itself where these fail, or gain nothing.

    open_graph: makes the calls of a graph for one more size.
    """
    calls: dict[int, Calls] = {}
    end = clock()[0] + _SECONDS
    for size in _SIZES:
        opened = _Opened(open_graph)
        if not _is_proven(single, opened.learn, size):
            break
        calls[size] = opened.graph
        if clock()[0] > end:
            break
    costs = _worth_it(single, calls, clock)
    if len(costs) == 1:
        return single
    return StackedModel(single, {size: one for size, one in calls.items() if size in costs}, costs)


def in_one_call(single: ReadyModel, calls: Calls, clock: Clock) -> ReadyModel:
    """The same by calls that take any number of instances."""
    if not _is_proven(single, calls, _SOME):
        return single
    costs = _worth_it(single, dict.fromkeys(_SIZES, calls), clock)
    most = max(costs)
    if most == 1:
        return single
    return StackedModel(single, dict.fromkeys(range(2, most + 1), calls), of_every_size(costs, most))


def _worth_it(single: ReadyModel, calls: Mapping[int, Calls], clock: Clock) -> dict[int, float]:
    """The seconds of those calls that cost less than their instances do one by one, and of one instance."""
    rng = np.random.default_rng(_SEED)
    runs: dict[int, Callable[[], object]] = {1: partial(single.run, _samples(single, rng, ()))}
    runs |= {size: partial(one, _samples(single, rng, (size,))) for size, one in calls.items()}
    costs = rising(shortest(runs, clock))
    return {size: seconds for size, seconds in costs.items() if size == 1 or seconds < _WORTH * size * costs[1]}


def _is_proven(single: ReadyModel, calls: Calls, size: int) -> bool:
    """Whether a call of so many instances gives what these give one by one."""
    arrays = _samples(single, np.random.default_rng(_SEED), (size,))
    instances = [[array[index, ...] for array in arrays] for index in range(size)]
    expected = [np.stack(outputs) for outputs in zip(*map(single.run, instances), strict=True)]
    try:
        found = calls(arrays)
    except Exception as error:
        logger.debug("model file '%s' runs one instance a call: %s", single.path, first_line(error))
        return False
    # Asked once more: a model that remembers, or throws dice, is left alone.
    again = [np.stack(outputs) for outputs in zip(*map(single.run, instances), strict=True)]
    same = len(found) == len(expected) and all(map(equal, found, expected)) and all(map(equal, again, expected))
    if not same:
        logger.debug("model file '%s' runs one instance a call: %d together give other numbers", single.path, size)
    return same


def _samples(single: ReadyModel, rng: np.random.Generator, rows: tuple[int, ...]) -> list[Array]:
    return [sample(rng, (*rows, *spec.shape), spec.dtype) for spec in single.inputs]
