"""BatchNorm behind a convolution is part of it: (conv(x, w) - mean) * scale + beta, scale = gamma / sqrt(var + eps).

With w * scale for w and beta - mean * scale for a bias it is a convolution with a bias, which is one pass less over its
output (Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference", section 3.2). It holds for inference only, where mean and variance are parameters.
"""

from typing import Any

import numpy as np

from mindspore_serving.worker.rewrites.graph_file import GraphFile
from mindspore_serving.worker.rewrites.kernel_nodes import are_here, float_value, is_large

_NCHW = 0  # MindSpore's enumeration of formats
_AXIS_OF_OUTPUTS = {"Conv2D": 0, "Conv2DTranspose": 1}  # in the weights


def fold_batch_norm(graph: GraphFile) -> int:
    """Makes Conv2D, or Conv2D and BiasAdd, with BatchNorm behind it a Conv2D and a BiasAdd. Returns how many.

    And Conv2DTranspose, of one group: each of its outputs is a sum of products with weights of its own too.
    """
    return sum(_folded(graph, node) for node in graph.nodes if graph.op(node) == "BatchNorm")


def _folded(graph: GraphFile, norm: Any) -> bool:
    item = graph.only_user(norm.output[0])  # of its five outputs
    if not _is_known(graph, norm) or graph.op(item) != "TupleGetItem" or graph.constant(item.input[1]) != 0:
        return False
    convolution, bias = _before(graph, norm.input[0])
    value = graph.value(item.output[0])
    if convolution is None or value is None:
        return False
    weights = graph.weights(convolution.input[1])
    gamma, beta, mean, variance = [graph.weights(name) for name in norm.input[1:5]]
    shift = np.zeros(1, np.float32) if bias is None else graph.weights(bias.input[1])
    if weights is None or gamma is None or beta is None or mean is None or variance is None or shift is None:
        return False
    axis = _AXIS_OF_OUTPUTS[graph.op(convolution)]
    if weights.shape[axis] != gamma.size:
        return False
    scale = gamma.astype(np.float64) / np.sqrt(variance.astype(np.float64) + graph.constant(norm.input[6]))
    graph.set_weights(convolution.input[1], weights * np.expand_dims(scale, [one for one in range(4) if one != axis]))
    graph.set_weights(norm.input[2], beta + (shift - mean.astype(np.float64)) * scale)
    layout = graph.new_constant(_NCHW)
    inputs = [convolution.output[0], norm.input[2], layout]
    bias_add = graph.new_node("BiasAdd", inputs, value, item.output[0])
    graph.replace([norm, item] if bias is None else [bias, norm, item], [layout, bias_add])
    return True


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
    factor = graph.new_constant(scale.astype(np.float32).reshape(shape))
    shift = graph.new_constant((beta - mean * scale).astype(np.float32).reshape(shape))
    scaled = graph.new_node("Mul", [norm.input[0], factor], value)
    shifted = graph.new_node("Add", [scaled, shift], value, item.output[0])
    graph.replace([norm, item], [factor, shift, scaled, shifted])
    return True


def _is_known(graph: GraphFile, norm: Any) -> bool:
    """x, gamma, beta, mean, variance, is_training, epsilon, momentum, layout: for inference, of NCHW."""
    if len(norm.input) != 9:
        return False
    is_training, epsilon, _, layout = [graph.constant(name) for name in norm.input[5:]]
    return is_training is False and isinstance(epsilon, float) and layout == _NCHW


def _before(graph: GraphFile, x: str) -> tuple[Any, Any]:
    """The convolution that makes x for nobody else, and the BiasAdd between, or None for one that is not there."""
    bias = graph.maker(x) if graph.op(graph.maker(x)) == "BiasAdd" else None
    made = x if bias is None else bias.input[0]
    convolution = graph.maker(made)
    alone = graph.only_user(x) is not None and graph.only_user(made) is not None
    is_known = alone and graph.op(convolution) in _AXIS_OF_OUTPUTS and graph.attribute(convolution, "format") == "NCHW"
    return (convolution if is_known else None), bias
