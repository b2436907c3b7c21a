"""BatchNorm behind a layer with weights is part of it: (x * w - mean) * scale + beta, scale = gamma / sqrt(var + eps).

With w * scale for w and beta - mean * scale for a bias it is a layer with a bias, which is one pass less over its
output (Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference", section 3.2). It holds for inference only, where mean and variance are parameters.
"""

from typing import Any

import numpy as np

from mindspore_serving.worker.rewrites.graph_file import GraphFile
from mindspore_serving.worker.rewrites.kernel_nodes import are_here, float_value, is_large

_NCHW = 0  # MindSpore's enumeration of formats
_AXIS_OF_OUTPUTS = {
    "Conv2D": 0,
    "Conv2DTranspose": 1,
    "Conv2DBackpropInput": 1,
}  # in the weights; of a MatMul see _axis_of_outputs()


def fold_batch_norm(graph: GraphFile) -> int:
    """Makes Conv2D, or Conv2D and BiasAdd, with BatchNorm behind it a Conv2D and a BiasAdd. Returns how many.

    And so Conv2DTranspose, of one group, and MatMul: each output is a sum of products with weights of its own.
    """
    return sum(_folded(graph, node) for node in graph.nodes if graph.op(node) == "BatchNorm")


def _folded(graph: GraphFile, norm: Any) -> bool:
    item = graph.only_user(norm.output[0])  # of its five outputs
    if not _is_known(graph, norm) or graph.op(item) != "TupleGetItem" or graph.constant(item.input[1]) != 0:
        return False
    before, behind = _reshapes(graph, norm, item)
    layer, bias = _before(graph, before.input[0] if before else norm.input[0])
    last = behind or item
    value = graph.value(last.output[0])
    if layer is None or value is None:
        return False
    weights, axis = graph.weights(layer.input[1]), _axis_of_outputs(graph, layer)
    gamma, beta, mean, variance = [graph.weights(name) for name in norm.input[1:5]]
    shift = np.zeros(1, np.float32) if bias is None else graph.weights(bias.input[1])
    if weights is None or gamma is None or beta is None or mean is None or variance is None or shift is None:
        return False
    if axis is None or weights.shape[axis] != gamma.size:
        return False
    scale = gamma.astype(np.float64) / np.sqrt(variance.astype(np.float64) + graph.constant(norm.input[6]))
    others = [one for one in range(weights.ndim) if one != axis]
    graph.set_weights(layer.input[1], weights * np.expand_dims(scale, others))
    graph.set_weights(norm.input[2], beta + (shift - mean.astype(np.float64)) * scale)
    layout = graph.new.constant(_NCHW)
    bias_add = graph.new.node("BiasAdd", [layer.output[0], norm.input[2], layout], value, last.output[0])
    graph.replace([node for node in (bias, before, norm, item, behind) if node is not None], [layout, bias_add])
    return True


def _reshapes(graph: GraphFile, norm: Any, item: Any) -> tuple[Any, Any]:
    """Those of rows to images of one pixel and back, as nn.BatchNorm1d has them; None twice where there are none."""
    before, behind = graph.maker(norm.input[0]), graph.only_user(item.output[0])
    if graph.op(before) != "Reshape" or graph.op(behind) != "Reshape" or graph.only_user(norm.input[0]) is None:
        return None, None
    rows, pixels = graph.value(before.input[0]), graph.value(norm.input[0])
    are_rows = rows is not None and pixels is not None and len(rows.shape) == 2 and pixels.shape == (*rows.shape, 1, 1)
    return (before, behind) if are_rows and graph.value(behind.output[0]) == rows else (None, None)


def _axis_of_outputs(graph: GraphFile, layer: Any) -> int | None:
    """In its weights; None where they may not be scaled."""
    if graph.op(layer) != "MatMul":
        return _AXIS_OF_OUTPUTS[graph.op(layer)]
    x_is_transposed, is_transposed = [graph.constant(name) for name in layer.input[2:4]]
    if x_is_transposed is not False or not isinstance(is_transposed, bool):
        return None
    return 0 if is_transposed else 1


def scale_by_kernels(graph: GraphFile) -> int:
    """Makes each BatchNorm of many numbers that is left a product and a sum of ours. Returns how many."""
    if not are_here():
        return 0
    return sum(_scaled(graph, node) for node in graph.nodes if graph.op(node) == "BatchNorm")


def _scaled(graph: GraphFile, norm: Any) -> bool:
    item = graph.only_user(norm.output[0])
    if not _is_known(graph, norm) or graph.op(item) != "TupleGetItem" or graph.constant(item.input[1]) != 0:
        return False
    value = float_value(graph, item.output[0])
    gamma, beta, mean, variance = [graph.array(name) for name in norm.input[1:5]]
    if gamma is None or beta is None or mean is None or variance is None or value is None or len(value.shape) < 2:
        return False
    if not is_large(graph, item.output[0]):
        return False
    scale = gamma.astype(np.float64) / np.sqrt(variance.astype(np.float64) + graph.constant(norm.input[6]))
    shape = (-1, *[1] * (len(value.shape) - 2))  # repeated for all that a channel has
    factor = graph.new.constant(scale.astype(np.float32).reshape(shape))
    shift = graph.new.constant((beta - mean * scale).astype(np.float32).reshape(shape))
    scaled = graph.new.node("Mul", [norm.input[0], factor], value)
    shifted = graph.new.node("Add", [scaled, shift], value, item.output[0])
    graph.replace([norm, item], [factor, shift, scaled, shifted])
    return True


def _is_known(graph: GraphFile, norm: Any) -> bool:
    """x, gamma, beta, mean, variance, is_training, epsilon, momentum, layout: for inference, of NCHW."""
    if len(norm.input) != 9:
        return False
    is_training, epsilon, _, layout = [graph.constant(name) for name in norm.input[5:]]
    return is_training is False and isinstance(epsilon, float) and layout == _NCHW


def _before(graph: GraphFile, x: str) -> tuple[Any, Any]:
    """The layer that makes x for nobody else, and the BiasAdd between, or None for one that is not there."""
    bias = graph.maker(x) if graph.op(graph.maker(x)) == "BiasAdd" else None
    made = x if bias is None else bias.input[0]
    layer = graph.maker(made)
    is_alone = graph.only_user(x) is not None and graph.only_user(made) is not None
    is_convolution = graph.op(layer) in _AXIS_OF_OUTPUTS and graph.attribute(layer, "format") == "NCHW"
    return (layer if is_alone and (is_convolution or graph.op(layer) == "MatMul") else None), bias
