"""Nodes that call an operator of kernels/, which MindSpore knows as `Custom`, with a function of a library."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mindspore_serving.worker.kernels import library
from mindspore_serving.worker.rewrites.graph_file import FLOAT32, GraphFile, Value

# What an operator may do with each number that it makes, by the activation behind it: kernels/operators.c.
UNCLAMPED = 0
CLAMPS = {"ReLU": 1, "ReLU6": 2}


def are_here() -> bool:
    """Whether there are any operators to call."""
    return library() is not None


def new_kernel_node(graph: GraphFile, name: str, inputs: Sequence[Any], value: Value, output: str) -> Any:
    """A node that calls this operator. It goes into the graph by `replace`."""
    attributes: dict[str, bool | str] = {
        "func_type": "aot",
        "func_name": f"{library()}:{name}",
        "reg_op_name": name,
        # The library tells shapes and types, also of open dimensions.
        "cpp_infer_shape": True,
        "cpp_infer_type": True,
    }
    return graph.new_node("Custom", inputs, value, output, attributes)


def new_telling(graph: GraphFile, numbers: Sequence[int]) -> Any:
    """An input without elements, whose further dimensions tell an operator what to do."""
    return graph.new_constant(np.zeros((0, *numbers), np.float32))


def new_number(graph: GraphFile, number: float) -> Any:
    """An input of one element."""
    return graph.new_constant(np.array([number], np.float32))


def float_value(graph: GraphFile, name: str, rank: int | None = None) -> Value | None:
    """What is known of a value, if it is one of float32 with so many dimensions, or with any."""
    value = graph.value(name)
    if value is None or value.data_type != FLOAT32 or not value.shape or rank not in (None, len(value.shape)):
        return None
    return value


def have_one_shape(graph: GraphFile, one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether two values of these shapes go together one by one, whatever comes for an open number of instances.

    With one open input, each open number is that of its instances. With several, one may come as a single row, which
    MindSpore takes for all rows of the other.
    """
    is_known = min(one[1:], default=1) > 0 and (min(one, default=1) > 0 or graph.open_inputs() == 1)
    return one == other and is_known
