"""Inputs whose numbers name rows of a table.

On a CPU, MindSpore 2.10 fails at a row that is not there, and takes three seconds to; other devices make up a row.
"""

from typing import Any

from mindspore_serving.worker.rewrites.graph_file import GraphFile

_SAME_NUMBERS = ("Reshape", "Flatten", "ExpandDims", "Squeeze", "Transpose", "Cast", "Load")  # in another order


def table_rows(model: Any) -> dict[str, int]:
    """The names of a ModelProto's inputs that are looked up, and how many rows the table has; of several the least.

    A row counts from the end where it is negative, as MindSpore's Gather has it.
    """
    graph = GraphFile(model)
    found: dict[str, int] = {}
    for node in graph.nodes:
        table, numbers, axis = _lookup(graph, node)
        given = _source(graph, numbers)
        size = _size(graph, table, axis)
        if given in graph.inputs and size > 0:
            found[given] = min(size, found.get(given, size))
    return found


def _lookup(graph: GraphFile, node: Any) -> tuple[str, str, int | None]:
    """A node's table, its rows and the axis of these; without an axis it is no such node."""
    if graph.op(node) == "Gather" and len(node.input) > 2:
        axis = graph.constant(node.input[2])
        return node.input[0], node.input[1], axis if isinstance(axis, int) else None
    if graph.op(node) == "Embedding" and len(node.input) > 1:
        return node.input[1], node.input[0], 0
    return "", "", None


def _source(graph: GraphFile, name: str) -> str:
    """Where these numbers come from."""
    while graph.op(maker := graph.maker(name)) in _SAME_NUMBERS:
        name = maker.input[0]
    return name


def _size(graph: GraphFile, table: str, axis: int | None) -> int:
    """Of an axis of a table, if the file tells it: 0 otherwise."""
    table = _source(graph, table) if graph.op(graph.maker(table)) == "Load" else table
    value = graph.parameter_value(table) or graph.value(table) or graph.constant_tensor(table)
    if value is None or axis is None or not -len(value.shape) <= axis < len(value.shape):
        return 0
    return value.shape[axis]
