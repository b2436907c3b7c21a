"""GeLU spelled out: MindSpore 2.10's kernel for it takes as long as 20 additions, that for Sigmoid as one or two.

x * 0.5 * (1 + tanh(z)) is x * sigmoid(2 z), with z = sqrt(2 / pi) * (x + 0.044715 x^3): Hendrycks and Gimpel 2016,
"Gaussian Error Linear Units", section 2, and 1 + tanh(z) = 2 sigmoid(2 z).
"""

import math
from typing import Any

from mindspore_serving.worker.rewrites.file_constants import FLOAT32
from mindspore_serving.worker.rewrites.graph_file import GraphFile

_LINEAR = 2 * math.sqrt(2 / math.pi)
_CUBIC = _LINEAR * 0.044715


def spell_gelu_out(graph: GraphFile) -> int:
    """Writes each GeLU of float32 as products, a sum and a Sigmoid. Returns how many."""
    return sum(_spelled_out(graph, node) for node in graph.nodes if graph.op(node) == "GeLU")


def _spelled_out(graph: GraphFile, node: Any) -> bool:
    value = graph.value(node.output[0])
    if len(node.input) != 1 or value is None or value.data_type != FLOAT32:
        return False
    x = node.input[0]
    linear, cubic = graph.new.constant(_LINEAR), graph.new.constant(_CUBIC)
    square = graph.new.node("Mul", [x, x], value)
    scaled = graph.new.node("Mul", [square, cubic], value)
    factor = graph.new.node("Add", [scaled, linear], value)
    inner = graph.new.node("Mul", [x, factor], value)
    gate = graph.new.node("Sigmoid", [inner], value)
    result = graph.new.node("Mul", [x, gate], value, node.output[0])
    graph.replace([node], [linear, cubic, square, scaled, factor, inner, gate, result])
    return True
