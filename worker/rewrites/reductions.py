"""Means and sums done another way: MindSpore 2.10 has a fast kernel for the rows of a matrix only.

Its other kernel looks each number's place up; it takes 4 times as long or more. So the last dimensions are summed as
rows, and those in between (the words of a text, say) by a product with ones, one for each instance.
"""

import math
from typing import Any

from mindspore_serving.worker.rewrites.file_constants import FLOAT32
from mindspore_serving.worker.rewrites.graph_file import GraphFile
from mindspore_serving.worker.rewrites.values import Value

_OPEN = -1
_WORTH_NUMBERS = 4096  # of an instance: with fewer, four more operators cost what the product gains
# Each takes x, the axes and whether to keep them, and then arguments that stay as they are.
MEANS = ("ReduceMean", "MeanExt")
REDUCTIONS = (*MEANS, "ReduceSum", "SumExt")


def flatten_reductions(graph: GraphFile) -> int:
    """Writes each mean or sum over the last dimensions, or over some in between, the faster way. Returns how many."""
    return sum(_rewritten(graph, node) for node in graph.nodes if graph.op(node) in REDUCTIONS)


def _rewritten(graph: GraphFile, node: Any) -> bool:
    x, value = graph.value(node.input[0]), graph.value(node.output[0])
    if len(node.input) < 3 or x is None or value is None or {x.data_type, value.data_type} != {FLOAT32}:
        return False
    axes = known_axes(graph.constant(node.input[1]), len(x.shape))
    # One size may be open, or the file's batch be run at another size: the first one, which is left to MindSpore.
    if not axes or axes[0] < 1 or axes != list(range(axes[0], axes[-1] + 1)) or len(x.shape) == 2:
        return False
    inner = x.shape[axes[0] :]
    if min(inner) < 1 or _OPEN in value.shape[1:] or not isinstance(graph.constant(node.input[2]), bool):
        return False
    count, rest = math.prod(inner[: len(axes)]), math.prod(inner[len(axes) :])
    if axes[-1] == len(x.shape) - 1:
        _sum_rows(graph, node, value, count)
        return True
    if count * rest < _WORTH_NUMBERS:
        return False
    _sum_by_product(graph, node, value, count, rest)
    return True


def _sum_rows(graph: GraphFile, node: Any, value: Value, count: int) -> None:
    """Over the last dimensions: a reshape before and behind."""
    wide, narrow = graph.new.constant((_OPEN, count)), graph.new.constant((_OPEN, *value.shape[1:]))
    last, drop = graph.new.constant((1,)), graph.new.constant(False)
    rows = graph.new.node("Reshape", [node.input[0], wide], Value(FLOAT32, (_OPEN, count)))
    op = graph.op(node)
    sums = graph.new.node(op, [rows, last, drop, *node.input[3:]], Value(FLOAT32, (_OPEN,)))
    back = graph.new.node("Reshape", [sums, narrow], value, node.output[0])
    graph.replace([node], [wide, narrow, last, drop, rows, sums, back])


def _sum_by_product(graph: GraphFile, node: Any, value: Value, count: int, rest: int) -> None:
    """Over dimensions in between: matrices of `count` rows, each of them transposed, times a column of ones."""
    new = graph.new.constant
    constants = shape, narrow, zeros, end, steps, all_of_them, but_last, nothing, yes, no = [
        new((_OPEN, count, rest)),
        new((_OPEN, *value.shape[1:])),
        new((0, 0, 0)),
        new((0, 0, 1)),
        new((1, 1, 1)),
        new(0b111),  # dimensions that begin at their start
        new(0b011),  # that end at their end
        new(0),
        new(True),
        new(False),
    ]
    column = Value(FLOAT32, (_OPEN, count, 1))
    matrices = graph.new.node("Reshape", [node.input[0], shape], Value(FLOAT32, (_OPEN, count, rest)))
    cut = [matrices, zeros, end, steps, all_of_them, but_last, nothing, nothing, nothing]
    first = graph.new.node("StridedSlice", cut, column)
    ones = graph.new.node("OnesLike", [first], column)
    sums = graph.new.node("BatchMatMul", [matrices, ones, yes, no], Value(FLOAT32, (_OPEN, rest, 1)))
    made = [*constants, matrices, first, ones, sums]
    if graph.op(node) in MEANS:
        part = new(1.0 / count)
        sums = graph.new.node("Mul", [sums, part], Value(FLOAT32, (_OPEN, rest, 1)))
        made += [part, sums]
    back = graph.new.node("Reshape", [sums, narrow], value, node.output[0])
    graph.replace([node], [*made, back])


def known_axes(constant: Any, rank: int) -> list[int]:
    """Which axes, counted from the front, in order; none where that is not known."""
    axes = (constant,) if isinstance(constant, int) and not isinstance(constant, bool) else constant
    if not isinstance(axes, tuple):
        return []
    return sorted({axis % rank for axis in axes if -rank <= axis < rank})
