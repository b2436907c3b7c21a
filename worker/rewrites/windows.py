"""Convolutions and pooling by the operators of kernels/.

MindSpore 2.10 keeps images as NCHW, for which its oneDNN has little more than copies and matrix products: for each of a
depthwise convolution's channels one. And it pools one number at a time.
"""

from collections.abc import Sequence
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
    put_steps,
)
from mindspore_serving.worker.rewrites.packed_weights import packed_by
from mindspore_serving.worker.rewrites.paddings import padded_with, paddings_of
from mindspore_serving.worker.rewrites.values import Value
from mindspore_serving.worker.rewrites.whole_windows import plainer_steps
from mindspore_serving.worker.rewrites.window_shapes import pool_of_three

_NCHW = 0  # MindSpore's enumeration of formats


def convolve_by_kernels(graph: GraphFile) -> int:
    """Makes each Conv2D with fixed weights, the bias and the ReLU or ReLU6 behind it one operator. Returns how many."""
    return sum(_convolution(graph, node) for node in graph.nodes if graph.op(node) == "Conv2D") if are_here() else 0


def pool_by_kernels(graph: GraphFile) -> int:
    """Makes each MaxPool one of ours. Returns how many."""
    if not are_here():
        return 0
    pooled = sum(_pooling(graph, node) for node in graph.nodes if graph.op(node) == "MaxPool")
    return pooled + sum(
        _pooling_of_three(graph, node) for node in graph.nodes if graph.op(node) == "MaxPool3DWithArgmax"
    )


def _convolution(graph: GraphFile, node: Any) -> bool:
    x, made = float_value(graph, node.input[0], 4), float_value(graph, node.output[0], 4)
    weights = graph.weights(node.input[1])
    told = None if x is None or made is None else window_told(graph, node, x, made)
    if weights is None or x is None or made is None or told is None:
        return False
    outs, (group, *_) = made.shape[1], graph.numbers(node, "group")
    if weights.shape[0] != outs or x.shape[1] != weights.shape[1] * group:
        return False
    old, bias = bias_and_clamp_behind(graph, node, outs)
    clamp = CLAMPS.get(graph.op(old[-1]), UNCLAMPED)
    given, told = _before_padding(graph, node.input[0], told)
    value = graph.value(given) or x
    steps = plainer_steps(graph, given, value.shape, (weights, bias), told, clamp) if group == 1 else []
    if steps:
        put_steps(graph, old, steps)
        graph.remove_unused(node.input[1])
    else:
        operator, packed, told = packed_by(weights, bias, told, group, clamp)
        graph.set_weights(node.input[1], packed[0])
        put_step(graph, old, Step(operator, [given, node.input[1], graph.new.constant(packed[1])], told), made)
    graph.remove_unused(node.input[0])
    return True


def _before_padding(graph: GraphFile, x: str, told: list[int]) -> tuple[str, list[int]]:
    """What is padded with zeros for a convolution, if that is how x is made, and what its window does then."""
    node = graph.maker(x)
    paddings = paddings_of(graph, node, 4)
    if paddings is None or padded_with(graph, node) != 0 or any(map(any, paddings[:2])):
        return x, told
    before = [place + first for place, (first, _) in zip(told[6:8], paddings[2:], strict=True)]
    return node.input[0], [*told[:6], *before, *told[8:]]


def bias_and_clamp_behind(graph: GraphFile, node: Any, outs: int) -> tuple[list[Any], npt.NDArray[np.float32]]:
    """The convolution with what is added and clamped behind it, for nobody else; and the bias."""
    old, bias = [node], np.zeros(outs, np.float32)
    addition = graph.only_user(node.output[0])
    if graph.op(addition) == "BiasAdd" and addition.input[0] == node.output[0]:
        weights = graph.weights(addition.input[1])
        if weights is not None and weights.shape == bias.shape and graph.constant(addition.input[2]) == _NCHW:
            old, bias = [node, addition], weights
    clamp = _before_squeeze(graph, graph.only_user(old[-1].output[0]))
    return ([*old, clamp] if graph.op(clamp) in CLAMPS else old), bias


