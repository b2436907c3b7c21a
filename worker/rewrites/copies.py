"""What only goes to another place, by operators of kernels/: other orders of axes, parts of values, several as one.

MindSpore 2.10 looks each number's place up: ten times as long as a copy takes.
"""

from typing import Any

from mindspore_serving.worker.rewrites.graph_file import FLOAT32, GraphFile
from mindspore_serving.worker.rewrites.kernel_nodes import (
    MOST_GIVEN,
    Step,
    are_here,
    bits,
    float_value,
    is_large,
    put_large,
    put_step,
    step_of,
)
from mindspore_serving.worker.rewrites.paddings import PADDINGS, padded_with, paddings_of

_WHOLE = (0, 0, 1, 0)  # of an axis, whatever its size
_SAME = -1  # of an axis of BroadcastTo


def copy_by_kernels(graph: GraphFile) -> int:
    """Makes Transpose, StridedSlice, Split, Concat, BroadcastTo, Pad of many numbers ours. Returns how many."""
    if not are_here():
        return 0
    made = sum(_concatenated(graph, node) for node in graph.nodes if graph.op(node) == "Concat")
    made += sum(_cut(graph, node) for node in graph.nodes if graph.op(node) == "Split")
    nodes = [node for node in graph.nodes if graph.op(node) in _STEPS]
    return made + sum(put_large(graph, [node], copy_step(graph, node), node.output[0]) for node in nodes)


def copy_step(graph: GraphFile, node: Any) -> Step | None:
    """The step that does what this node does; None for a node of another kind."""
    rule = _STEPS.get(graph.op(node))
    if rule is None or float_value(graph, node.input[0]) is None or float_value(graph, node.output[0]) is None:
        return None
    return rule(graph, node)


def _transposition(graph: GraphFile, node: Any) -> Step | None:
    order, value = graph.constant(node.input[1]), float_value(graph, node.output[0])
    if not isinstance(order, tuple) or value is None:
        return None
    axes = [axis % len(order) for axis in order]
    return Step("transposition", node.input[:1], axes) if sorted(axes) == list(range(len(value.shape))) else None


def _part(graph: GraphFile, node: Any) -> Step | None:
    """StridedSlice with steps forward; an axis of which one place is taken may stay or go."""
    x, made = float_value(graph, node.input[0]), float_value(graph, node.output[0])
    given = [graph.constant(name) for name in node.input[1:]]
    if x is None or made is None or len(given) != 8 or not all(isinstance(one, tuple) for one in given[:3]):
        return None
    places, masks = given[:3], given[3:]
    if not all(isinstance(mask, int) for mask in masks) or masks[2] or masks[3]:
        return None
    spans = []
    for axis, size in enumerate(x.shape):
        bits = [bool(mask >> axis & 1) for mask in masks]
        is_told = axis < min(map(len, places))
        spans.append(_span(size, *(numbers[axis] for numbers in places), *bits) if is_told else _WHOLE)
    if None in spans:
        return None
    told = [number for span in spans if span is not None for number in span]
    left = [span[1] or size for span, size in zip(spans, x.shape, strict=True) if span is not None and not span[3]]
    return Step("part", node.input[:1], told) if tuple(left) == made.shape else None


def _span(
    size: int, first: int, end: int, step: int, from_first: bool, to_end: bool, _: bool, __: bool, is_one: bool
) -> tuple[int, int, int, int] | None:
    """Of an axis: the first place, how many there are, each which one of them, whether the axis goes.

    None where that is not known, or step is backward.
    """
    first, end = 0 if from_first and not is_one else first, size if to_end and not is_one else end
    if (first, end, step, is_one) == (0, size, 1, False):
        return _WHOLE
    if size < 1:
        return None
    first, end = first + size if first < 0 else first, min(end + size if end < 0 else end, size)
    if is_one:
        return (first, 1, 1, 1) if 0 <= first < size else None
    return (first, (end - first + step - 1) // step, step, 0) if step > 0 and 0 <= first < end else None


def _cut(graph: GraphFile, node: Any) -> bool:
    """Split, whose parts are copies each."""
    x, items = float_value(graph, node.input[0]), list(graph.users(node.output[0]))
    axis, count = [graph.constant(name) for name in node.input[1:3]]
    if x is None or not isinstance(axis, int) or not isinstance(count, int) or not -len(x.shape) <= axis < len(x.shape):
        return False
    if not all(graph.op(item) == "TupleGetItem" for item in items):
        return False
    numbers: list[Any] = [graph.constant(item.input[1]) for item in items]
    values = [float_value(graph, item.output[0]) for item in items]
    size = x.shape[axis]
    if count < 1 or size < 1 or size % count or not all(is_large(graph, item.output[0]) for item in items):
        return False
    if not all(isinstance(number, int) and value is not None for number, value in zip(numbers, values, strict=True)):
        return False
    for item, number, value in zip(items, numbers, values, strict=True):
        spans = [_WHOLE] * len(x.shape)
        spans[axis] = (number * (size // count), size // count, 1, 0)
        assert value is not None
        put_step(graph, [item], Step("part", node.input[:1], [told for span in spans for told in span]), value)
    graph.replace([node], [])
    return True


def _concatenated(graph: GraphFile, node: Any) -> bool:
    values, axis, made = graph.maker(node.input[0]), graph.constant(node.input[1]), float_value(graph, node.output[0])
    if made is None or graph.op(values) != "MakeTuple" or graph.only_user(node.input[0]) is None:
        return False
    parts = [float_value(graph, name) or graph.constant_tensor(name) for name in values.input]
    if not isinstance(axis, int) or len(parts) > MOST_GIVEN:
        return False
    if not is_large(graph, node.output[0]) and not all(_is_of_a_chain(graph, name) for name in values.input):
        return False
    if any(part is None or part.data_type != FLOAT32 for part in parts):
        return False
    put_step(graph, [values, node], Step("concatenation", list(values.input), [axis % len(made.shape)]), made)
    return True


def _is_of_a_chain(graph: GraphFile, name: str) -> bool:
    """Whether a step makes this, and nobody else wants it: so it costs nothing to go on with it."""
    maker = graph.maker(name)
    return maker is not None and step_of(graph, maker) is not None and graph.only_user(name) is not None


def _repetition(graph: GraphFile, node: Any) -> Step | None:
    """BroadcastTo that has no axes before those of its input."""
    x, made = float_value(graph, node.input[0]), float_value(graph, node.output[0])
    shape = graph.constant(node.input[1])
    if x is None or made is None or not isinstance(shape, tuple) or len(shape) != len(x.shape):
        return None
    told = [1 if size in (x.shape[axis], _SAME) else size for axis, size in enumerate(shape)]
    fits = all(times == 1 or (times > 1 and size == 1) for times, size in zip(told, x.shape, strict=True))
    return Step("repetition", node.input[:1], told) if fits else None


def _padding(graph: GraphFile, node: Any) -> Step | None:
    x, number = float_value(graph, node.input[0]), padded_with(graph, node)
    paddings = None if x is None else paddings_of(graph, node, len(x.shape))
    if paddings is None or number is None:
        return None
    return Step("padding", node.input[:1], [bits(number), *(count for pair in paddings for count in pair)])


_STEPS = {
    "Transpose": _transposition,
    "StridedSlice": _part,
    "BroadcastTo": _repetition,
    **dict.fromkeys(PADDINGS, _padding),
}
