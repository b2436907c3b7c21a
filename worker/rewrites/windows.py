"""Convolutions and pooling by the operators of kernels/.

MindSpore 2.10 keeps images as NCHW, for which its oneDNN has little more than copies and matrix products: for each of a
depthwise convolution's channels one. And it pools one number at a time.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mindspore_serving.worker.rewrites.graph_file import GraphFile, Value
from mindspore_serving.worker.rewrites.kernel_nodes import (
    CLAMPS,
    UNCLAMPED,
    Step,
    are_here,
    float_value,
    put_step,
)

_PACKED = 8  # weights of so many outputs lie beside each other: kernels/kernels.h
_TRANSFORM = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
_LEAST_CHANNELS, _LEAST_PIXELS = 32, 12  # in and out; in a row and a column
_NCHW = 0  # MindSpore's enumeration of formats


def convolve_by_kernels(graph: GraphFile) -> int:
    """Makes each Conv2D with fixed weights, the bias and the ReLU or ReLU6 behind it one operator. Returns how many."""
    return sum(_convolution(graph, node) for node in graph.nodes if graph.op(node) == "Conv2D") if are_here() else 0


def pool_by_kernels(graph: GraphFile) -> int:
    """Makes each MaxPool one of ours. Returns how many."""
    return sum(_pooling(graph, node) for node in graph.nodes if graph.op(node) == "MaxPool") if are_here() else 0


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
    operator, packed, told = packed_by(weights, bias, told, group, clamp)
    graph.set_weights(node.input[1], packed[0])
    put_step(graph, old, Step(operator, [*node.input[:2], graph.new_constant(packed[1])], told), made)
    return True


def packed_by(
    weights: npt.NDArray[np.float32], bias: npt.NDArray[np.float32], told: Sequence[int], group: int, clamp: int
) -> tuple[str, tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]], list[int]]:
    """The operator for a convolution by this window, the weights and bias that it wants, and what it is told."""
    outs, ins, *_ = weights.shape
    if is_worth_winograd((outs, ins), told, group):
        return "winograd", transform(weights, bias), [*told, outs, clamp]
    return "convolution", pack(weights, bias, group), [*told, outs, group, clamp]


def is_worth_winograd(channels: tuple[int, int], told: Sequence[int], group: int) -> bool:
    """Whether fewer products gain more than it takes to transform tiles, and to read larger weights."""
    (*window, _, _), outs = told[:8], told[8:10]
    is_known = tuple(window) == (3, 3, 1, 1, 1, 1) and group == 1
    return is_known and min(channels) >= _LEAST_CHANNELS and min(outs) >= _LEAST_PIXELS


def bias_and_clamp_behind(graph: GraphFile, node: Any, outs: int) -> tuple[list[Any], npt.NDArray[np.float32]]:
    """The convolution with what is added and clamped behind it, for nobody else; and the bias."""
    old, bias = [node], np.zeros(outs, np.float32)
    addition = graph.only_user(node.output[0])
    if graph.op(addition) == "BiasAdd" and addition.input[0] == node.output[0]:
        weights = graph.weights(addition.input[1])
        if weights is not None and weights.shape == bias.shape and graph.constant(addition.input[2]) == _NCHW:
            old, bias = [node, addition], weights
    clamp = graph.only_user(old[-1].output[0])
    return ([*old, clamp] if graph.op(clamp) in CLAMPS else old), bias


def pack(
    weights: npt.NDArray[np.float32], bias: npt.NDArray[np.float32], group: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """As convolve() in kernels/kernels.h wants them."""
    outs, ins, *_ = weights.shape
    if ins == 1 and outs == group:
        return weights.reshape(outs, -1), bias
    missing = -(outs // group) % _PACKED
    by_group = np.pad(weights.reshape(group, outs // group, -1), ((0, 0), (0, missing), (0, 0)))
    blocks = by_group.reshape(group, -1, _PACKED, by_group.shape[-1])
    return blocks.swapaxes(2, 3), np.pad(bias.reshape(group, -1), ((0, 0), (0, missing)))


def transform(
    weights: npt.NDArray[np.float32], bias: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """As convolve_by_winograd() wants them. Source: see winograd.c; the matrix is its G."""
    turned = np.einsum("ir,ocrs,js->ijoc", _TRANSFORM, weights.astype(np.float64), _TRANSFORM)
    outs, ins, *_ = weights.shape
    padded = np.pad(turned.reshape(-1, outs, ins), ((0, 0), (0, -outs % _PACKED), (0, 0))).astype(np.float32)
    blocks = padded.reshape(len(padded), -1, _PACKED, ins)
    return blocks.swapaxes(2, 3), np.pad(bias, (0, -outs % _PACKED))


def _pooling(graph: GraphFile, node: Any) -> bool:
    x, made = float_value(graph, node.input[0], 4), float_value(graph, node.output[0], 4)
    told = None if x is None or made is None else window_told(graph, node, x, made)
    if made is None or told is None:
        return False
    put_step(graph, [node], Step("pooling", node.input[:1], told), made)
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
    if len(given) == 4:
        return [(given[0], given[1]), (given[2], given[3])]
    found = []
    for axis in (0, 1):
        missing = max((outs[axis] - 1) * stride[axis] + reach[axis] - ins[axis], 0)
        is_same = graph.attribute(node, "pad_mode").upper() == "SAME"
        found.append((missing // 2, missing - missing // 2) if is_same else (0, 0))
    return found
