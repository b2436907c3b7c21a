"""What only goes to another place, by operators of kernels/: other orders of axes, parts of values, repeated ones.

MindSpore 2.10 looks each number's place up: ten times as long as a copy takes.
"""

import math
from typing import Any

from mindspore_serving.worker.rewrites.graph_file import GraphFile
from mindspore_serving.worker.rewrites.kernel_nodes import (
    Step,
    are_here,
    bits,
    float_value,
    put_large,
    put_steps,
    step_of,
)
from mindspore_serving.worker.rewrites.paddings import PADDINGS, padded_with, paddings_of
from mindspore_serving.worker.rewrites.slices import spans_of

_SAME = -1  # of an axis of BroadcastTo
_OF_AXIS = 4  # numbers that a part is told of each axis: slices.py


def copy_by_kernels(graph: GraphFile) -> int:
    """Makes Transpose, StridedSlice, BroadcastTo, Pad of many numbers ours. Returns how many."""
    if not are_here():
        return 0
    nodes = [node for node in graph.nodes if graph.op(node) in _STEPS]
    return sum(put_large(graph, [node], copy_step(graph, node), node.output[0]) for node in nodes)


def take_parts_first(graph: GraphFile) -> int:
    """Where a value is transposed for parts of it alone, transposes these, as attention's query, key and value.

    So instances stay along the first axis, and a chain can take some of them at a time. Returns how many operators are
    ours by that: none.
    """
    for node in graph.nodes:
        step = step_of(graph, node)
        if step is not None and step.operator == "transposition":
            _take_parts(graph, node, step)
    return 0


def _take_parts(graph: GraphFile, node: Any, turned: Step) -> None:
    users, x = list(graph.users(node.output[0])), float_value(graph, turned.inputs[0])
    steps = [None if user is None else step_of(graph, user) for user in users]
    parts = [step for step in steps if step is not None and step.operator == "part"]
    if x is None or not users or len(parts) < len(users):
        return
    made = [float_value(graph, user.output[0]) for user in users]
    if sum(_numbers(value.shape) for value in made if value is not None) > _numbers(x.shape):
        return
    rank = len(x.shape)
    for user, part, value in zip(users, parts, made, strict=True):
        assert value is not None
        spans = [tuple(part.told[_OF_AXIS * axis : _OF_AXIS * (axis + 1)]) for axis in range(rank)]
        before = dict(zip(turned.told, spans, strict=True))
        kept = [axis for axis in range(rank) if not before[axis][3]]
        shape = tuple(before[axis][1] or x.shape[axis] for axis in kept)
        order = [kept.index(axis) for axis in turned.told if axis in kept]
        told = [number for axis in range(rank) for number in before[axis]]
        first = (Step("part", list(turned.inputs), told), shape)
        put_steps(graph, [user], [first, (Step("transposition", [0], order), value.shape)])
    graph.replace([node], [])


def _numbers(shape: tuple[int, ...]) -> int:
    return math.prod(size for size in shape if size > 0)


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
    spans = None if x is None else spans_of(graph, node, x.shape)
    if x is None or made is None or spans is None:
        return None
    told = [number for span in spans for number in span]
    left = [span[1] or size for span, size in zip(spans, x.shape, strict=True) if not span[3]]
    return Step("part", node.input[:1], told) if tuple(left) == made.shape else None


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
