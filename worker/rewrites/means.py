"""Means, sums, the largest and the smallest over neighbouring axes, and means of windows, by operators of kernels/."""

from typing import Any

import numpy as np
import numpy.typing as npt

from mindspore_serving.worker.rewrites.elements import COMBINATIONS
from mindspore_serving.worker.rewrites.graph_file import GraphFile
from mindspore_serving.worker.rewrites.kernel_nodes import (
    UNCLAMPED,
    Step,
    are_here,
    float_value,
    put_large,
    put_step,
    put_steps,
)
from mindspore_serving.worker.rewrites.reductions import MEANS, REDUCTIONS, known_axes

_GLOBAL_MEAN = "AdaptiveAvgPool2D"  # the mean of each channel, if it makes one number of it
# What is made of some numbers, in the order of kernels/rows.c.
TOTAL, _MEAN, _LARGEST, _SMALLEST = range(4)
_EXTREMES = {"ReduceMax": _LARGEST, "ReduceMin": _SMALLEST}
_WITH_PLACES = {"ArgMaxWithValue": _LARGEST, "ArgMinWithValue": _SMALLEST}
_OPERATORS = (*REDUCTIONS, *_EXTREMES, _GLOBAL_MEAN)
_SAME, _VALID = 1, 2  # MindSpore's enumeration of paddings; the latter is none
_PRODUCT = COMBINATIONS.index(("Mul", "Muls"))


def reduce_by_kernels(graph: GraphFile) -> int:
    """Makes each of these of many numbers one of ours. Returns how many."""
    if not are_here():
        return 0
    nodes = [node for node in graph.nodes if graph.op(node) in _OPERATORS]
    reduced = sum(put_large(graph, [node], reduction_step(graph, node), node.input[0]) for node in nodes)
    reduced += sum(_extreme_alone(graph, node) for node in graph.nodes if graph.op(node) in _WITH_PLACES)
    return reduced + sum(_averaged(graph, node) for node in graph.nodes if graph.op(node) == "AvgPool")


def reduction_step(graph: GraphFile, node: Any) -> Step | None:
    """The step that does what this node does; None for a node of another kind."""
    if graph.op(node) not in _OPERATORS:
        return None
    x, made = float_value(graph, node.input[0]), float_value(graph, node.output[0])
    if x is None or made is None:
        return None
    if graph.op(node) == _GLOBAL_MEAN:
        rank = len(x.shape)
        told = [rank - 2, rank, 1, 1]
        return Step("reduction", node.input[:1], told) if made.shape[-2:] == (1, 1) and rank > 2 else None
    what = _MEAN if graph.op(node) in MEANS else _EXTREMES.get(graph.op(node), TOTAL)
    return _step(graph, node, len(x.shape), what)


def _step(graph: GraphFile, node: Any, rank: int, what: int) -> Step | None:
    """Of a node that is given a value, which axes are reduced, and whether they stay."""
    axes = known_axes(graph.constant(node.input[1]), rank)
    are_kept = graph.constant(node.input[2]) if len(node.input) > 2 else None
    if not axes or axes != list(range(axes[0], axes[-1] + 1)) or not isinstance(are_kept, bool):
        return None
    return Step("reduction", node.input[:1], [axes[0], axes[-1] + 1, int(are_kept), what])


def _extreme_alone(graph: GraphFile, node: Any) -> bool:
    """What x.max(axis) becomes: a pair of places and numbers. Nobody asks for the places."""
    item, x = graph.only_user(node.output[0]), float_value(graph, node.input[0])
    if graph.op(item) != "TupleGetItem" or graph.constant(item.input[1]) != 1 or x is None:
        return False
    step = _step(graph, node, len(x.shape), _WITH_PLACES[graph.op(node)])
    return put_large(graph, [node, item], step, node.input[0])


def _averaged(graph: GraphFile, node: Any) -> bool:
    """Windows as a convolution of each channel whose weights are all the same. What is padding does not count."""
    x, made = float_value(graph, node.input[0], 4), float_value(graph, node.output[0], 4)
    if len(node.input) != 5 or x is None or made is None:
        return False
    kernel, stride, mode = [graph.constant(name) for name in node.input[1:4]]
    if mode not in (_VALID, _SAME) or not _are_pairs(kernel, stride) or min(*x.shape[1:], *made.shape[1:]) < 1:
        return False
    axes = [
        _counts(*sizes, is_same=mode == _SAME)
        for sizes in zip(x.shape[2:], made.shape[2:], kernel, stride, strict=True)
    ]
    if None in axes:
        return False
    (before_rows, rows), (before_columns, columns) = [axis for axis in axes if axis is not None]
    if (*kernel, 1, 1) == (*x.shape[2:], *made.shape[2:]):
        put_step(graph, [node], Step("reduction", node.input[:1], [2, 4, 1, 1]), made)
        return True
    channels, counts = x.shape[1], np.outer(rows, columns).astype(np.float32)
    is_alike = counts.min() == counts.max()
    weights = np.full((channels, kernel[0] * kernel[1]), 1 / counts.max() if is_alike else 1, np.float32)
    fixed = [graph.new.constant(weights), graph.new.constant(np.zeros(channels, np.float32))]
    told = [*kernel, *stride, 1, 1, before_rows, before_columns, *made.shape[2:], channels, channels, UNCLAMPED]
    steps = [(Step("convolution", [node.input[0], *fixed], told), made.shape)]
    if not is_alike:
        factors = Step("combination", [0, graph.new.constant(1 / counts)], [_PRODUCT, UNCLAMPED])
        steps.append((factors, made.shape))
    put_steps(graph, [node], steps)
    return True


def _counts(size: int, made: int, kernel: int, stride: int, *, is_same: bool) -> tuple[int, npt.NDArray[Any]] | None:
    """Along an axis: how much padding is before it, and how many of its places each window has; None for other ones."""
    before = max((made - 1) * stride + kernel - size, 0) // 2 if is_same else 0
    first = np.arange(made) * stride - before
    counts = np.minimum(first + kernel, size) - np.maximum(first, 0)
    wanted = (size + stride - 1) // stride if is_same else (size - kernel) // stride + 1
    return (before, counts) if made == wanted and counts.min() > 0 else None


def _are_pairs(*sizes: Any) -> bool:
    return all(isinstance(pair, tuple) and len(pair) == 2 and min(pair) > 0 for pair in sizes)
