"""Squares, cubes and roots as such: MindSpore 2.10's kernel for powers takes as long as 4 products, or 60 roots."""

from typing import Any

from mindspore_serving.worker.rewrites.file_constants import FLOAT32
from mindspore_serving.worker.rewrites.graph_file import GraphFile

_PRODUCTS = {2.0: 1, 3.0: 2}  # by exponent
_ROOTS = {0.5: "Sqrt", -0.5: "Rsqrt"}


def multiply_powers_out(graph: GraphFile) -> int:
    """Writes each second and third power of float32 as products, and each root as one. Returns how many."""
    return sum(_multiplied_out(graph, node) for node in graph.nodes if graph.op(node) == "Pow")


def _multiplied_out(graph: GraphFile, node: Any) -> bool:
    value, exponent = graph.value(node.output[0]), graph.constant(node.input[1])
    x = graph.value(node.input[0])
    if x is None or x != value or value.data_type != FLOAT32 or isinstance(exponent, bool):
        return False
    if exponent in _ROOTS:
        graph.replace([node], [graph.new.node(_ROOTS[exponent], node.input[:1], value, node.output[0])])
        return True
    count = _PRODUCTS.get(exponent, 0) if isinstance(exponent, int | float) else 0
    if not count:
        return False
    made: list[Any] = []
    for number in range(count):
        output = node.output[0] if number == count - 1 else None
        made.append(graph.new.node("Mul", [made[-1] if made else node.input[0], node.input[0]], value, output))
    graph.replace([node], made)
    return True
