"""A model on its device: warm, its batch sizes proven and their costs measured, and called on MindSpore's thread."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mindspore_serving.cluster.errors import ServableError
from mindspore_serving.worker.batch_plan import BatchPlan
from mindspore_serving.worker.batch_sizes import equal, proven_sizes, sample
from mindspore_serving.worker.call_costs import LONG_SECONDS, Clock, measure, of_every_size, rising, shortest
from mindspore_serving.worker.error_text import error_text
from mindspore_serving.worker.graph_calls import GraphCalls
from mindspore_serving.worker.mindir_file import DYNAMIC

Array = npt.NDArray[Any]

MAX_DYNAMIC_BATCH = 64  # instances of one call where the file sets no limit

_NO_KERNEL = re.compile(r"Unsupported op \[(\w+)\] on (\w+)")
_SEED = 21  # any: the same numbers for each load
_LONG_SECONDS = 0.01  # larger sizes than one that takes so long are not measured: they cost in proportion
# A graph for one size saves 10-25 % of a call. Compiling it takes 50-250 ms, before the worker is ready.
_LADDER_SECONDS, _LADDER_MOST = 0.8, MAX_DYNAMIC_BATCH
_WORTH_A_GRAPH_SECONDS = 0.004  # the next size costs twice as much, and gains less


@dataclass(frozen=True)
class InputSpec:
    """One input as the model takes it: the shape includes the batch dimension, DYNAMIC where it is open.

    rows: of the table that its numbers are looked up in, a negative one counts from the end; 0 if they are not.
    """

    name: str
    dtype: "np.dtype[Any]"
    shape: tuple[int, ...]
    batched: bool  # its first dimension counts instances
    rows: int = 0

    @cached_property
    def instance_shape(self) -> tuple[int, ...]:
        return self.shape[1:] if self.batched else self.shape

    @cached_property
    def instance_bytes(self) -> int:
        """What an instance's value occupies; negative or without meaning where a dimension is open."""
        return math.prod(self.instance_shape) * self.dtype.itemsize

    @cached_property
    def is_open(self) -> bool:
        """Instances may differ in shape."""
        return DYNAMIC in self.instance_shape


@dataclass(frozen=True)
class OutputSpec:
    """One output as the warm-up showed it: the shape of one instance."""

    dtype: "np.dtype[Any]"
    shape: tuple[int, ...]


class ReadyModel(Protocol):
    """What the others need of a model that can be called: a LoadedModel, or a StackedModel.

    `plan` cuts what comes into calls; `sizes` are the numbers of instances that have a graph of their own. is_straight:
    calls go past MindSpore.
    """

    inputs: tuple[InputSpec, ...]
    path: Path
    batch_size: int  # of the file
    sizes: tuple[int, ...]
    plan: BatchPlan
    seconds_per_call: float

    @property
    def outputs(self) -> tuple[OutputSpec, ...]: ...
    @property
    def outputs_count(self) -> int: ...
    @property
    def is_straight(self) -> bool: ...
    def run(self, arrays: Sequence[Array]) -> list[Array]: ...


