"""What goes along an axis, as mindspore.mint makes it: spreads, norms, order, what is moved or repeated."""

import math
from typing import Any

import numpy as np

from mindspore_serving.worker.rewrites.file_constants import FLOAT32, INT32, INT64, TOLD_INT64
from mindspore_serving.worker.rewrites.graph_file import GraphFile
from mindspore_serving.worker.rewrites.kernel_nodes import float_value, is_large
from mindspore_serving.worker.rewrites.newer.spelling import (
    Rule,
    Spelling,
    alike,
    axes_of,
    first_item,
    number,
    slice_of,
)
from mindspore_serving.worker.rewrites.values import Value

_MOST = float(np.finfo(np.float32).max)


def _kept(x: Value, axes: tuple[int, ...]) -> Value:
    """With one place along each of these."""
    return Value(x.data_type, tuple(1 if axis in axes else size for axis, size in enumerate(x.shape)))


def _variance(graph: GraphFile, node: Any) -> bool:
    """Of x along axes, what the number of numbers is taken less, do the axes stay."""
    return _spread(graph, [node], number(graph, node.input[2]), has_root=False)


def _deviation(graph: GraphFile, node: Any) -> bool:
    """The root of that."""
    return _spread(graph, [node], number(graph, node.input[2]), has_root=True)


def _deviation_of_two(graph: GraphFile, node: Any) -> bool:
    """The same, of many numbers, where a mean comes with it that nobody asks for; less one, or none."""
    item, is_less = first_item(graph, node), graph.constant(node.input[2])
    if item is None or not isinstance(is_less, bool) or not is_large(graph, node.input[0]):
        return False
    return _spread(graph, [node, item], float(is_less), has_root=True)


def _spread(graph: GraphFile, old: list[Any], less: float | None, has_root: bool) -> bool:
    (given, told, _, stays), name = old[0].input, old[-1].output[0]
    x, made = float_value(graph, given), graph.value(name)
    axes = None if x is None else axes_of(graph, told, len(x.shape))
    stay = graph.constant(stays)
    if x is None or made is None or axes is None or less is None or not isinstance(stay, bool):
        return False
    count = math.prod(x.shape[axis] for axis in axes)
    if min(x.shape[axis] for axis in axes) < 1 or count <= less:
        return False
    spelling = Spelling(graph, *old)
    away = spelling.make("Sub", [given, spelling.make("ReduceMean", [given, axes, True], _kept(x, axes))], x)
    total = spelling.make("ReduceSum", [spelling.make("Square", [away], x), axes, stay, False], made)
    variance = spelling.make("Mul", [total, 1 / (count - less)], made)
    if has_root:
        spelling.make("Sqrt", [variance], made)
    return spelling.put()


def _norm(graph: GraphFile, node: Any) -> bool:
    """Of x, of what order, along axes, do these stay, in which type, or None."""
    x, made = float_value(graph, node.input[0]), graph.value(node.output[0])
    axes = None if x is None else axes_of(graph, node.input[2], len(x.shape))
    order, stay = number(graph, node.input[1]), graph.constant(node.input[3])
    if x is None or made is None or axes is None or order not in (1.0, 2.0) or not isinstance(stay, bool):
        return False
    if graph.constant(node.input[4]) is not None:
        return False
    spelling = Spelling(graph, node)
    sizes = spelling.make("Square" if order == 2.0 else "Abs", node.input[:1], x)
    total = spelling.make("ReduceSum", [sizes, axes, stay, False], made)
    if order == 2.0:
        spelling.make("Sqrt", [total], made)
    return spelling.put()


def _log_of_sum(graph: GraphFile, node: Any) -> bool:
    """Of the exponentials of x, along axes, do these stay. An infinity that is the largest stays what it is."""
    x, made = float_value(graph, node.input[0]), graph.value(node.output[0])
    axes = None if x is None else axes_of(graph, node.input[1], len(x.shape))
    stay = graph.constant(node.input[2])
    if x is None or made is None or axes is None or not isinstance(stay, bool):
        return False
    spelling, kept = Spelling(graph, node), _kept(x, axes)
    largest = spelling.make("ReduceMax", [node.input[0], axes, True], kept)
    largest = spelling.make("Maximum", [spelling.make("Minimum", [largest, _MOST], kept), -_MOST], kept)
    log = _logarithm_of_sum(spelling, node.input[0], x, axes, largest)
    whole = spelling.make("Add", [log, largest], kept)
    if not stay:
        spelling.make("Squeeze", [whole, axes], made)
    return spelling.put()


