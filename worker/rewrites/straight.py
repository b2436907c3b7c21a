"""Graphs of which nothing is left but chains, and steps of plain.py: what is computed without MindSpore.

straight_calls.py calls it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mindspore_serving.worker.rewrites.chains import NAME
from mindspore_serving.worker.rewrites.graph_file import LISTS, GraphFile
from mindspore_serving.worker.rewrites.kernel_nodes import OPERATORS, are_here
from mindspore_serving.worker.rewrites.plain import PAIRS, Plain, pair_steps, plain_step

# Of a model: its fixed numbers are held twice, and whoever computes with more takes far longer than MindSpore's call.
MOST_BYTES = 32 << 20
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
class StraightGraph:
    """Steps in order, and which values come out. Values are what the graph is given, then what each step makes."""

    steps: tuple[Chain | Plain, ...]
    outputs: tuple[int, ...]


def may_be_straight(model: Any) -> bool:
    """Whether it is worth a look if a ModelProto could become such a graph."""
    return are_here() and not model.functions and model.ByteSize() <= MOST_BYTES


def straight_graph(model: Any) -> StraightGraph | None:
    """What a ModelProto computes that rewrite() has written. None where there is anything else."""
    if not may_be_straight(model):
        return None
    graph = GraphFile(model)
    numbers = {name: number for number, name in enumerate(graph.inputs)}
    steps: list[Chain | Plain] = []
    for node in graph.nodes:
        if graph.op(node) == "Depend" and node.input[0] in numbers:  # the same, after something else
            numbers[node.output[0]] = numbers[node.input[0]]
        if graph.computes_nothing(node):
            continue
        for name, step in _steps(graph, node, numbers):
            if step is None:
                return None
            numbers[name] = len(graph.inputs) + len(steps)
            steps.append(step)
    outputs = [numbers.get(name, -1) for name in _outputs(graph)]
    if not outputs or min(outputs) < len(graph.inputs):  # one that is given, or fixed
        return None
    return StraightGraph(tuple(steps), tuple(outputs))


def _steps(graph: GraphFile, node: Any, numbers: Mapping[str, int]) -> Iterator[tuple[str, Chain | Plain | None]]:
    """Those that make what a node does, and by what names; None where there is none."""
    if graph.op(node) in PAIRS:
        for place, step in enumerate(pair_steps(graph, node, numbers)):
            yield _item(node.output[0], place), step
    else:
        yield node.output[0], _chain(graph, node, numbers) or plain_step(graph, node, numbers)


def _item(pair: str, place: int) -> str:
    return f"{pair}[{place}]"


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
        elif graph.op(maker) in PAIRS:
            names += [_item(name, place) for place in (0, 1)]
        else:
            names.append(name)
    return names
