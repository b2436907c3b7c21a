"""What transformers do between their matrix products, by the operators of kernels/.

MindSpore 2.10 takes as long for GeLU as for 20 sums of as many numbers. Matrices of which none is fixed it multiplies
at a third of the speed.
"""

from typing import Any

from mindspore_serving.worker.rewrites.elements import element_step
from mindspore_serving.worker.rewrites.graph_file import GraphFile
from mindspore_serving.worker.rewrites.kernel_nodes import (
    Step,
    are_here,
    float_value,
    put_step,
)
from mindspore_serving.worker.rewrites.reductions import known_axes

_LEAST_ROWS = 4  # of a product: each second matrix is laid out for it, which takes as long as a row or two


def compute_rows_by_kernels(graph: GraphFile) -> int:
    """Makes these operators of ours: Softmax, GeLU, BatchMatMul.

    Returns how many.
    """
    if not are_here():
        return 0
    rules = {
        "Softmax": _softmax,
        "GeLU": _gelu,
        "BatchMatMul": _products,
        "MatMulExt": _products,
    }
    return sum(rules[graph.op(node)](graph, node) for node in graph.nodes if graph.op(node) in rules)


def _softmax(graph: GraphFile, node: Any) -> bool:
    value, x = float_value(graph, node.output[0]), float_value(graph, node.input[0])
    axes = [] if value is None else known_axes(graph.constant(node.input[1]), len(value.shape))
    if value is None or x is None or len(axes) != 1:
        return False
    put_step(graph, [node], Step("softmax", node.input[:1], axes), value)
    return True


def _gelu(graph: GraphFile, node: Any) -> bool:
    value, step = float_value(graph, node.output[0]), element_step(graph, node)
    if value is None or step is None:
        return False
    put_step(graph, [node], step, value)
    return True


def _products(graph: GraphFile, node: Any) -> bool:
    """Of as many matrices on either side, or of one of them by several. MatMulExt tells nothing of transposed ones."""
    x, weights, *turned = node.input
    made, one, other = [float_value(graph, name) for name in (node.output[0], x, weights)]
    x_is_transposed, is_transposed = [graph.constant(name) for name in turned] or [False, False]
    if made is None or one is None or other is None or x_is_transposed is not False:
        return False
    if not isinstance(is_transposed, bool) or not 2 < len(one.shape) == len(other.shape):
        return False
    depth = other.shape[-1 if is_transposed else -2]
    if one.shape[-2] < _LEAST_ROWS or min(other.shape[-2:]) < 1 or one.shape[-1] != depth:
        return False
    put_step(graph, [node], Step("products", [x, weights], [int(is_transposed)]), made)
    return True
