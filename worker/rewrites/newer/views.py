"""The same numbers in another shape, or some of them, as mindspore.mint makes them.

MindSpore 2.10 tells where the numbers lie, and whoever needs them in a row copies one after the other.
"""

from typing import Any

from mindspore_serving.worker.rewrites.graph_file import GraphFile
from mindspore_serving.worker.rewrites.kernel_nodes import float_value
from mindspore_serving.worker.rewrites.newer.spelling import Spelling, axes_of, slice_of


def _turned(graph: GraphFile, node: Any) -> bool:
    """x, and the order of its axes."""
    x = float_value(graph, node.input[0])
    axes = None if x is None else axes_of(graph, node.input[1], len(x.shape))
    return x is not None and axes is not None and len(set(axes)) == len(x.shape) and _transpose(graph, node, axes)


def _two_turned(graph: GraphFile, node: Any) -> bool:
    """x, and which two of its axes."""
    x = float_value(graph, node.input[0])
    if x is None:
        return False
    first, second = [axes_of(graph, name, len(x.shape)) for name in node.input[1:3]]
    if first is None or second is None:
        return False
    (one,), (other,) = first, second
    order = list(range(len(x.shape)))
    order[one], order[other] = other, one
    return _transpose(graph, node, tuple(order))


def _transpose(graph: GraphFile, node: Any, order: tuple[int, ...]) -> bool:
    made = float_value(graph, node.output[0])
    if made is None:
        return False
    spelling = Spelling(graph, node)
    spelling.make("Transpose", [node.input[0], order], made)
    return spelling.put()


def _parts_of_a_size(graph: GraphFile, node: Any) -> bool:
    """x, how many places each part has, along which axis."""
    return _take_parts(graph, node, is_count=False)


def _so_many_parts(graph: GraphFile, node: Any) -> bool:
    """x, how many parts, along which axis."""
    return _take_parts(graph, node, is_count=True)


def _take_parts(graph: GraphFile, node: Any, is_count: bool) -> bool:
    x, told = float_value(graph, node.input[0]), graph.constant(node.input[1])
    axes = None if x is None else axes_of(graph, node.input[2], len(x.shape))
    if x is None or axes is None or not isinstance(told, int) or told < 1 or x.shape[axes[0]] < 1:
        return False
    (axis,) = axes
    size = -(-x.shape[axis] // told) if is_count else told
    items = [user for user in graph.users(node.output[0]) if user is not None]
    if len(items) != len(graph.users(node.output[0])) or any(graph.op(item) != "TupleGetItem" for item in items):
        return False
    for item in items:
        first = graph.constant(item.input[1]) * size
        spelling = Spelling(graph, item)
        slice_of(spelling, node.input[0], x, axis, (first, min(first + size, x.shape[axis])))
        spelling.put()
    graph.remove_unused(node.output[0])
    return bool(items)


def _some_places(graph: GraphFile, node: Any) -> bool:
    """x, along which axis, from where on, how many."""
    x = float_value(graph, node.input[0])
    axes = None if x is None else axes_of(graph, node.input[1], len(x.shape))
    first, count = [graph.constant(name) for name in node.input[2:4]]
    if x is None or axes is None or not isinstance(first, int) or not isinstance(count, int):
        return False
    (axis,) = axes
    if not 0 <= first < first + count <= x.shape[axis]:
        return False
    spelling = Spelling(graph, node)
    slice_of(spelling, node.input[0], x, axis, (first, first + count))
    return spelling.put()


def _one_place(graph: GraphFile, node: Any) -> bool:
    """x, along which axis, which place: the axis goes."""
    x, made = float_value(graph, node.input[0]), float_value(graph, node.output[0])
    axes = None if x is None else axes_of(graph, node.input[1], len(x.shape))
    place = graph.constant(node.input[2])
    if x is None or made is None or axes is None or not isinstance(place, int):
        return False
    (axis,) = axes
    if not -x.shape[axis] <= place < x.shape[axis]:
        return False
    spelling, first = Spelling(graph, node), place % x.shape[axis]
    spelling.make("Squeeze", [slice_of(spelling, node.input[0], x, axis, (first, first + 1)), axes], made)
    return spelling.put()


def _flattened(graph: GraphFile, node: Any) -> bool:
    """x, and from which axis to which it becomes one."""
    x, made = float_value(graph, node.input[0]), float_value(graph, node.output[0])
    if x is None or made is None or sum(size < 1 for size in made.shape) > 1:
        return False
    axes = [axes_of(graph, name, len(x.shape)) for name in node.input[1:3]]
    if axes[0] in (None, (0,)) or axes[1] is None:
        return False
    spelling = Spelling(graph, node)
    spelling.make("Reshape", [node.input[0], (-1, *made.shape[1:])], made)
    return spelling.put()


def _same_inputs(op: str, count: int) -> Any:
    """Another operator, given as many of the same values."""

    def spell(graph: GraphFile, node: Any) -> bool:
        made = float_value(graph, node.output[0])
        if made is None or float_value(graph, node.input[0]) is None:
            return False
        spelling = Spelling(graph, node)
        spelling.make(op, node.input[:count], made)
        return spelling.put()

    return spell


def _pairs_of_matrices(graph: GraphFile, node: Any) -> bool:
    made = float_value(graph, node.output[0])
    if made is None or any(float_value(graph, name) is None for name in node.input[:2]):
        return False
    spelling = Spelling(graph, node)
    spelling.make("BatchMatMul", [*node.input[:2], False, False], made)
    return spelling.put()


SLOW = {
    "TransposeView": _turned,
    "TransposeExtView": _two_turned,
    "SplitTensorView": _parts_of_a_size,
    "ChunkView": _so_many_parts,
    "NarrowView": _some_places,
    "SelectExtView": _one_place,
    "ExpandDimsView": _same_inputs("ExpandDims", 2),
    "BroadcastToView": _same_inputs("BroadcastTo", 2),
    "FlattenExt": _flattened,
    "BatchMatMulExt": _pairs_of_matrices,
}
