"""Transposed convolutions as convolutions of ours: along an axis, y[i * stride - before + tap] += x[i] * weights[tap].

Of y's places, every `stride`th one is made of its neighbours in x by the same taps. So there are as many smaller
images as a stride has places, its phases, each of them a convolution of x by windows that move by one place, and their
pixels are put between each other (Shi et al. 2016, "Is the deconvolution layer the same as a convolutional layer?").
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, product
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from mindspore_serving.worker.rewrites.graph_file import GraphFile
from mindspore_serving.worker.rewrites.kernel_nodes import (
    CLAMPS,
    MOST_GIVEN,
    UNCLAMPED,
    Step,
    are_here,
    float_value,
    put_steps,
)
from mindspore_serving.worker.rewrites.packed_weights import is_worth_winograd, packed_by
from mindspore_serving.worker.rewrites.windows import bias_and_clamp_behind, window_told

_TRANSPOSED = ("Conv2DTranspose", "Conv2DBackpropInput")
_OPEN = 0  # of a view: what is left
_WHOLE = (0, 0, 1, 0)  # of an axis, whatever its size
_BETWEEN = (0, 3, 4, 1, 5, 2)  # rows and columns, each with its phases behind it
_Array = npt.NDArray[np.float32]
_Placed = tuple[Step, tuple[int, ...]]  # with the shape of what it makes


def convolve_transposed_by_kernels(graph: GraphFile) -> int:
    """Makes each Conv2DTranspose with fixed weights, and what a Conv2D takes with it, steps. Returns how many."""
    if not are_here():
        return 0
    return sum(_transposed(graph, node) for node in graph.nodes if graph.op(node) in _TRANSPOSED)


@dataclass(frozen=True)
class _Window:
    """What these phases need of x: so many places, from `first` on, counted from the place in the phase."""

    phases: range
    first: int
    size: int


@dataclass(frozen=True)
class _Axis:
    """Rows or columns. The first phase begins `skipped` places before y, whose size this is."""

    kernel: int
    stride: int
    before: int
    size: int
    skipped: int = 0

    @property
    def count(self) -> int:
        """Places that each phase has."""
        return -(-(self.size + self.skipped) // self.stride)

    def taps(self) -> list[tuple[int, int]]:
        """Of each: the phase that it makes, and where it finds x, counted from the place in the phase."""
        places = [tap + self.skipped - self.before for tap in range(self.kernel)]
        return [(place % self.stride, -(place // self.stride)) for place in places]

    def window(self, phases: range) -> _Window:
        places = [place for phase, place in self.taps() if phase in phases]
        return _Window(phases, min(places), max(places) - min(places) + 1)

    def window_of_all(self) -> _Window:
        return self.window(range(self.stride))

    def windows(self) -> list[_Window]:
        """One for each phase."""
        return [self.window(range(phase, phase + 1)) for phase in range(self.stride)]

    def runs(self) -> list[_Window]:
        """One for phases that follow each other and need the same."""
        alike = [list(run) for _, run in groupby(self.windows(), lambda window: (window.first, window.size))]
        return [replace(run[0], phases=range(run[0].phases.start, run[-1].phases.stop)) for run in alike]

    def at_best(self, cost: Callable[["_Axis"], int]) -> "_Axis":
        """With as many places skipped as cost the least, and of these the fewest."""
        return min((replace(self, skipped=skipped) for skipped in range(self.stride)), key=cost)


@dataclass(frozen=True)
class _Plan:
    """Windows of rows and of columns, a convolution each. Phases are in order: all of columns for each of rows."""

    rows: _Axis
    columns: _Axis
    pairs: Sequence[tuple[_Window, _Window]]

    def told(self, row: _Window, column: _Window) -> list[int]:
        """Of a window, in the order of kernels/layers.c."""
        return [row.size, column.size, 1, 1, 1, 1, -row.first, -column.first, self.rows.count, self.columns.count]


def _transposed(graph: GraphFile, node: Any) -> bool:
    x, made = float_value(graph, node.input[0], 4), float_value(graph, node.output[0], 4)
    weights = graph.weights(node.input[1])
    # It is the gradient of a convolution that makes x of what is made here.
    told = None if x is None or made is None else window_told(graph, node, made, x)
    if weights is None or x is None or made is None or told is None or tuple(told[4:6]) != (1, 1):
        return False
    if weights.shape != (x.shape[1], made.shape[1], *told[:2]):  # as of several groups
        return False
    rows, columns = [_Axis(told[axis], told[2 + axis], told[6 + axis], made.shape[2 + axis]) for axis in (0, 1)]
    plan = _plan(rows, columns, weights)
    if plan is None:
        return False
    old, bias = bias_and_clamp_behind(graph, node, made.shape[1])
    clamp = CLAMPS.get(graph.op(old[-1]), UNCLAMPED)
    steps = _convolutions(graph, node.input[0], plan, weights, bias, clamp, made.shape[0])
    put_steps(graph, old, steps + _put_between(plan, made.shape, len(steps)))
    for name in node.input[1:]:
        graph.remove_unused(name)
    return True


def _plan(rows: _Axis, columns: _Axis, weights: _Array) -> _Plan | None:
    """One window for all phases, or several where it would have taps in vain. None where that is not worth it."""
    if rows.kernel < rows.stride or columns.kernel < columns.stride:
        return None  # phases without taps
    plan, phases = _plan_of_one(rows, columns), rows.stride * columns.stride
    ((row, column),) = plan.pairs
    is_in_vain = row.size * column.size * phases > rows.kernel * columns.kernel
    ins, outs, *_ = weights.shape
    if is_in_vain and not is_worth_winograd((outs * phases, ins), plan.told(row, column), 1):
        columns = columns.at_best(lambda axis: len(axis.runs()))
        plan = _Plan(rows, columns, list(product(rows.windows(), columns.runs())))
    # No window of ours begins behind the first pixel.
    is_possible = all(max(row.first, column.first) <= 0 for row, column in plan.pairs)
    return plan if is_possible and len(plan.pairs) <= MOST_GIVEN else None


def _plan_of_one(rows: _Axis, columns: _Axis) -> _Plan:
    rows, columns = [axis.at_best(lambda axis: axis.window_of_all().size) for axis in (rows, columns)]
    return _Plan(rows, columns, [(rows.window_of_all(), columns.window_of_all())])


def _convolutions(
    graph: GraphFile, x: str, plan: _Plan, weights: _Array, bias: _Array, clamp: int, images: int
) -> list[_Placed]:
    """Each makes its phases of rows, of these its phases of columns, of these the outputs."""
    found: list[_Placed] = []
    for row, column in plan.pairs:
        own = _weights_of(plan, row, column, weights)
        biases = np.tile(bias, len(own) // len(bias))
        operator, arrays, told = packed_by(own, biases, plan.told(row, column), 1, clamp)
        step = Step(operator, [x, *map(graph.new.constant, arrays)], told)
        found.append((step, (images, len(own), plan.rows.count, plan.columns.count)))
    return found


def _weights_of(plan: _Plan, row: _Window, column: _Window, weights: _Array) -> _Array:
    """As a convolution has them: [phase, phase, output][channel][place of rows][place of columns]."""
    ins, outs, *_ = weights.shape
    found = np.zeros((len(row.phases), len(column.phases), outs, ins, row.size, column.size), np.float32)
    for down, (phase, y) in enumerate(plan.rows.taps()):
        for right, (other, x) in enumerate(plan.columns.taps()):
            if phase in row.phases and other in column.phases:
                of_phase = found[row.phases.index(phase), column.phases.index(other)]
                of_phase[:, :, y - row.first, x - column.first] = weights[:, :, down, right].T
    return found.reshape(-1, ins, row.size, column.size)


def _put_between(plan: _Plan, made: Sequence[int], count: int) -> list[_Placed]:
    """What so many convolutions have made: one behind the other, pixels between each other, without skipped ones."""
    rows, columns, (images, outs, *_) = plan.rows, plan.columns, made
    phases, sizes = (rows.stride, columns.stride), (rows.count, columns.count)
    if prod(phases) == 1:
        return []
    apart, together = (*phases, outs, *sizes), (outs, rows.count, rows.stride, columns.count, columns.stride)
    whole = (outs, rows.count * rows.stride, columns.count * columns.stride)
    moves: list[tuple[str, Sequence[int], tuple[int, ...]]] = [
        ("view", (_OPEN, *apart), apart),
        ("transposition", _BETWEEN, together),
        ("view", (_OPEN, *whole), whole),
    ]
    if whole[1:] != (rows.size, columns.size):
        spans = [_WHOLE, _WHOLE, (rows.skipped, rows.size, 1, 0), (columns.skipped, columns.size, 1, 0)]
        moves.append(("part", [number for span in spans for number in span], tuple(made[1:])))
    steps: list[_Placed] = []
    if count > 1:
        steps.append((Step("concatenation", range(count), [1]), (images, prod(phases) * outs, *sizes)))
    for operator, told, shape in moves:
        steps.append((Step(operator, [count + len(steps) - 1], told), (images, *shape)))
    return steps
