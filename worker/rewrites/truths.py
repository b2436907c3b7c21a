"""Truths as the numbers 1 and 0: comparisons, and what logic makes of them, where a cast makes numbers of them at last.

So does what takes a mask (masks.py).
"""

import math
from typing import Any

import numpy as np

from mindspore_serving.worker.rewrites.elements import COMBINATIONS, repeats_few
from mindspore_serving.worker.rewrites.file_constants import BOOL, FLOAT32, INT32, INT64, TOLD_FLOAT32
from mindspore_serving.worker.rewrites.graph_file import LEAST_NUMBERS, GraphFile
from mindspore_serving.worker.rewrites.kernel_nodes import (
    MOST_AXES,
    UNCLAMPED,
    Step,
    are_here,
    float_value,
    is_large,
    step_node,
)
from mindspore_serving.worker.rewrites.values import Value

# By MindSpore's names: the combination, and whether it is told of the second value and the first one.
_COMPARISONS = {
    **dict.fromkeys(("Greater", "GreaterScalar"), ("Greater", False)),
    **dict.fromkeys(("GreaterEqual", "GreaterEqualScalar"), ("GreaterEqual", False)),
    **dict.fromkeys(("Less", "LessScalar"), ("Greater", True)),
    **dict.fromkeys(("LessEqual", "LessEqualScalar"), ("GreaterEqual", True)),
    **dict.fromkeys(("Equal", "EqScalar"), ("Equal", False)),
    **dict.fromkeys(("NotEqual", "NeScalar"), ("NotEqual", False)),
}
_OF_TWO = {"LogicalAnd": "Mul", "BitwiseAnd": "Mul", "LogicalOr": "Maximum", "BitwiseOr": "Maximum"}
_VIEWS = ("Reshape", "ExpandDims", "Squeeze")
_NUMBERS = {names[0]: number for number, names in enumerate(COMBINATIONS)}
_EXACT = 1 << 24  # smaller whole numbers are floats, and any that is not smaller is none of these


def compare_by_kernels(graph: GraphFile) -> int:
    """Makes steps of what a cast makes numbers of. Returns of how many casts."""
    return sum(_made(graph, node) for node in graph.nodes if graph.op(node) == "Cast") if are_here() else 0


def _made(graph: GraphFile, cast: Any) -> bool:
    new: list[Any] = []
    made = cast.output[0]
    if float_value(graph, made) is None or not is_large(graph, made):
        return False
    if _truth(graph, cast.input[0], new, made) is None:
        return False
    graph.replace([cast], new)
    graph.remove_unused(cast.input[0])
    return True


def _truth(graph: GraphFile, name: str, new: list[Any], output: str | None = None) -> str | None:
    """The name of what is the same as numbers. Puts the nodes that make it behind the `new` ones; None: it stays."""
    value, step = graph.value(name), None
    if value is not None and value.data_type == BOOL and 0 < len(value.shape) <= MOST_AXES:
        step = _step(graph, graph.maker(name), value, new)
    if value is None or step is None:
        return None
    new.append(step_node(graph, step, Value(FLOAT32, value.shape), output))
    return str(new[-1].output[0])


def _step(graph: GraphFile, node: Any, value: Value, new: list[Any]) -> Step | None:
    kind = graph.op(node)
    if kind in _COMPARISONS and len(node.input) == 2:
        return _comparison(graph, node, value, new)
    if kind not in (*_OF_TWO, *_VIEWS, "LogicalNot"):
        return None
    given = [_truth(graph, name, new) for name in (node.input[:2] if kind in _OF_TWO else node.input[:1])]
    known = [one for one in given if one is not None]
    if len(known) < len(given):
        return None
    if kind in _VIEWS:
        is_known = sum(size < 1 for size in value.shape) < 2
        return Step("view", known, [max(size, 0) for size in value.shape]) if is_known else None
    if kind == "LogicalNot":
        new.append(graph.new.constant(np.ones(1, np.float32)))
        return Step("combination", [new[-1].output[0], *known], [_NUMBERS["Sub"], UNCLAMPED])
    return Step("combination", known, [_NUMBERS[_OF_TWO[kind]], UNCLAMPED])


def _comparison(graph: GraphFile, node: Any, value: Value, new: list[Any]) -> Step | None:
    sides = [_side(graph, one, other, new) for one, other in (node.input, reversed(node.input))]
    known = [one for one in sides if one is not None]
    if len(known) < 2:
        return None
    shapes = [given.shape for name in node.input if (given := graph.value(name) or graph.constant_tensor(name))]
    are_many = math.prod(size for size in value.shape if size > 0) >= LEAST_NUMBERS
    if are_many and repeats_few(value, shapes):
        return None
    name, is_turned = _COMPARISONS[graph.op(node)]
    return Step("combination", known[::-1] if is_turned else known, [_NUMBERS[name], UNCLAMPED])


def _side(graph: GraphFile, name: str, other: str, new: list[Any]) -> str | None:
    """What is compared, as floats. Whole numbers are cast, if the other side is one that is fixed, and not large."""
    value, number, tensor = graph.value(name), graph.constant(name), graph.constant_tensor(name)
    if float_value(graph, name) is not None or (tensor is not None and tensor.data_type == FLOAT32 and tensor.shape):
        return name
    if isinstance(number, int | float) and not isinstance(number, bool):
        new.append(graph.new.constant(np.array([number], np.float32)))
        return str(new[-1].output[0])
    fixed = graph.constant(other)
    if value is None or value.data_type not in (INT32, INT64) or not 0 < len(value.shape) <= MOST_AXES:
        return None
    if not graph.is_straight or not isinstance(fixed, int) or abs(fixed) >= _EXACT:
        return None
    new.append(graph.new.constant(TOLD_FLOAT32))
    new.append(graph.new.node("Cast", [name, new[-1]], Value(FLOAT32, value.shape)))
    return str(new[-1].output[0])
