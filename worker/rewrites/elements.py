"""What is done to each number by itself, and sums of two values, by operators of kernels/.

They take a third of the time of MindSpore 2.10's, or less, but each takes 15 us longer to begin: MindSpore asks the
library for its shape at each call. So few numbers are left to it.
"""

import math
from collections.abc import Sequence
from typing import Any

from mindspore_serving.worker.rewrites.graph_file import GraphFile
from mindspore_serving.worker.rewrites.kernel_nodes import (
    CLAMPS,
    UNCLAMPED,
    are_here,
    float_value,
    have_one_shape,
    new_kernel_node,
    new_telling,
)

# In the order of kernels/kernels.h.
ACTIVATIONS = ("ReLU", "ReLU6", "Sigmoid", "SiLU", "HSigmoid", "HSwish", "GeLU")
_LEAST_NUMBERS = 2048  # of one instance


def compute_elements_by_kernels(graph: GraphFile) -> int:
    """Makes each sum of two values of one shape, with the ReLU or ReLU6 behind it, and each activation one of ours.

    Where there are many numbers. Returns how many. What other kernels have for themselves must be theirs by now.
    """
    if not are_here():
        return 0
    sums = sum(_sum(graph, node) for node in _large(graph, ("Add",)))
    return sums + sum(activated_by_kernel(graph, node) for node in _large(graph, ACTIVATIONS))


def _large(graph: GraphFile, operators: Sequence[str]) -> list[Any]:
    """The nodes of these operators that make many numbers."""
    nodes = [(node, float_value(graph, node.output[0])) for node in graph.nodes if graph.op(node) in operators]
    return [
        node
        for node, value in nodes
        if value is not None and math.prod(size for size in value.shape if size > 0) >= _LEAST_NUMBERS
    ]


def activated_by_kernel(graph: GraphFile, node: Any) -> bool:
    """Whether an activation could be made one of ours."""
    value = float_value(graph, node.output[0])
    if len(node.input) != 1 or value is None:
        return False
    telling = new_telling(graph, [ACTIVATIONS.index(graph.op(node))])
    kernel = new_kernel_node(graph, "activation", [node.input[0], telling], value, node.output[0])
    graph.replace([node], [telling, kernel])
    return True


def _sum(graph: GraphFile, node: Any) -> bool:
    made, sides = float_value(graph, node.output[0]), [float_value(graph, name) for name in node.input]
    if made is None or len(sides) != 2 or any(side != made for side in sides):
        return False
    if not have_one_shape(graph, made.shape, made.shape):
        return False
    clamp = graph.only_user(node.output[0])
    old = [node, clamp] if graph.op(clamp) in CLAMPS else [node]
    telling = new_telling(graph, [CLAMPS.get(graph.op(old[-1]), UNCLAMPED)])
    kernel = new_kernel_node(graph, "sum", [*node.input, telling], made, old[-1].output[0])
    graph.replace(old, [telling, kernel])
    return True
