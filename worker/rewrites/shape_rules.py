"""What operators make of the shapes of their inputs: a rule for each that networks have between their layers.

A rule returns None where it knows nothing, and gives a size that it does not know a name.
"""

from typing import Any

from mindspore_serving.worker.rewrites.elements import ACTIVATIONS, COMBINATIONS
from mindspore_serving.worker.rewrites.graph_file import LISTS, GraphFile
from mindspore_serving.worker.rewrites.joined import axis_of
from mindspore_serving.worker.rewrites.reductions import REDUCTIONS, known_axes
from mindspore_serving.worker.rewrites.shape_protocol import Rule, Shapes
from mindspore_serving.worker.rewrites.sizes import ONE, Shape, Size, named, product
from mindspore_serving.worker.rewrites.slices import spans_of
from mindspore_serving.worker.rewrites.window_shapes import WINDOW_RULES, shape_of_three


def _same(shapes: Shapes, node: Any) -> Shape | None:
    return shapes.of(node.input[0])


def _combined(shapes: Shapes, node: Any) -> Shape | None:
    """Each is repeated for the other where it has one place."""
    sides = [shapes.of(name) for name in node.input[:2]]
    one, other = sides
    if one is None or other is None:
        return None
    rank = max(len(one), len(other))
    one, other = [(*[ONE] * (rank - len(shape)), *shape) for shape in (one, other)]
    return tuple(_common(*pair, named(node.output[0], axis)) for axis, pair in enumerate(zip(one, other, strict=True)))


def _common(one: Size, other: Size, unknown: Size) -> Size:
    if one in (ONE, other):
        return other
    if other == ONE or not one.names:  # an open size is the same as one that is known, or 1
        return one
    return unknown if other.names else other


def _product(shapes: Shapes, node: Any) -> Shape | None:
    """Of matrices, one pair or many, of which either may be transposed; MatMulExt tells nothing of that."""
    one, other = [shapes.of(name) for name in node.input[:2]]
    turned = [shapes.graph.constant(name) is True for name in node.input[2:4]] or [False, False]
    if one is None or other is None or min(len(one), len(other)) < 2:
        return None
    rank = max(len(one), len(other))
    one, other = [(*[ONE] * (rank - len(shape)), *shape) for shape in (one, other)]
    pairs = [
        _common(*pair, named(node.output[0], axis)) for axis, pair in enumerate(zip(one[:-2], other[:-2], strict=True))
    ]
    return (*pairs, one[-1 if turned[0] else -2], other[-2 if turned[1] else -1])


def _linear(shapes: Shapes, node: Any) -> Shape | None:
    x, weights = [shapes.of(name) for name in node.input[:2]]
    return None if x is None or weights is None or len(weights) != 2 else (*x[:-1], weights[0])


def _reshaped(shapes: Shapes, node: Any) -> Shape | None:
    """One size may be told as -1: what is left for it."""
    x, told = shapes.of(node.input[0]), shapes.numbers(node.input[1])
    if x is None or told is None:
        return None
    known = [size for size in told if size is not None]
    if len(known) < len(told) - 1:
        return None
    left = product(x).over(product(known)) or named(node.output[0], list(told).index(None) if None in told else 0)
    return tuple(left if size is None else size for size in told)


def _flat(shapes: Shapes, node: Any) -> Shape | None:
    x = shapes.of(node.input[0])
    return None if x is None or not x else (x[0], product(x[1:]))


def _with_axis(shapes: Shapes, node: Any) -> Shape | None:
    x, axis = shapes.of(node.input[0]), shapes.graph.constant(node.input[1])
    if x is None or not isinstance(axis, int) or not -len(x) - 1 <= axis <= len(x):
        return None
    place = axis % (len(x) + 1)
    return (*x[:place], ONE, *x[place:])


def _without_axes(shapes: Shapes, node: Any) -> Shape | None:
    x, told = shapes.of(node.input[0]), shapes.graph.constant(node.input[1])
    axes = [] if x is None else known_axes(told, len(x))
    return None if x is None or not axes else tuple(size for axis, size in enumerate(x) if axis not in axes)


def _transposed(shapes: Shapes, node: Any) -> Shape | None:
    x, order = shapes.of(node.input[0]), shapes.graph.constant(node.input[1])
    if x is None or not isinstance(order, tuple) or sorted(axis % len(x) for axis in order) != list(range(len(x))):
        return None
    return tuple(x[axis] for axis in order)


def _reduced(shapes: Shapes, node: Any) -> Shape | None:
    x, told, keep = shapes.of(node.input[0]), *(shapes.graph.constant(name) for name in node.input[1:3])
    axes = [] if x is None else known_axes(told, len(x))
    if x is None or not axes or not isinstance(keep, bool):
        return None
    return tuple(ONE if axis in axes else size for axis, size in enumerate(x) if keep or axis not in axes)


def _joined(shapes: Shapes, node: Any) -> Shape | None:
    parts, axis = shapes.graph.maker(node.input[0]), shapes.graph.constant(node.input[1])
    found = [shapes.of(name) for name in parts.input] if shapes.graph.op(parts) == "MakeTuple" else []
    known = [shape for shape in found if shape is not None]
    if not known or len(known) < len(found) or len({len(shape) for shape in known}) > 1 or not isinstance(axis, int):
        return None
    place = axis % len(known[0])
    sizes = [shape[place] for shape in known]
    whole = (
        named(node.output[0], place) if any(size.names for size in sizes) else Size(sum(size.number for size in sizes))
    )
    return (*known[0][:place], whole, *known[0][place + 1 :])


