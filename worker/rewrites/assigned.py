"""Assignments to a slice, as `y[..., 0:2] = x`, written as what they make: y with x in place of that part.

With an open number of instances MindSpore 2.10 asks in the file whether the slice has any places, and computes indices
at each call, in graphs that it calls: in the heads of YOLO v3 to v7 that takes as long as a quarter of their
convolutions, and no graph of one size can be made of such a file.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mindspore_serving.worker.rewrites.graph_file import GraphFile
from mindspore_serving.worker.rewrites.new_nodes import REFERENCE
from mindspore_serving.worker.rewrites.newer.spelling import Spelling, slice_of
from mindspore_serving.worker.rewrites.shape_protocol import Shapes
from mindspore_serving.worker.rewrites.shapes import shapes_of
from mindspore_serving.worker.rewrites.sizes import OPEN, Shape, Size
from mindspore_serving.worker.rewrites.values import Value

_ASKED = "RemoveExpandedDims"  # what tells whether there is a place
_ELLIPSIS, _SLICE = 9, 15  # how MindSpore numbers what stands between the brackets


@dataclass(frozen=True)
class _Assignment:
    """The values' names, and the places of an axis of y that x takes."""

    y: str
    x: str
    axis: int
    span: tuple[int, int]


def write_assignments_out(model: Any) -> int:
    """Writes each that is understood out in a ModelProto. Returns how many."""
    if not any(primitive.op_type == _ASKED for primitive in model.primitives):
        return 0
    graph = GraphFile(model)
    shapes = shapes_of(graph)
    choices: list[str] = []
    for call in graph.nodes:
        choice = str(call.op_type).removeprefix(REFERENCE)
        found = _assignment(graph, shapes, graph.maker(choice))
        if found is not None and not call.input and _write(graph, call, found):
            choices.append(choice)
        shapes.of(call.output[0])  # in order: what comes behind is looked up, however deep a network is
    if not choices:
        return 0
    graph.save()
    graph = GraphFile(model)  # in which nobody calls these any more
    for choice in choices:
        graph.remove_unused(choice)
    graph.save()
    return len(choices)


def _write(graph: GraphFile, call: Any, found: _Assignment) -> bool:
    value, before = graph.value(call.output[0]), graph.value(found.y)
    if value is None or before is None:
        return False
    spelling = Spelling(graph, call)
    begin, end = found.span
    parts: list[str] = [found.x]
    if begin > 0:
        parts.insert(0, slice_of(spelling, found.y, before, found.axis, (0, begin)))
    if end < before.shape[found.axis]:
        parts.append(slice_of(spelling, found.y, before, found.axis, (end, before.shape[found.axis])))
    values = [Value(before.data_type, before.shape)] * len(parts)  # of which the axis differs: nobody asks
    spelling.make("Concat", [spelling.make("MakeTuple", parts, values), found.axis], value)
    return spelling.put()


def _assignment(graph: GraphFile, shapes: Shapes, choice: Any) -> _Assignment | None:
    """What a Switch decides, if it is that; None for anything else."""
    if graph.op(choice) != "Switch":
        return None
    question = graph.maker(choice.input[0])
    if graph.op(question) != "ScalarEq" or graph.constant(question.input[1]) != 0:
        return None
    answer = graph.maker(question.input[0])
    if graph.op(answer) != "TupleGetItem" or graph.constant(answer.input[1]) != 0:
        return None
    asked = graph.maker(answer.input[0])
    if graph.op(asked) != _ASKED:
        return None
    y, x, places = asked.input[:3]
    shape = shapes.of(y)
    spans = None if shape is None else _spans(graph, asked, places, shape)
    if shape is None or spans is None or len(spans) != 1:
        return None
    ((axis, span),) = spans.items()
    wanted = (*shape[:axis], Size(span[1] - span[0]), *shape[axis + 1 :])
    both = graph.value(y), graph.value(x)
    are_alike = None not in both and len({value.data_type for value in both if value is not None}) == 1
    return _Assignment(y, x, axis, span) if are_alike and shapes.of(x) == wanted else None


def _spans(graph: GraphFile, asked: Any, places: str, shape: Shape) -> dict[int, tuple[int, int]] | None:
    """The axes of which slices take a part, and which; None where there is more than slices of fixed places."""
    told = graph.numbers(asked, "tuple_index_types")
    kinds = told[: told.index(0)] if 0 in told else told
    slices = list(_slices(graph, places))
    if not {_ELLIPSIS, _SLICE}.issuperset(kinds) or kinds.count(_ELLIPSIS) > 1 or kinds.count(_SLICE) != len(slices):
        return None
    spans: dict[int, tuple[int, int]] = {}
    for node in slices:
        position = sum(graph.numbers(node, "tuple_index_axis"))  # no number: the first
        if position >= len(kinds) or kinds[position] != _SLICE:
            return None
        axis = position + len(shape) - len(kinds) if _ELLIPSIS in kinds[:position] else position
        span = _span(graph, node, shape[axis].known) if 0 <= axis < len(shape) and axis not in spans else None
        if span is None:
            return None
        spans[axis] = span
    return {axis: span for axis, span in spans.items() if span != (0, shape[axis].known)}


def _slices(graph: GraphFile, places: str) -> Iterator[Any]:
    """Those of whose places a number is the sum."""
    node = graph.maker(places)
    if graph.op(node) == "ScalarAdd":
        for name in node.input:
            yield from _slices(graph, name)
    elif graph.op(node) == "TupleGetItem":
        yield graph.maker(node.input[0])


def _span(graph: GraphFile, node: Any, size: int) -> tuple[int, int] | None:
    """From where to where a slice goes of so many; None where that is not known, or nothing, or by steps."""
    if graph.op(node) != "SliceToIndices":
        return None
    given: Sequence[Any] = [graph.constant(name) for name in node.input[1:4]]
    left_out = (*graph.numbers(node, "init_by_none"), 0, 0, 0)[:3]
    whole = (0, size, 1)
    first, end, step = [all_of_it if left else one for one, left, all_of_it in zip(given, left_out, whole, strict=True)]
    if (first, end, step) == whole:
        return 0, size
    if size == OPEN or not all(isinstance(one, int) for one in (first, end)) or step != 1:
        return None
    first, end = (min(max(place + size if place < 0 else place, 0), size) for place in (first, end))
    return (first, end) if first < end else None
