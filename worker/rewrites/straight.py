"""Graphs of which nothing is left but chains: what is computed when such a graph is called without MindSpore.

See straight_calls.py, which does that.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mindspore_serving.worker.rewrites.chains import NAME
from mindspore_serving.worker.rewrites.graph_file import GraphFile
from mindspore_serving.worker.rewrites.kernel_nodes import are_here

# Of a model: its fixed numbers are held twice, and whoever computes with more takes far longer than MindSpore's call.
MOST_BYTES = 32 << 20


@dataclass(frozen=True)
class Chain:
    """A program of kernels/chain.c, and what it is given besides: numbers of values, or fixed ones."""

    program: tuple[int, ...]
    given: tuple[int | npt.NDArray[np.float32], ...]


@dataclass(frozen=True)
class StraightGraph:
    """Chains in order, and which values come out. Values are what the graph is given, then what each chain makes."""

    chains: tuple[Chain, ...]
    outputs: tuple[int, ...]


def may_be_straight(model: Any) -> bool:
    """Whether it is worth a look if a ModelProto could become such a graph."""
    return are_here() and not model.functions and model.ByteSize() <= MOST_BYTES


def straight_graph(model: Any) -> StraightGraph | None:
    """What a ModelProto computes that rewrite() has written. None where there is anything besides chains."""
    if not may_be_straight(model):
        return None
    graph = GraphFile(model)
    numbers = {name: number for number, name in enumerate(graph.inputs)}
    chains: list[Chain] = []
    for node in graph.nodes:
        if graph.computes_nothing(node):
            continue
        chain = _chain(graph, node, numbers)
        if chain is None:
            return None
        numbers[node.output[0]] = len(numbers)
        chains.append(chain)
    outputs = [numbers.get(name, -1) for name in _outputs(graph)]
    if not outputs or min(outputs) < len(graph.inputs):  # one that is given, or fixed
        return None
    return StraightGraph(tuple(chains), tuple(outputs))


def _chain(graph: GraphFile, node: Any, numbers: Mapping[str, int]) -> Chain | None:
    if graph.attribute(node, "reg_op_name") != NAME:
        return None
    program = graph.constant_tensor(node.input[0])
    given = [_given(graph, name, numbers) for name in node.input[1:]]
    known = tuple(one for one in given if one is not None)
    return Chain(program.shape, known) if program is not None and len(known) == len(given) else None


def _given(graph: GraphFile, name: str, numbers: Mapping[str, int]) -> int | npt.NDArray[np.float32] | None:
    return numbers[name] if name in numbers else graph.array(name)


def _outputs(graph: GraphFile) -> list[str]:
    """What comes out, whatever the order of things is told by."""
    names: list[str] = []
    left = graph.outputs[::-1]
    while left:
        name = left.pop()
        maker = graph.maker(name)
        if graph.op(maker) == "Depend":
            left.append(maker.input[0])
        elif graph.op(maker) == "MakeTuple":
            left += reversed(maker.input)
        else:
            names.append(name)
    return names
