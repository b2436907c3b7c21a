"""What operators make of numbers that a file has all of: parameters, constants, and what is made of these.

Computed with more digits than MindSpore has, which sums in an order of its own.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from mindspore_serving.worker.rewrites.graph_file import GraphFile
from mindspore_serving.worker.rewrites.reductions import MEANS, REDUCTIONS, known_axes

Array = npt.NDArray[np.float32]
_Wide = npt.NDArray[np.float64]

_MOST_MADE = 1 << 20  # numbers: more are not worth their room in the file, unless there are as many already


def _computed(graph: GraphFile, node: Any) -> Array | None:
    """Of one value, or of two, each number by itself."""
    made, value = _ELEMENTS[graph.op(node)], graph.value(node.output[0])
    count = 2 if isinstance(made, np.ufunc) and made.nin == 2 else 1
    given = [_operand(graph, name) for name in node.input[:count]]
    known = [one for one in given if one is not None]
    is_plain = all(graph.constant(name) == 1 for name in node.input[count:])  # the second one is taken once
    if value is None or len(known) < count or not is_plain:
        return None
    if math.prod(value.shape) > max(_MOST_MADE, *(one.size for one in known)):
        return None
    return _narrow(made(*known))


def _operand(graph: GraphFile, name: str) -> _Wide | None:
    array, number = graph.array(name), graph.constant(name)
    if array is None and isinstance(number, int | float) and not isinstance(number, bool):
        return np.array(number, np.float64)
    return None if array is None else array.astype(np.float64)


def _narrow(array: Any) -> Array:
    return np.asarray(array).astype(np.float32)


def _reduced(graph: GraphFile, node: Any) -> Array | None:
    x, told, keep = graph.array(node.input[0]), *(graph.constant(name) for name in node.input[1:3])
    if x is None or not isinstance(keep, bool):
        return None
    axes = list(range(x.ndim)) if told in ((), None) else known_axes(told, x.ndim)
    function = np.mean if graph.op(node) in MEANS else np.sum
    return _narrow(function(x, axis=tuple(axes), keepdims=keep, dtype=np.float64)) if axes else None


def _product(graph: GraphFile, node: Any) -> Array | None:
    """Of two matrices. Zeros are left: by them unrolled.py knows what a recurrent layer begins with."""
    one, other = [_operand(graph, name) for name in node.input[:2]]
    turned = [graph.constant(name) for name in node.input[2:4]]
    if one is None or other is None or one.ndim != 2 or other.ndim != 2 or len(turned) != 2 or not one.any():
        return None
    one, other = [array.T if turn is True else array for array, turn in zip((one, other), turned, strict=True)]
    fits = one.shape[1] == other.shape[0] and len(one) * other.shape[1] <= _MOST_MADE
    return _narrow(one @ other) if fits else None


def _with_bias(graph: GraphFile, node: Any) -> Array | None:
    """Along the second axis."""
    x, bias = [_operand(graph, name) for name in node.input[:2]]
    if x is None or bias is None or x.ndim < 2 or bias.shape != x.shape[1:2]:
        return None
    return _narrow(x + bias.reshape(-1, *[1] * (x.ndim - 2)))


def _shares(graph: GraphFile, node: Any) -> Array | None:
    """Softmax."""
    x, axes = _operand(graph, node.input[0]), graph.constant(node.input[1])
    if x is None or len(axes := known_axes(axes, x.ndim)) != 1:
        return None
    powers = np.exp(x - x.max(axes[0], keepdims=True))
    return _narrow(powers / powers.sum(axes[0], keepdims=True))


def _gathered(graph: GraphFile, node: Any) -> Array | None:
    """Rows of a table, say."""
    table, places = graph.array(node.input[0]), _whole_numbers(graph, node.input[1])
    axis, before = [graph.constant(name) for name in node.input[2:4]]
    if table is None or places is None or not isinstance(axis, int) or before != 0:
        return None
    if not -table.ndim <= axis < table.ndim or places.size * table.size > _MOST_MADE * table.shape[axis]:
        return None
    is_within = places.size == 0 or (places.min() >= 0 and places.max() < table.shape[axis])
    return np.take(table, places, axis) if is_within else None


def _whole_numbers(graph: GraphFile, name: str) -> npt.NDArray[np.int64] | None:
    """That are there, or made of such: of `table[places]`, MindSpore 2.10 asks which ones count from the end."""
    array, node = graph.whole_numbers(name), graph.maker(name)
    if array is not None or graph.op(node) not in ("Reshape", "Add", "Select"):
        return array
    if graph.op(node) == "Select":
        condition, one, other = graph.maker(node.input[0]), *(_whole_numbers(graph, given) for given in node.input[1:])
        if graph.op(condition) != "LessScalar" or one is None or other is None or one.shape != other.shape:
            return None
        compared, limit = _whole_numbers(graph, condition.input[0]), graph.constant(condition.input[1])
        fits = compared is not None and compared.shape == one.shape and isinstance(limit, int)
        return np.where(compared < limit, one, other) if fits else None
    before, value, number = _whole_numbers(graph, node.input[0]), graph.value(name), graph.constant(node.input[1])
    if before is None or value is None:
        return None
    if graph.op(node) == "Add":
        return before + number if isinstance(number, int) and value.shape == before.shape else None
    return before.reshape(value.shape) if math.prod(value.shape) == before.size else None


_ELEMENTS: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(("Add", "AddExt", "Adds"), np.add),
    **dict.fromkeys(("Sub", "SubExt", "Subs"), np.subtract),
    **dict.fromkeys(("Mul", "Muls"), np.multiply),
    **dict.fromkeys(("Div", "RealDiv", "Divs"), np.divide),
    "Pow": np.power,
    "Sqrt": np.sqrt,
    "Square": np.square,
    "Exp": np.exp,
    "Neg": np.negative,
    "Abs": np.abs,
    "ReLU": lambda x: np.maximum(x, 0),
    "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "Tanh": np.tanh,
}
# Each returns None where it does not know all of it.
FORMULAS: dict[str, Callable[[GraphFile, Any], Array | None]] = {
    **dict.fromkeys(_ELEMENTS, _computed),
    **dict.fromkeys(REDUCTIONS, _reduced),
    "MatMul": _product,
    "BiasAdd": _with_bias,
    "Softmax": _shares,
    "Gather": _gathered,
}
