"""Means and sums over neighbouring axes, and of windows, by operators of kernels/."""

from typing import Any

import numpy as np

from mindspore_serving.worker.rewrites.graph_file import GraphFile
from mindspore_serving.worker.rewrites.kernel_nodes import UNCLAMPED, Step, are_here, float_value, put_large, put_step
from mindspore_serving.worker.rewrites.reductions import MEANS, REDUCTIONS, known_axes

_GLOBAL_MEAN = "AdaptiveAvgPool2D"  # the mean of each channel, if it makes one number of it
_VALID = 2  # MindSpore's enumeration of paddings: none


def reduce_by_kernels(graph: GraphFile) -> int:
    """Makes each mean or sum of many numbers one of ours. Returns how many."""
    if not are_here():
        return 0
    nodes = [node for node in graph.nodes if graph.op(node) in (*REDUCTIONS, _GLOBAL_MEAN)]
    reduced = sum(put_large(graph, [node], reduction_step(graph, node), node.input[0]) for node in nodes)
    return reduced + sum(_averaged(graph, node) for node in graph.nodes if graph.op(node) == "AvgPool")


def reduction_step(graph: GraphFile, node: Any) -> Step | None:
    """The step that does what this node does; None for a node of another kind."""
    if graph.op(node) not in (*REDUCTIONS, _GLOBAL_MEAN):
        return None
    x, made = float_value(graph, node.input[0]), float_value(graph, node.output[0])
    if x is None or made is None:
        return None
    if graph.op(node) == _GLOBAL_MEAN:
        rank = len(x.shape)
        told = [rank - 2, rank, 1, 1]
        return Step("reduction", node.input[:1], told) if made.shape[-2:] == (1, 1) and rank > 2 else None
    axes = known_axes(graph.constant(node.input[1]), len(x.shape))
    are_kept = graph.constant(node.input[2]) if len(node.input) > 2 else None
    if not axes or axes != list(range(axes[0], axes[-1] + 1)) or not isinstance(are_kept, bool):
        return None
    return Step("reduction", node.input[:1], [axes[0], axes[-1] + 1, int(are_kept), int(graph.op(node) in MEANS)])


def _averaged(graph: GraphFile, node: Any) -> bool:
    """Windows without padding, as a convolution of each channel whose weights are all the same."""
    x, made = float_value(graph, node.input[0], 4), float_value(graph, node.output[0], 4)
    if len(node.input) != 5 or x is None or made is None:
        return False
    kernel, stride, padding = [graph.constant(name) for name in node.input[1:4]]
    sizes = (*x.shape[1:], *made.shape[1:])
    if padding != _VALID or not _are_pairs(kernel, stride) or min(sizes) < 1:
        return False
    outs = [(size - wide) // step + 1 for size, wide, step in zip(x.shape[2:], kernel, stride, strict=True)]
    if outs != list(made.shape[2:]):
        return False
    if (*kernel, 1, 1) == (*x.shape[2:], *outs):
        put_step(graph, [node], Step("reduction", node.input[:1], [2, 4, 1, 1]), made)
        return True
    channels, taps = x.shape[1], kernel[0] * kernel[1]
    weights = graph.new_constant(np.full((channels, taps), 1 / taps, np.float32))
    bias = graph.new_constant(np.zeros(channels, np.float32))
    told = [*kernel, *stride, 1, 1, 0, 0, *outs, channels, channels, UNCLAMPED]
    put_step(graph, [node], Step("convolution", [node.input[0], weights, bias], told), made)
    return True


def _are_pairs(*sizes: Any) -> bool:
    return all(isinstance(pair, tuple) and len(pair) == 2 and min(pair) > 0 for pair in sizes)
