"""Means and sums over the last dimensions, done over the rows of a matrix: only for that has MindSpore a fast kernel.

MindSpore 2.10's other kernel looks each number's place up; it takes 4 times as long or more.
"""

import math
from typing import Any

from mindspore_serving.worker.rewrites.graph_file import FLOAT32, GraphFile, Value

_OPEN = -1
# Each takes x, the axes and whether to keep them, and then arguments that stay as they are.
_REDUCTIONS = ("ReduceMean", "ReduceSum", "MeanExt", "SumExt")


def flatten_reductions(graph: GraphFile) -> int:
    """Puts a reshape before and behind each mean or sum over the last dimensions. Returns how many."""
    return sum(_flattened(graph, node) for node in graph.nodes if graph.op(node) in _REDUCTIONS)


def _flattened(graph: GraphFile, node: Any) -> bool:
    x, value = graph.value(node.input[0]), graph.value(node.output[0])
    if len(node.input) < 3 or x is None or value is None or {x.data_type, value.data_type} != {FLOAT32}:
        return False
    axes = _axes(graph.constant(node.input[1]), len(x.shape))
    kept = len(x.shape) - len(axes)
    if not axes or axes != list(range(kept, len(x.shape))) or kept < 1 or len(x.shape) == 2:
        return False
    rest = x.shape[kept:]
    # One size may be open, or the file's batch be run at another size: the first one, which is left to MindSpore.
    if min(rest) < 1 or _OPEN in value.shape[1:] or not isinstance(graph.constant(node.input[2]), bool):
        return False
    count = math.prod(rest)
    wide, narrow = graph.new_constant((_OPEN, count)), graph.new_constant((_OPEN, *value.shape[1:]))
    last, drop = graph.new_constant((1,)), graph.new_constant(False)
    rows = graph.new_node("Reshape", [node.input[0], wide], Value(FLOAT32, (_OPEN, count)))
    op = graph.op(node)
    sums = graph.new_node(op, [rows, last, drop, *node.input[3:]], Value(FLOAT32, (_OPEN,)))
    back = graph.new_node("Reshape", [sums, narrow], value, node.output[0])
    graph.replace([node], [wide, narrow, last, drop, rows, sums, back])
    return True


def _axes(constant: Any, rank: int) -> list[int]:
    """Which axes, counted from the front, in order; none where that is not known."""
    axes = (constant,) if isinstance(constant, int) and not isinstance(constant, bool) else constant
    if not isinstance(axes, tuple):
        return []
    return sorted({axis % rank for axis in axes if -rank <= axis < rank})
