"""Weights of matrix products, transposed for good: as many rows as the input has columns.

nn.Dense keeps its weight the other way around, and oneDNN copies it at each call. For a few instances that takes as
long as the product: 16 through a weight of 784x512 take 0.6 of the time without it, and one takes a tenth more, with
AVX-512 on two cores. With hundreds of rows and a wide weight the copy pays. So it is measured for each model.
"""

from typing import Any

from mindspore_serving.worker.rewrites.file_constants import FLOAT32
from mindspore_serving.worker.rewrites.graph_file import GraphFile


def transpose_weights(graph: GraphFile) -> int:
    """Transposes each weight that a MatMul takes transposed, for good. Returns how many."""
    return sum(_transposed(graph, node) for node in graph.nodes if graph.op(node) == "MatMul")


def _transposed(graph: GraphFile, node: Any) -> bool:
    value = graph.value(node.output[0])
    if len(node.input) != 4 or value is None or value.data_type != FLOAT32:
        return False
    x, weight, x_is_transposed, weight_is_transposed = node.input
    weights = graph.weights(weight)
    if graph.constant(x_is_transposed) is not False or graph.constant(weight_is_transposed) is not True:
        return False
    if weights is None or weights.ndim != 2:
        return False
    graph.set_weights(weight, weights.T)
    no = graph.new.constant(False)
    product = graph.new.node("MatMul", [x, weight, x_is_transposed, no], value, node.output[0])
    graph.replace([node], [no, product])
    return True