class LoadedModel:
    """`batch_size`: the most instances of one call; DYNAMIC takes any number. Raises ServableError if it does not run.

    sizes: the numbers of instances that have a graph of their own, in order. A fixed batch runs at these alone, the
    last of them `batch_size`; what comes is filled up. DYNAMIC runs at the number that comes. `plan` makes the calls.
    """

    def __init__(
        self,
        inputs: tuple[InputSpec, ...],
        calls: GraphCalls,
        open_tensors: Sequence[Any],
        path: Path,
        clock: Clock,
    ) -> None:
        self.inputs = inputs
        self.path = path
        self._calls = calls
        self._clock = clock
        sizes = {spec.shape[0] for spec in inputs if spec.batched}
        if len(sizes) > 1:
            raise ServableError(
                f"model file '{path}': with_batch_dim=True needs inputs of one batch size, but their first dimensions "
                f"are {sorted(sizes)}: name the inputs without batch dimension in without_batch_dim_inputs"
            )
        self.batch_size = sizes.pop() if sizes else 1
        self.sizes: tuple[int, ...] = ()
        if self.batch_size == DYNAMIC:
            self._warm_up_open_batch(open_tensors)
        else:
            self._warm_up_fixed_batch(open_tensors)

    @property
    def outputs_count(self) -> int:
        return len(self.outputs)

    @property
    def is_straight(self) -> bool:
        return self._calls.straight is not None

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """One call: arrays of the model's own shapes in, its outputs out. Raises whatever MindSpore raises."""
        return self._calls(arrays)

    def _warm_up_fixed_batch(self, open_tensors: Sequence[Any]) -> None:
        if open_tensors:
            self._calls.open(open_tensors)
        self.outputs = self._first_call()
        if open_tensors:
            self._calls.learn(self._samples(self.batch_size, other=3))  # one graph for all shapes, or the public call
        self.sizes = (self.batch_size,)
        if self.batch_size > 1 and not self._calls.has_branches:
            self.sizes = proven_sizes(self._calls.learn, self.inputs, self.batch_size)
        costs = shortest({size: partial(self.run, self._samples(size)) for size in self.sizes}, self._clock)
        self.seconds_per_call = costs[self.batch_size]
        self.plan = BatchPlan(costs, fill=True)

    def _warm_up_open_batch(self, open_tensors: Sequence[Any]) -> None:
        """One graph runs every number. For powers of two another one is compiled, and kept where it costs less."""
        known = not any(spec.is_open for spec in self.inputs)
        calls = self._calls
        may_have_more = known and calls.direct and calls.straight is None and not calls.has_branches
        own = self._graphs_of_one_size() if may_have_more else {}
        self._calls.open(open_tensors)
        self.outputs = self._first_call()
        self._calls.learn(self._samples(2, other=3))
        costs: dict[int, float] = {}
        for size in _powers_of_two(MAX_DYNAMIC_BATCH) if known else ():
            costs[size] = self._cheaper_way(size, own.get(size))
            if costs[size] > _LONG_SECONDS:
                break
        again = shortest(
            {size: partial(self.run, self._samples(size)) for size in costs if costs[size] < LONG_SECONDS}, self._clock
        )
        costs = rising({size: min(seconds, again.get(size, seconds)) for size, seconds in costs.items()})
        self.seconds_per_call = costs[1] if costs else measure(partial(self.run, self._samples(1)), self._clock)
        self.plan = BatchPlan(of_every_size(costs or {1: self.seconds_per_call}, MAX_DYNAMIC_BATCH), fill=False)

    def _cheaper_way(self, size: int, own: list[Array] | None) -> float:
        """Decides which graph runs so many instances. Returns the seconds. own: what the graph of that size gave."""
        arrays = self._samples(size)
        expected = self._calls.learn(arrays)
        ways = {"open": partial(self._calls.run_open, arrays)}
        if own is not None and all(map(equal, own, expected)):
            ways["own"] = partial(self.run, arrays)
        seconds = shortest(ways, self._clock)
        way = min(seconds, key=seconds.__getitem__)
        if way == "own":
            self.sizes += (size,)
        elif own is not None:
            self._calls.forget(arrays)
        return seconds[way]

    def _graphs_of_one_size(self) -> dict[int, list[Array]]:
        """Compiles as many as the time allows, the smallest first. Returns what each gave."""
        end = self._clock()[-1] + _LADDER_SECONDS
        outputs: dict[int, list[Array]] = {}
        for size in _powers_of_two(_LADDER_MOST):
            arrays = self._samples(size)
            try:
                outputs[size] = self._calls.learn(arrays)
            except Exception:
                break  # the graph for all sizes will say what is wrong, if anything is
            if self._clock()[-1] > end or measure(partial(self.run, arrays), self._clock) > _WORTH_A_GRAPH_SECONDS:
                break
        return outputs

    def _first_call(self) -> tuple[OutputSpec, ...]:
        """The first call of a shape compiles: not while a client waits. Returns what it gives for an instance."""
        zeros = [np.zeros([1 if size == DYNAMIC else size for size in spec.shape], spec.dtype) for spec in self.inputs]
        try:
            results = self._calls.learn(zeros)
        except Exception as error:
            raise ServableError(f"model file '{self.path}' does not run: {first_line(error)}") from error
        rows = next((array.shape[0] for array, spec in zip(zeros, self.inputs, strict=True) if spec.batched), None)
        for index, result in enumerate(results):
            if rows is not None and (result.ndim == 0 or result.shape[0] != rows):
                raise ServableError(
                    f"model file '{self.path}': output {index} has shape {list(result.shape)}, which does not start "
                    f"with the batch size {rows}: declare the model with with_batch_dim=False"
                )
        return tuple(OutputSpec(result.dtype, result.shape[rows is not None :]) for result in results)

    def _samples(self, rows: int, other: int = 1) -> list[Array]:
        """Inputs of so many instances; `other`: the size of further open dimensions."""
        rng = np.random.default_rng(_SEED)
        shapes = [(rows, *spec.shape[1:]) if spec.batched else spec.shape for spec in self.inputs]
        return [
            sample(rng, tuple(other if size == DYNAMIC else size for size in shape), spec.dtype)
            for shape, spec in zip(shapes, self.inputs, strict=True)
        ]


def first_line(error: BaseException) -> str:
    """What MindSpore's error says, without its call stacks and what stands around them."""
    text = error_text(error)
    if missing := _NO_KERNEL.search(text):
        return f"MindSpore has no kernel on a {missing[2]} for the operator {missing[1]}"
    lines = [line.strip() for line in text.splitlines() if line.strip(" -")]
    return lines[0] if lines else type(error).__name__


def _powers_of_two(most: int) -> list[int]:
    return [1 << exponent for exponent in range(most.bit_length())]
