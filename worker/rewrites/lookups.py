"""Rows of a table, looked up: where nothing of the graph is left to MindSpore, whose error names a number of no row."""

from typing import Any

from mindspore_serving.worker.rewrites.file_constants import INT32, INT64, TOLD_INT32
from mindspore_serving.worker.rewrites.graph_file import GraphFile
from mindspore_serving.worker.rewrites.kernel_nodes import MOST_AXES, Step, are_here, float_value, step_node
from mindspore_serving.worker.rewrites.values import Value

EXACT = "exact"  # of a Cast: a number that has no place in the other type is an error
_TABLE, _NUMBERS, _AXIS, _BATCH = range(4)


def look_up_by_kernels(graph: GraphFile) -> int:
    """Makes each Gather along the first axis of a fixed table a step. Returns how many."""
    if not graph.is_straight or not are_here():
        return 0
    return sum(_made(graph, node) for node in graph.nodes if graph.op(node) == "Gather")


def _made(graph: GraphFile, node: Any) -> bool:
    table, made = graph.array(node.input[_TABLE]), float_value(graph, node.output[0])
    if table is None or made is None or [graph.constant(name) for name in node.input[_AXIS:]] != [0, 0]:
        return False
    old, numbers = _without_views(graph, node, table.shape[1:])
    value, found = graph.value(numbers), float_value(graph, old[-1].output[0])
    if value is None or found is None or value.data_type not in (INT32, INT64) or not value.shape:
        return False
    if len(found.shape) > MOST_AXES or found.shape != (*value.shape, *table.shape[1:]):
        return False
    new: list[Any] = []
    if value.data_type == INT64:
        new.append(graph.new.constant(TOLD_INT32))
        new.append(graph.new.node("Cast", [numbers, new[-1]], Value(INT32, value.shape), attributes={EXACT: True}))
        numbers = new[-1].output[0]
    step = Step("lookup", [node.input[_TABLE], numbers])
    graph.replace(old, [*new, step_node(graph, step, found, old[-1].output[0])])
    return True


def _without_views(graph: GraphFile, node: Any, row: tuple[int, ...]) -> tuple[list[Any], str]:
    """The nodes that look up, and by which numbers. nn.Embedding lays these out along one axis before, and back after.

    row: the shape of one.
    """
    flat, back = graph.maker(node.input[_NUMBERS]), graph.only_user(node.output[0])
    if graph.op(flat) == graph.op(back) == "Reshape" and graph.only_user(node.input[_NUMBERS]) is not None:
        before, after = graph.value(flat.input[0]), float_value(graph, back.output[0])
        if before is not None and after is not None and after.shape == (*before.shape, *row):
            return [flat, node, back], flat.input[0]
    return [node], node.input[_NUMBERS]