def _logarithm_of_sum(spelling: Spelling, given: str, x: Value, axes: tuple[int, ...], largest: str) -> str:
    """The logarithm of the sum of the exponentials of x less the largest of it."""
    grown = spelling.make("Exp", [spelling.make("Sub", [given, largest], x)], x)
    kept = _kept(x, axes)
    return spelling.make("Log", [spelling.make("ReduceSum", [grown, axes, True, False], kept)], kept)


def _log_softmax(graph: GraphFile, node: Any) -> bool:
    """Of x along an axis, and in which type, or None, or nothing. Of many numbers."""
    x = alike(graph, node)
    axes = None if x is None else axes_of(graph, node.input[1], len(x.shape))
    if x is None or axes is None or not is_large(graph, node.output[0]):
        return False
    if any(graph.constant(name) is not None for name in node.input[2:]):
        return False
    spelling = Spelling(graph, node)
    largest = spelling.make("ReduceMax", [node.input[0], axes, True], _kept(x, axes))
    log = _logarithm_of_sum(spelling, node.input[0], x, axes, largest)
    spelling.make("Sub", [spelling.make("Sub", [node.input[0], largest], x), log], x)
    return spelling.put()


def _extreme(op: str) -> Rule:
    """Of x along an axis, does it stay: the first of two values, where nobody asks for the places."""

    def spell(graph: GraphFile, node: Any) -> bool:
        item, x = first_item(graph, node), float_value(graph, node.input[0])
        made = None if item is None else graph.value(item.output[0])
        axes = None if x is None else axes_of(graph, node.input[1], len(x.shape))
        stay = graph.constant(node.input[2])
        if item is None or made is None or axes is None or not isinstance(stay, bool):
            return False
        spelling = Spelling(graph, node, item)
        spelling.make(op, [node.input[0], axes, stay], made)
        return spelling.put()

    return spell


def _stack(graph: GraphFile, node: Any) -> bool:
    """A tuple of values, and which axis it becomes."""
    made, values = float_value(graph, node.output[0]), graph.maker(node.input[0])
    axes = None if made is None else axes_of(graph, node.input[1], len(made.shape))
    if made is None or axes is None or graph.op(values) != "MakeTuple":
        return False
    spelling, count = Spelling(graph, node), len(values.input)
    spelling.make("Stack", node.input[:1], made, {"axis": axes[0], "num": count, "N": count})
    return spelling.put()


def _running_sum(graph: GraphFile, node: Any) -> bool:
    """Of x along an axis, in which type, or None."""
    x = alike(graph, node)
    axes = None if x is None else axes_of(graph, node.input[1], len(x.shape))
    if x is None or axes is None or graph.constant(node.input[2]) is not None:
        return False
    spelling = Spelling(graph, node)
    spelling.make("CumSum", [node.input[0], axes[0], False, False], x)
    return spelling.put()


def _largest(graph: GraphFile, node: Any) -> bool:
    """Of x, how many, along which axis, the largest, sorted."""
    x, count = float_value(graph, node.input[0]), graph.constant(node.input[1])
    axes = None if x is None else axes_of(graph, node.input[2], len(x.shape))
    if (
        x is None
        or not isinstance(count, int)
        or axes != (len(x.shape) - 1,)
        or graph.constant(node.input[3]) is not True
    ):
        return False
    made = Value(FLOAT32, (*x.shape[:-1], count))
    return _values_and_places(graph, node, "TopK", [node.input[0], count], made, {"sorted": True})


def _sorted(graph: GraphFile, node: Any) -> bool:
    """Of x, along which axis, from the largest down, does what is alike keep its order."""
    x, is_down = float_value(graph, node.input[0]), graph.constant(node.input[2])
    axes = None if x is None else axes_of(graph, node.input[1], len(x.shape))
    if x is None or axes is None or not isinstance(is_down, bool):
        return False
    told: dict[str, bool | int | str | tuple[int, ...]] = {"axis": axes[0], "descending": is_down}
    return _values_and_places(graph, node, "Sort", node.input[:1], x, told)


