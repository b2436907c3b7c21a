"""Values put together, along an axis that they have or a new one, and taken apart, by operators of kernels/."""

from collections.abc import Callable
from typing import Any

from mindspore_serving.worker.rewrites.file_constants import FLOAT32
from mindspore_serving.worker.rewrites.graph_file import LISTS, GraphFile
from mindspore_serving.worker.rewrites.kernel_nodes import (
    MOST_GIVEN,
    Step,
    are_here,
    float_value,
    is_large,
    put_step,
    put_steps,
    step_of,
)
from mindspore_serving.worker.rewrites.slices import WHOLE, Span
from mindspore_serving.worker.rewrites.values import Value

_REPEATED = ("BroadcastTo", "Tile")


def join_by_kernels(graph: GraphFile) -> int:
    """Makes Concat and Stack, Split and Unstack of many numbers ours. Returns how many."""
    if not are_here():
        return 0
    rules = {"Concat": _concatenated, "Stack": _stacked, "Split": _split, "Unstack": _unstacked}
    return sum(rules[graph.op(node)](graph, node) for node in graph.nodes if graph.op(node) in rules)


def axis_of(graph: GraphFile, node: Any, rank: int) -> int | None:
    """Along which axis of so many a Stack or an Unstack goes; None for none of them."""
    told = graph.numbers(node, "axis")
    return told[0] % rank if len(told) == 1 and -rank <= told[0] < rank else None


def _concatenated(graph: GraphFile, node: Any) -> bool:
    axis, made = graph.constant(node.input[1]), float_value(graph, node.output[0])
    values = _values(graph, node)
    if made is None or values is None or not isinstance(axis, int) or not -len(made.shape) <= axis < len(made.shape):
        return False
    place = axis % len(made.shape)
    given = [_before_repeating(graph, name, made, place) for name in values.input]
    if set(given).isdisjoint(values.input):  # one of them is to tell how many instances there are
        given[0] = values.input[0]
    put_step(graph, [values, node], Step("concatenation", given, [place]), made)
    for name in values.input:
        graph.remove_unused(name)
    return True


def _before_repeating(graph: GraphFile, name: str, joined: Value, place: int) -> str:
    """What is repeated for each instance, as a token that begins each text: the operator does that as well."""
    node = graph.maker(name)
    if graph.op(node) not in _REPEATED or graph.only_user(name) is None:
        return name
    x = float_value(graph, node.input[0]) or graph.constant_tensor(node.input[0])
    if x is None or x.data_type != FLOAT32 or len(x.shape) != len(joined.shape) or not place or x.shape[0] != 1:
        return name
    sizes = list(zip(x.shape, joined.shape, strict=True))
    is_for_instances = all(size == whole or axis in (0, place) for axis, (size, whole) in enumerate(sizes))
    made = graph.value(name)
    return node.input[0] if is_for_instances and made is not None and made.shape[place] == x.shape[place] else name


def _stacked(graph: GraphFile, node: Any) -> bool:
    """With a view of each that has the new axis."""
    made, values = float_value(graph, node.output[0]), _values(graph, node)
    axis = None if made is None else axis_of(graph, node, len(made.shape))
    if made is None or values is None or axis is None:
        return False
    shape = (*made.shape[:axis], 1, *made.shape[axis + 1 :])
    if sum(size < 0 for size in shape) > 1:
        return False
    told = [max(size, 0) for size in shape]
    if axis > 0 and min(shape[1:]) > 0:
        told[0] = 0  # the file's batch may be run at another size, as long as it stays the first one
    views = [(Step("view", [name], told), shape) for name in values.input]
    joined = Step("concatenation", list(range(len(views))), [axis])
    put_steps(graph, [values, node], [*views, (joined, made.shape)])
    return True


def _values(graph: GraphFile, node: Any) -> Any:
    """The list of what is put together, if it is worth it; None otherwise."""
    values = graph.maker(node.input[0])
    if graph.op(values) not in LISTS or graph.only_user(node.input[0]) is None or len(values.input) > MOST_GIVEN:
        return None
    parts = [float_value(graph, name) or graph.constant_tensor(name) for name in values.input]
    is_large_enough = is_large(graph, node.output[0]) or all(_is_of_a_chain(graph, name) for name in values.input)
    are_floats = all(part is not None and part.data_type == FLOAT32 for part in parts)
    return values if is_large_enough and are_floats else None


def _is_of_a_chain(graph: GraphFile, name: str) -> bool:
    """Whether a step makes this, and nobody else wants it: so it costs nothing to go on with it."""
    maker = graph.maker(name)
    return maker is not None and step_of(graph, maker) is not None and graph.only_user(name) is not None


def _split(graph: GraphFile, node: Any) -> bool:
    x, (axis, count) = float_value(graph, node.input[0]), [graph.constant(name) for name in node.input[1:3]]
    if x is None or not isinstance(axis, int) or not isinstance(count, int) or not -len(x.shape) <= axis < len(x.shape):
        return False
    size = x.shape[axis]
    if count < 1 or size < 1 or size % count:
        return False
    return _take_apart(graph, node, axis % len(x.shape), lambda number: (number * (size // count), size // count, 1, 0))


def _unstacked(graph: GraphFile, node: Any) -> bool:
    x = float_value(graph, node.input[0])
    axis = None if x is None else axis_of(graph, node, len(x.shape))
    if x is None or axis is None or x.shape[axis] < 1:
        return False
    return _take_apart(graph, node, axis, lambda number: (number, 1, 1, 1))


def _take_apart(graph: GraphFile, node: Any, axis: int, span_of: Callable[[int], Span]) -> bool:
    """Makes each part a copy. span_of: of the axis, for the number of a part."""
    x, items = float_value(graph, node.input[0]), list(graph.users(node.output[0]))
    if x is None or not all(graph.op(item) == "TupleGetItem" and is_large(graph, item.output[0]) for item in items):
        return False
    numbers: list[Any] = [graph.constant(item.input[1]) for item in items]
    if not all(isinstance(number, int) and number >= 0 for number in numbers):
        return False
    for item, number in zip(items, numbers, strict=True):
        spans, value = [WHOLE] * len(x.shape), float_value(graph, item.output[0])
        spans[axis] = span_of(number)
        assert value is not None
        put_step(graph, [item], Step("part", node.input[:1], [told for span in spans for told in span]), value)
    graph.replace([node], [])
    return True
