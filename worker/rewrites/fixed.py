"""What is made of parameters and constants alone, made once: MindSpore 2.10 makes it anew at each call.

Attention keeps the weights of query, key and value in one parameter, say, cuts it into three, and transposes each. A
convolution with standardized weights takes their mean from them, and divides them by their deviation.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from mindspore_serving.worker.rewrites.file_constants import FLOAT32
from mindspore_serving.worker.rewrites.formulas import FORMULAS
from mindspore_serving.worker.rewrites.graph_file import GraphFile
from mindspore_serving.worker.rewrites.values import Value

Array = npt.NDArray[np.float32]

_MOST_REPEATED = 1 << 20  # numbers: more are not worth their room in the file


def fix_constants(graph: GraphFile) -> int:
    """Makes each such value a constant. Returns how many."""
    with np.errstate(all="ignore"):  # as MindSpore does
        made = sum(_fixed(graph, node) for node in graph.nodes if graph.op(node) in _MAKERS)
    if made:
        for node in [node for node in graph.nodes if graph.op(node) == "Load"]:
            graph.drop_unused(node)
    return made


def _fixed(graph: GraphFile, node: Any) -> bool:
    value, array = graph.value(node.output[0]), _MAKERS[graph.op(node)](graph, node)
    if value is None or array is None or value != Value(FLOAT32, array.shape):  # a sum may be told another type
        return False
    constant = graph.new.constant(array)
    constant.name = constant.output[0] = node.output[0]
    graph.replace([node], [constant])
    for name in node.input:
        graph.remove_unused(name)
    return True


def _transposed(graph: GraphFile, node: Any) -> Array | None:
    x, order = graph.array(node.input[0]), graph.constant(node.input[1])
    if x is None or not isinstance(order, tuple) or sorted(order) != list(range(x.ndim)):
        return None
    return x.transpose(order)


def _reshaped(graph: GraphFile, node: Any) -> Array | None:
    x, value = graph.array(node.input[0]), graph.value(node.output[0])
    if x is None or value is None or min(value.shape, default=1) < 1 or math.prod(value.shape) != x.size:
        return None
    return x.reshape(value.shape)


def _item(graph: GraphFile, node: Any) -> Array | None:
    """One part of a Split."""
    split, number = graph.maker(node.input[0]), graph.constant(node.input[1])
    if graph.op(split) != "Split" or len(split.input) != 3 or not isinstance(number, int):
        return None
    x, axis, count = graph.array(split.input[0]), *(graph.constant(name) for name in split.input[1:])
    if x is None or not isinstance(axis, int) or not isinstance(count, int) or not -x.ndim <= axis < x.ndim:
        return None
    return np.split(x, count, axis)[number] if count > 0 and x.shape[axis] % count == 0 and number < count else None


def _repeated(graph: GraphFile, node: Any) -> Array | None:
    x, value = graph.array(node.input[0]), graph.value(node.output[0])
    if x is None or value is None or not isinstance(graph.constant(node.input[1]), tuple) or x.ndim != len(value.shape):
        return None
    fits = all(size in (1, wanted) for size, wanted in zip(x.shape, value.shape, strict=True))
    return np.broadcast_to(x, value.shape) if fits and math.prod(value.shape) <= _MOST_REPEATED else None


def _joined(graph: GraphFile, node: Any) -> Array | None:
    parts, axis = graph.maker(node.input[0]), graph.constant(node.input[1])
    if graph.op(parts) != "MakeTuple" or not isinstance(axis, int) or not parts.input:
        return None
    arrays = [graph.array(name) for name in parts.input]
    known = [array for array in arrays if array is not None]
    if len(known) < len(arrays) or {array.ndim for array in known} != {known[0].ndim} or not 0 <= axis < known[0].ndim:
        return None
    return np.concatenate(known, axis)


_MAKERS: dict[str, Callable[[GraphFile, Any], Array | None]] = {
    "Transpose": _transposed,
    **dict.fromkeys(("Reshape", "ExpandDims", "Squeeze"), _reshaped),
    "TupleGetItem": _item,
    **FORMULAS,
    "BroadcastTo": _repeated,
    "Concat": _joined,
}