def _values_and_places(
    graph: GraphFile,
    node: Any,
    op: str,
    given: list[Any],
    made: Value,
    told: dict[str, bool | int | str | tuple[int, ...]],
) -> bool:
    """Of two values either may be asked for. The places are of int32, and were of int64."""
    items = [user for user in graph.users(node.output[0]) if user is not None]
    if len(items) != len(graph.users(node.output[0])) or not items:
        return False
    if any(graph.op(item) != "TupleGetItem" or graph.constant(item.input[1]) not in (0, 1) for item in items):
        return False
    for item in items:
        which: int = graph.constant(item.input[1])
        spelling = Spelling(graph, item)
        places = Value(INT32, made.shape)
        several = spelling.make(op, given, [made, places], told)
        found = spelling.first(several, places if which else made, which)
        if which:
            spelling.make("Cast", [found, TOLD_INT64], Value(INT64, made.shape))
        spelling.put()
    graph.remove_unused(node.output[0])
    return True


def _rolled(graph: GraphFile, node: Any) -> bool:
    """x, by how many places, along which axes: what falls out at the end comes in at the beginning."""
    x = alike(graph, node)
    axes = None if x is None else axes_of(graph, node.input[2], len(x.shape))
    places = graph.constant(node.input[1])
    if x is None or axes is None or not isinstance(places, tuple) or len(places) != len(axes):
        return False
    moved = [(axis, by % x.shape[axis]) for axis, by in zip(axes, places, strict=True) if x.shape[axis] > 0]
    if len(moved) < len(axes) or not any(by for _, by in moved):
        return False
    spelling, made = Spelling(graph, node), node.input[0]
    for axis, by in moved:
        size = x.shape[axis]
        if by:
            parts = [slice_of(spelling, made, x, axis, span) for span in ((size - by, size), (0, size - by))]
            values = [Value(FLOAT32, (*x.shape[:axis], count, *x.shape[axis + 1 :])) for count in (by, size - by)]
            made = spelling.make("Concat", [spelling.make("MakeTuple", parts, values), axis], x)
    return spelling.put()


def _repeated(graph: GraphFile, node: Any) -> bool:
    """x, each place how often, along which axis, and how many that makes, or None."""
    x, made = float_value(graph, node.input[0]), float_value(graph, node.output[0])
    times = graph.constant(node.input[1])
    axes = None if x is None else axes_of(graph, node.input[2], len(x.shape))
    if x is None or made is None or axes is None or not isinstance(times, int) or times < 1:
        return False
    if sum(size < 1 for size in made.shape) > 1:
        return False
    behind, rank = axes[0] + 1, len(x.shape)
    apart, spread = [Value(FLOAT32, (*x.shape[:behind], count, *x.shape[behind:])) for count in (1, times)]
    spelling = Spelling(graph, node)
    alone = spelling.make("ExpandDims", [node.input[0], behind], apart)
    each = spelling.make("Tile", [alone, (*[1] * behind, times, *[1] * (rank - behind))], spread)
    shape = tuple(size if size > 0 else -1 for size in made.shape)
    spelling.make("Reshape", [each, shape if min(shape) < 1 else (-1, *shape[1:])], made)
    return spelling.put()


def _lower_triangle(graph: GraphFile, node: Any) -> bool:
    """x, and up to which diagonal."""
    value, diagonal = alike(graph, node), graph.constant(node.input[1])
    if value is None or not isinstance(diagonal, int):
        return False
    spelling = Spelling(graph, node)
    spelling.make("Tril", node.input[:1], value, {"diagonal": diagonal})
    return spelling.put()


def _selected(graph: GraphFile, node: Any) -> bool:
    """x, along which axis, which places."""
    x, made = float_value(graph, node.input[0]), float_value(graph, node.output[0])
    axes = None if x is None else axes_of(graph, node.input[1], len(x.shape))
    if made is None or axes is None:
        return False
    spelling = Spelling(graph, node)
    spelling.make("Gather", [node.input[0], node.input[2], axes[0], 0], made)
    return spelling.put()


MISSING = {
    "Var": _variance,
    "Std": _deviation,
    "LinalgVectorNorm": _norm,
    "LogSumExp": _log_of_sum,
    "StackExt": _stack,
    "CumsumExt": _running_sum,
    "TopkExt": _largest,
    "SortExt": _sorted,
    "Roll": _rolled,
    "RepeatInterleaveInt": _repeated,
    "TrilExt": _lower_triangle,
    "IndexSelect": _selected,
}
SLOW = {
    "LogSoftmaxExt": _log_softmax,
    "LogSoftmax": _log_softmax,
    "MaxDim": _extreme("ReduceMax"),
    "MinDim": _extreme("ReduceMin"),
    "ReduceStd": _deviation_of_two,
}
