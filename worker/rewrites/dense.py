"""Products with fixed weights by an operator of kernels/, for which the weights are laid out once and for all.

oneDNN copies them at each call, or reads them across (products.py); and for each new number of rows MindSpore makes its
operator anew.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from mindspore_serving.worker.rewrites.graph_file import GraphFile
from mindspore_serving.worker.rewrites.kernel_nodes import (
    CLAMPS,
    UNCLAMPED,
    Step,
    are_here,
    float_value,
    put_step,
)

PANEL, _LANES = 64, 16  # numbers of the largest vector
_PRODUCTS = ("MatMul", "FusedMatMulBiasAdd")


def multiply_by_kernels(graph: GraphFile) -> int:
    """Makes each product with fixed weights one of ours, with what fuse_biases() put there. Returns how many."""
    return sum(_product(graph, node) for node in graph.nodes if graph.op(node) in _PRODUCTS) if are_here() else 0


def _product(graph: GraphFile, node: Any) -> bool:
    x, weight, *rest = node.input
    *bias, x_is_transposed, weight_is_transposed = rest
    rows, made, weights = float_value(graph, x, 2), float_value(graph, node.output[0], 2), graph.weights(weight)
    turned = graph.constant(weight_is_transposed)
    if made is None or rows is None or weights is None or weights.ndim != 2:
        return False
    if graph.constant(x_is_transposed) is not False or not isinstance(turned, bool):
        return False
    columns, depth = weights.shape if turned else weights.shape[::-1]
    if rows.shape[1] != depth:
        return False
    shift = graph.weights(bias[0]) if bias else np.zeros(columns, np.float32)
    if shift is None or shift.shape != (columns,) or min(weights.shape) < 1:
        return False
    graph.set_weights(weight, panels(weights.T if turned else weights))
    clamp = CLAMPS["ReLU"] if graph.numbers(node, "with_relu") == (1,) else UNCLAMPED
    shifts = graph.new.constant(np.pad(shift, (0, -columns % panel_of(columns))))
    put_step(graph, [node], Step("dense", [x, weight, shifts], [columns, clamp]), made)
    return True


def panels(weights: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """As multiply() in kernels/kernels.h wants them: [panel][row][column of it]."""
    width = panel_of(weights.shape[1])
    padded = np.pad(weights, ((0, 0), (0, -weights.shape[1] % width)))
    return padded.reshape(len(weights), -1, width).swapaxes(0, 1)


def panel_of(columns: int) -> int:
    """How many columns of the weights lie beside each other: kernels/kernels.h."""
    return PANEL if columns >= PANEL else -(-columns // _LANES) * _LANES