def _before_squeeze(graph: GraphFile, node: Any) -> Any:
    """The ReLU behind a Squeeze, as nn.Conv1d ends with one, once it is put before that; any other node as it is."""
    clamp = graph.only_user(node.output[0]) if graph.op(node) == "Squeeze" else None
    value = graph.value(node.input[0]) if graph.op(clamp) in CLAMPS else None
    if value is None:
        return node
    first, _ = graph.swap(node, clamp)
    graph.tell_shape(first, value.shape)
    return first


def _pooling(graph: GraphFile, node: Any) -> bool:
    x, made = float_value(graph, node.input[0], 4), float_value(graph, node.output[0], 4)
    told = None if x is None or made is None else window_told(graph, node, x, made)
    if made is None or told is None:
        return False
    put_step(graph, [node], Step("pooling", node.input[:1], told), made)
    return True


def _pooling_of_three(graph: GraphFile, node: Any) -> bool:
    """What a MaxPool2d with padding becomes: of images with one more axis, of one place. Nobody asks for indices."""
    item, told, x = graph.only_user(node.output[0]), pool_of_three(graph, node), graph.maker(node.input[0])
    if graph.op(item) != "TupleGetItem" or graph.constant(item.input[1]) != 0 or told is None:
        return False
    squeeze, (kernel, stride, padding) = graph.only_user(item.output[0]), told
    if graph.op(x) != "ExpandDims" or graph.op(squeeze) != "Squeeze" or (kernel[0], stride[0], padding[0]) != (1, 1, 0):
        return False
    if graph.constant(x.input[1]) != 2 or graph.constant(squeeze.input[1]) != (2,):
        return False
    images, made = float_value(graph, x.input[0], 4), float_value(graph, squeeze.output[0], 4)
    if images is None or made is None or min(*images.shape[1:], *made.shape[1:]) < 1:
        return False
    step = Step("pooling", x.input[:1], [*kernel[1:], *stride[1:], 1, 1, *padding[1:], *made.shape[2:]])
    put_step(graph, [node, item, squeeze], step, made)
    graph.remove_unused(node.input[0])
    return True


def window_told(graph: GraphFile, node: Any, x: Value, made: Value) -> list[int] | None:
    """What a window does, in the order of kernels/layers.c; None where it is open, or not what we know."""
    ins, outs = x.shape[2:], made.shape[2:]
    kernel = graph.numbers(node, "kernel_size")[-2:]
    stride = (graph.numbers(node, "stride") or graph.numbers(node, "strides"))[-2:]
    dilation = graph.numbers(node, "dilation")[-2:] or (1, 1)
    if min(*x.shape[1:], *made.shape[1:]) < 1 or graph.attribute(node, "format") != "NCHW":
        return None
    if len(kernel) != 2 or len(stride) != 2 or min(*kernel, *stride, *dilation) < 1:
        return None
    reach = [(size - 1) * step + 1 for size, step in zip(kernel, dilation, strict=True)]
    before = []
    for axis, padding in enumerate(_padding(graph, node, ins, outs, reach, stride)):
        if min(padding) < 0 or (ins[axis] + sum(padding) - reach[axis]) // stride[axis] + 1 != outs[axis]:
            return None
        before.append(padding[0])
    return [*kernel, *stride, *dilation, *before, *outs]


def _padding(
    graph: GraphFile, node: Any, ins: Sequence[int], outs: Sequence[int], reach: Sequence[int], stride: Sequence[int]
) -> list[tuple[int, int]]:
    """Before and behind an image, of rows and of columns. Conv2D has a list of it, MaxPool a mode."""
    given = graph.numbers(node, "pad_list")
    if len(given) == 4 and min(given) >= 0:  # below 0 it is what the mode makes of sizes that were open
        return [(given[0], given[1]), (given[2], given[3])]
    found = []
    for axis in (0, 1):
        missing = max((outs[axis] - 1) * stride[axis] + reach[axis] - ins[axis], 0)
        is_same = graph.attribute(node, "pad_mode").upper() == "SAME"
        found.append((missing // 2, missing - missing // 2) if is_same else (0, 0))
    return found
