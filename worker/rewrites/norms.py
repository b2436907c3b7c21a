"""Numbers brought to a mean of 0 and a variance of 1, or to a length of 1, by operators of kernels/.

MindSpore 2.10 takes as long for LayerNorm as for 10 sums of as many numbers.
"""

from typing import Any

import numpy as np

from mindspore_serving.worker.rewrites.elements import ACTIVATIONS, COMBINATIONS
from mindspore_serving.worker.rewrites.graph_file import GraphFile
from mindspore_serving.worker.rewrites.kernel_nodes import (
    CLAMPS,
    UNCLAMPED,
    Step,
    are_here,
    bits,
    float_value,
    is_large,
    put_step,
    put_steps,
)
from mindspore_serving.worker.rewrites.means import TOTAL
from mindspore_serving.worker.rewrites.reductions import known_axes
from mindspore_serving.worker.rewrites.values import Value

_LARGER, _PRODUCT = [COMBINATIONS.index(names) for names in (("Maximum",), ("Mul", "Muls"))]
_EUCLIDEAN = 2  # of LpNorm: the root of the sum of squares


def normalize_by_kernels(graph: GraphFile) -> int:
    """Makes these operators of ours: LayerNorm, GroupNorm, L2Normalize, LpNorm of squares. Returns how many."""
    if not are_here():
        return 0
    rules = {"LayerNorm": _layer_norm, "GroupNorm": _group_norm, "L2Normalize": _unit, "LpNorm": _length}
    return sum(rules[graph.op(node)](graph, node) for node in graph.nodes if graph.op(node) in rules)


def _layer_norm(graph: GraphFile, node: Any) -> bool:
    """Over the last axis, whose mean and variance nobody asks for."""
    item = graph.only_user(node.output[0])  # of its three outputs
    x, scale, shift, *told = node.input
    value = float_value(graph, x)
    axes, epsilon = [graph.constant(name) for name in told[:2]], graph.constant(told[2])
    if value is None or graph.op(item) != "TupleGetItem" or graph.constant(item.input[1]) != 0:
        return False
    is_last = all(axis in (-1, len(value.shape) - 1) for axis in axes)
    width = value.shape[-1:]
    rows = [float_value(graph, name, 1) for name in (scale, shift)]
    if not is_last or not isinstance(epsilon, float) or any(row is None or row.shape != width for row in rows):
        return False
    put_step(graph, [node, item], Step("layer_norm", [x, scale, shift], [bits(epsilon)]), value)
    return True


def _group_norm(graph: GraphFile, node: Any) -> bool:
    """Whose mean and variance nobody asks for, and what clamps its numbers."""
    item = graph.only_user(node.output[0])  # of its three outputs
    x, told, scale, shift, tiny = node.input
    value, groups, epsilon = float_value(graph, x), graph.constant(told), graph.constant(tiny)
    if value is None or graph.op(item) != "TupleGetItem" or graph.constant(item.input[1]) != 0:
        return False
    rows = [float_value(graph, name, 1) for name in (scale, shift)]
    if len(value.shape) < 2 or any(row is None or row.shape != value.shape[1:2] for row in rows):
        return False
    if not isinstance(groups, int) or groups < 1 or value.shape[1] % groups or not isinstance(epsilon, float):
        return False
    clamp = graph.only_user(item.output[0])
    number = CLAMPS.get(graph.op(clamp), UNCLAMPED)
    old = [node, item] if number == UNCLAMPED else [node, item, clamp]
    put_step(graph, old, Step("group_norm", [x, scale, shift], [groups, bits(epsilon), number]), value)
    return True


def _unit(graph: GraphFile, node: Any) -> bool:
    """L2Normalize: x by the root of its sum of squares along an axis, which is epsilon at least."""
    x, axes = _axes(graph, node)
    if x is None or len(axes) != 1:
        return False
    kept = tuple(1 if axis in axes else size for axis, size in enumerate(x.shape))
    steps = [
        *_sum_of_squares(node.input[0], x, axes, kept, 1),
        (Step("combination", [1, _epsilon(graph, node)], [_LARGER, UNCLAMPED]), kept),
        (Step("activation", [2], [ACTIVATIONS.index("Rsqrt")]), kept),
        (Step("combination", [node.input[0], 3], [_PRODUCT, UNCLAMPED]), x.shape),
    ]
    put_steps(graph, [node], steps)
    return True


def _length(graph: GraphFile, node: Any) -> bool:
    """LpNorm, which is epsilon at least."""
    made = float_value(graph, node.output[0])
    x, axes = _axes(graph, node)
    is_known = x is not None and made is not None and graph.numbers(node, "p") == (_EUCLIDEAN,)
    if not is_known or axes != list(range(axes[0], axes[-1] + 1)):
        return False
    assert x is not None and made is not None
    are_kept = int(graph.numbers(node, "keep_dims") == (1,))
    steps = [
        *_sum_of_squares(node.input[0], x, axes, made.shape, are_kept),
        (Step("activation", [1], [ACTIVATIONS.index("Sqrt")]), made.shape),
        (Step("combination", [2, _epsilon(graph, node)], [_LARGER, UNCLAMPED]), made.shape),
    ]
    put_steps(graph, [node], steps)
    return True


def _epsilon(graph: GraphFile, node: Any) -> Any:
    return graph.new.constant(np.array([graph.real_number(node, "epsilon")], np.float32))


def _axes(graph: GraphFile, node: Any) -> tuple[Value | None, list[int]]:
    """Of a value with many numbers, along which of its axes they are taken together; None for other ones."""
    x = float_value(graph, node.input[0])
    axes = [] if x is None else known_axes(graph.numbers(node, "axis"), len(x.shape))
    return (x if axes and is_large(graph, node.input[0]) else None), axes


def _sum_of_squares(
    name: str, x: Value, axes: list[int], made: tuple[int, ...], are_kept: int
) -> list[tuple[Step, tuple[int, ...]]]:
    return [
        (Step("activation", [name], [ACTIVATIONS.index("Square")]), x.shape),
        (Step("reduction", [0], [axes[0], axes[-1] + 1, are_kept, TOTAL]), made),
    ]
