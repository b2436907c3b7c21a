"""What is done to each number by itself, or to two of them, by operators of kernels/.

They take a third of the time of MindSpore 2.10's, or less, but each that MindSpore calls takes 15 us longer to begin:
it asks the library for its shape at each call. So few numbers are left to it, unless they go with a chain: chains.py.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mindspore_serving.worker.rewrites.file_constants import FLOAT32
from mindspore_serving.worker.rewrites.graph_file import GraphFile
from mindspore_serving.worker.rewrites.kernel_nodes import (
    CLAMPS,
    UNCLAMPED,
    Step,
    are_here,
    float_value,
    has_many,
    is_large,
    put_large,
)
from mindspore_serving.worker.rewrites.values import Value

# In the order of kernels/kernels.h, both; combinations by MindSpore's names.
ACTIVATIONS = (
    *("ReLU", "ReLU6", "Sigmoid", "SiLU", "HSigmoid", "HSwish", "GeLU", "Tanh", "Erf"),
    *("Exp", "Sqrt", "Rsqrt", "Square", "Abs", "Neg", "Elu", "Sin", "Cos", "Mish", "Log"),
)
COMBINATIONS = (
    *(("Add", "Adds"), ("Sub", "Subs"), ("Mul", "Muls"), ("Div", "RealDiv", "Divs"), ("Maximum",), ("Minimum",)),
    ("PReLU",),
    *(("Greater",), ("GreaterEqual",), ("Equal",), ("NotEqual",)),  # which make truths: truths.py
)
_COMBINATIONS = {name: number for number, names in enumerate(COMBINATIONS) for name in names}
_SILU = ACTIVATIONS.index("SiLU")
_SHORT = 8  # numbers that are repeated, or not, together: fewer take as long


def compute_elements_by_kernels(graph: GraphFile) -> int:
    """Makes each activation, and each combination of two values with the ReLU or ReLU6 behind it, one of ours.

    Where there are many numbers. Returns how many. What other kernels have for themselves must be theirs by now.
    """
    if not are_here():
        return 0
    for node in graph.nodes:
        if graph.op(node) == "PReLU":
            _shape_by_channel(graph, node)
    gated = sum(_gated(graph, node) for node in graph.nodes if graph.op(node) == "Mul")
    combined = gated + sum(_made(graph, node) for node in graph.nodes if graph.op(node) in _COMBINATIONS)
    return combined + sum(_made(graph, node) for node in graph.nodes if graph.op(node) in ACTIVATIONS)


def element_step(graph: GraphFile, node: Any, clamp: int = UNCLAMPED) -> Step | None:
    """The step that does what this node does; None for a node of another kind. clamp: of what a combination makes."""
    if float_value(graph, node.output[0]) is None:
        return None
    name = graph.op(node)
    if name in ACTIVATIONS and (len(node.input) == 1 or _is_plain_elu(graph, node)):
        is_float = _is_float(graph, node.input[0])  # a root of whole numbers is float32, too
        return Step("activation", node.input[:1], [ACTIVATIONS.index(name)]) if is_float else None
    if name not in _COMBINATIONS or len(node.input) != 2 or (name == "PReLU" and not _is_by_channel(graph, node)):
        return None
    if has_many(graph, node.output[0]) and _repeats_few(graph, node):
        return None
    sides = [_side(graph, given) for given in node.input]
    return None if None in sides else Step("combination", sides, [_COMBINATIONS[name], clamp])


def _is_plain_elu(graph: GraphFile, node: Any) -> bool:
    """Whether what is below 0 becomes e^x - 1, and not a multiple of that."""
    return graph.op(node) == "Elu" and len(node.input) == 2 and graph.constant(node.input[1]) == 1


def _repeats_few(graph: GraphFile, node: Any) -> bool:
    made, given = float_value(graph, node.output[0]), [float_value(graph, one) for one in node.input]
    known = [one or graph.constant_tensor(name) for one, name in zip(given, node.input, strict=True)]
    return made is not None and repeats_few(made, [() if one is None else one.shape for one in known])


def repeats_few(made: Value, shapes: Sequence[tuple[int, ...]]) -> bool:
    """Whether few numbers lie beside each other in both values, or are one in either, before another is repeated."""
    run, pattern = 1, None
    for behind, size in enumerate(reversed(made.shape), 1):
        if size == 1:
            continue
        are_one = [behind > len(shape) or shape[-behind] == 1 for shape in shapes]
        if pattern not in (None, are_one):
            return run < _SHORT
        run, pattern = run * (size if size > 0 else _SHORT), are_one
    return False  # nothing is repeated


def _made(graph: GraphFile, node: Any) -> bool:
    clamp = graph.only_user(node.output[0])
    number = CLAMPS.get(graph.op(clamp), UNCLAMPED) if graph.op(node) in _COMBINATIONS else UNCLAMPED
    old = [node] if number == UNCLAMPED else [node, clamp]
    return put_large(graph, old, element_step(graph, node, number), node.output[0])


def _gated(graph: GraphFile, node: Any) -> bool:
    """x * sigmoid(x) is SiLU."""
    for x, gate in (node.input, reversed(node.input)):
        sigmoid, value = graph.maker(gate), float_value(graph, node.output[0])
        if graph.op(sigmoid) != "Sigmoid" or sigmoid.input[0] != x or graph.only_user(gate) is None:
            continue
        if value is not None and value == float_value(graph, x):
            return put_large(graph, [sigmoid, node], Step("activation", [x], [_SILU]), node.output[0])
    return False


def _is_by_channel(graph: GraphFile, node: Any) -> bool:
    """Whether the weights of PReLU are repeated as steps repeat values: the last axis is not that of channels."""
    x, weights = float_value(graph, node.input[0]), float_value(graph, node.input[1])
    return x is not None and weights is not None and (weights.shape == (1,) or len(weights.shape) == len(x.shape) - 1)


def _shape_by_channel(graph: GraphFile, node: Any) -> None:
    """Gives the weights of PReLU that shape, where it becomes a step then: MindSpore's own would not take it."""
    x, weights = float_value(graph, node.input[0]), graph.weights(node.input[1])
    if x is None or weights is None or weights.ndim != 1 or not is_large(graph, node.output[0]):
        return
    if math.prod(x.shape[2:]) >= _SHORT or weights.size == 1:
        graph.set_weights(node.input[1], weights.reshape(-1, *[1] * (len(x.shape) - 2)))


def _side(graph: GraphFile, name: str) -> Any:
    """One of two values as a step takes it; None where it cannot."""
    if _is_float(graph, name):
        return name
    number = graph.constant(name)
    is_number = isinstance(number, int | float) and not isinstance(number, bool)
    return graph.new.constant(np.array([number], np.float32)) if is_number else None


def _is_float(graph: GraphFile, name: str) -> bool:
    """Whether steps may read a value, or a constant."""
    tensor = graph.constant_tensor(name)
    return float_value(graph, name) is not None or (tensor is not None and tensor.data_type == FLOAT32)