def _sliced(shapes: Shapes, node: Any) -> Shape | None:
    x = shapes.of(node.input[0])
    spans = None if x is None else spans_of(shapes.graph, node, [size.known for size in x])
    if x is None or spans is None:
        return None
    each = zip(x, spans, strict=True)
    return tuple(size if count == 0 else Size(count) for size, (_, count, _, goes) in each if not goes)


def _part(shapes: Shapes, node: Any) -> Shape | None:
    """Of a Split, each."""
    x, axis, count = shapes.of(node.input[0]), *(shapes.graph.constant(name) for name in node.input[1:3])
    if x is None or not isinstance(axis, int) or not isinstance(count, int) or count < 1:
        return None
    place = axis % len(x)
    size = x[place].over(Size(count)) or named(node.output[0], place)
    return (*x[:place], size, *x[place + 1 :])


def _unstacked(shapes: Shapes, node: Any) -> Shape | None:
    """Each of its parts."""
    x = shapes.of(node.input[0])
    axis = None if x is None else axis_of(shapes.graph, node, len(x))
    return None if x is None or axis is None else (*x[:axis], *x[axis + 1 :])


def _stacked(shapes: Shapes, node: Any) -> Shape | None:
    parts = shapes.graph.maker(node.input[0])
    shape = shapes.of(parts.input[0]) if shapes.graph.op(parts) in LISTS and parts.input else None
    axis = None if shape is None else axis_of(shapes.graph, node, len(shape) + 1)
    return None if shape is None or axis is None else (*shape[:axis], Size(len(parts.input)), *shape[axis:])


def _repeated(shapes: Shapes, node: Any) -> Shape | None:
    """BroadcastTo, which may have axes before those of its input; -1 stands for a size that stays."""
    x, told = shapes.of(node.input[0]), shapes.numbers(node.input[1])
    if x is None or told is None or len(told) < len(x):
        return None
    unknown = [named(node.output[0], axis) for axis in range(len(told))]  # computed, or of an axis before
    stays = (*unknown[: len(told) - len(x)], *x)
    return tuple(
        size or (stays[axis] if _is_told_to_stay(shapes.graph, node.input[1], axis) else unknown[axis])
        for axis, size in enumerate(told)
    )


def _is_told_to_stay(graph: GraphFile, name: str, axis: int) -> bool:
    """By a size of -1; of a computed one nothing is known."""
    told, maker = graph.constant(name), graph.maker(name)
    if isinstance(told, tuple):
        return bool(told[axis] == -1)
    return graph.op(maker) == "MakeTuple" and bool(graph.constant(maker.input[axis]) == -1)


def _tiled(shapes: Shapes, node: Any) -> Shape | None:
    x, told = shapes.of(node.input[0]), shapes.numbers(node.input[1])
    if x is None or told is None or len(told) != len(x):
        return None
    return tuple(
        named(node.output[0], axis) if count is None else size.times(count)
        for axis, (size, count) in enumerate(zip(x, told, strict=True))
    )


def _gathered(shapes: Shapes, node: Any) -> Shape | None:
    """Rows of a table, or places of another axis."""
    x, places = [shapes.of(name) for name in node.input[:2]]
    axis, *more = [shapes.graph.constant(name) for name in node.input[2:]] or [None]
    if x is None or places is None or more not in ([], [0]) or not isinstance(axis, int):
        return None
    axis = axis % len(x) if -len(x) <= axis < len(x) else len(x)
    return (*x[:axis], *places, *x[axis + 1 :]) if axis < len(x) else None


def _looked_up(shapes: Shapes, node: Any) -> Shape | None:
    places, table = [shapes.of(name) for name in node.input[:2]]
    return None if places is None or table is None or len(table) != 2 else (*places, table[1])


def _resized(shapes: Shapes, node: Any) -> Shape | None:
    x, told = shapes.of(node.input[0]), shapes.numbers(node.input[1])
    known = [size for size in told or () if size is not None]
    return (*x[:2], *known) if x is not None and len(x) == 4 and len(known) == 2 else None


RESIZES = ("ResizeNearestNeighborV2", "ResizeBilinearV2")
RULES: dict[str, Rule] = {
    **{name: _combined for names in COMBINATIONS for name in names},
    **dict.fromkeys(("AddExt", "SubExt", "Pow", "Greater", "GreaterEqual", "Less", "LessEqual"), _combined),
    **dict.fromkeys(("Equal", "NotEqual", "LogicalAnd", "LogicalOr", "MaskedFill"), _combined),
    **dict.fromkeys(
        (*ACTIVATIONS, "PReLU", "BiasAdd", "Softmax", "LogSoftmax", "Cast", "Identity", "L2Normalize"),
        _same,
    ),
    **dict.fromkeys(("EqScalar", "NeScalar", "LogicalNot", "ZerosLike", "OnesLike"), _same),
    "Gather": _gathered,
    "Embedding": _looked_up,
    **dict.fromkeys(RESIZES, _resized),
    **WINDOW_RULES,
    **dict.fromkeys(("MatMul", "BatchMatMul", "MatMulExt"), _product),
    "Dense": _linear,
    "Reshape": _reshaped,
    "Flatten": _flat,
    "ExpandDims": _with_axis,
    "Squeeze": _without_axes,
    "Transpose": _transposed,
    **dict.fromkeys((*REDUCTIONS, "ReduceMax", "ReduceMin"), _reduced),
    "Concat": _joined,
    "StridedSlice": _sliced,
    "Stack": _stacked,
    "BroadcastTo": _repeated,
    "Tile": _tiled,
}
# Of the first of several values that an operator makes, or of each.
FIRST_OF: dict[str, Rule] = {
    **dict.fromkeys(("BatchNorm", "GroupNorm", "LayerNorm", "InstanceNorm"), _same),
    "MaxPool3DWithArgmax": shape_of_three,
}
EACH_OF: dict[str, Rule] = {"Split": _part, "Unstack": _unstacked}
