"""Graphs of which nothing is left but chains: what is computed when such a graph is called without MindSpore.

Besides there may be casts, as at the ends of a graph that was exported in half precision. straight_calls.py calls it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mindspore_serving.worker.rewrites.chains import NAME
from mindspore_serving.worker.rewrites.file_constants import BOOL, FLOAT16, FLOAT32, INT32, INT64
from mindspore_serving.worker.rewrites.graph_file import LISTS, GraphFile
from mindspore_serving.worker.rewrites.kernel_nodes import OPERATORS, are_here

# Of a model: its fixed numbers are held twice, and whoever computes with more takes far longer than MindSpore's call.
MOST_BYTES = 32 << 20
_TYPES: dict[int, type[np.generic]] = {
    FLOAT32: np.float32,
    FLOAT16: np.float16,
    INT32: np.int32,
    INT64: np.int64,
    BOOL: np.bool_,
}
_LOOKUP = OPERATORS.index("lookup")


@dataclass(frozen=True)
class Chain:
    """A program of kernels/chain.c, and what it is given besides: numbers of values, or fixed ones.

    lookups: what rows are looked up by, as the number of a value, and how many rows there are.
    """

    program: tuple[int, ...]
    given: tuple[int | npt.NDArray[np.float32], ...]
    lookups: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Cast:
    """A value in another type."""

    given: int
    dtype: type[np.generic]


@dataclass(frozen=True)
class StraightGraph:
    """Steps in order, and which values come out. Values are what the graph is given, then what each step makes."""

    steps: tuple[Chain | Cast, ...]
    outputs: tuple[int, ...]


def may_be_straight(model: Any) -> bool:
    """Whether it is worth a look if a ModelProto could become such a graph."""
    return are_here() and not model.functions and model.ByteSize() <= MOST_BYTES


def straight_graph(model: Any) -> StraightGraph | None:
    """What a ModelProto computes that rewrite() has written. None where there is anything besides chains and casts."""
    if not may_be_straight(model):
        return None
    graph = GraphFile(model)
    numbers = {name: number for number, name in enumerate(graph.inputs)}
    steps: list[Chain | Cast] = []
    for node in graph.nodes:
        if graph.op(node) == "Depend" and node.input[0] in numbers:  # the same, after something else
            numbers[node.output[0]] = numbers[node.input[0]]
        if graph.computes_nothing(node):
            continue
        step = _chain(graph, node, numbers) or _cast(graph, node, numbers)
        if step is None:
            return None
        numbers[node.output[0]] = len(graph.inputs) + len(steps)
        steps.append(step)
    outputs = [numbers.get(name, -1) for name in _outputs(graph)]
    if not outputs or min(outputs) < len(graph.inputs):  # one that is given, or fixed
        return None
    return StraightGraph(tuple(steps), tuple(outputs))


def _chain(graph: GraphFile, node: Any, numbers: Mapping[str, int]) -> Chain | None:
    if graph.attribute(node, "reg_op_name") != NAME:
        return None
    program = graph.constant_tensor(node.input[0])
    given = [_given(graph, name, numbers) for name in node.input[1:]]
    known = tuple(one for one in given if one is not None)
    if program is None or len(known) < len(given):
        return None
    return Chain(program.shape, known, tuple(_lookups(program.shape, known)))


def _given(graph: GraphFile, name: str, numbers: Mapping[str, int]) -> int | npt.NDArray[np.float32] | None:
    return numbers[name] if name in numbers else graph.array(name)


def _lookups(program: Sequence[int], given: Sequence[int | npt.NDArray[np.float32]]) -> list[tuple[int, int]]:
    found = []
    left = program[3:]
    while left:
        operator, count, told = left[:3]
        if operator == _LOOKUP:
            table, number = [given[place] for place in left[3:5]]
            assert isinstance(table, np.ndarray)
            assert isinstance(number, int)
            found.append((number, len(table)))
        left = left[3 + count + told :]
    return found


def _cast(graph: GraphFile, node: Any, numbers: Mapping[str, int]) -> Cast | None:
    given, made = graph.value(node.input[0]), graph.value(node.output[0])
    if graph.op(node) != "Cast" or given is None or made is None or node.input[0] not in numbers:
        return None
    if not {given.data_type, made.data_type} <= _TYPES.keys():
        return None
    return Cast(numbers[node.input[0]], _TYPES[made.data_type])


def _outputs(graph: GraphFile) -> list[str]:
    """What comes out, whatever the order of things is told by, and however tuples are within each other."""
    names: list[str] = []
    left = graph.outputs[::-1]
    while left:
        name = left.pop()
        maker = graph.maker(name)
        if graph.op(maker) == "Depend":
            left.append(maker.input[0])
        elif graph.op(maker) in LISTS:
            left += reversed(maker.input)
        else:
            names.append(name)
    return names
