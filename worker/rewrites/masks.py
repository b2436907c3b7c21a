"""What a mask says is not to be seen: a number takes its place, by an operator of kernels/.

MindSpore 2.10 takes 5 ns a number for that, and 0.1 to add a mask. In an attention it lies between two products, whose
steps it would part.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from mindspore_serving.worker.rewrites.elements import repeats_few
from mindspore_serving.worker.rewrites.file_constants import BOOL, FLOAT32, TOLD_FLOAT32
from mindspore_serving.worker.rewrites.graph_file import GraphFile
from mindspore_serving.worker.rewrites.kernel_nodes import (
    Step,
    are_here,
    bits,
    float_value,
    has_many,
    is_large,
    step_node,
)
from mindspore_serving.worker.rewrites.values import Value

_LARGEST = float(np.finfo(np.float32).max)


class _Filling(NamedTuple):
    """Names of a value, of a mask, and of the number that takes the place of others."""

    x: str
    mask: str
    number: str
    is_kept: bool  # where the mask is set, the value is, and not the number


def fill_by_kernels(graph: GraphFile) -> int:
    """Makes each choice between a value and a number, by a mask, a step. Returns how many."""
    numbers: dict[str, str] = {}
    if not are_here():
        return 0
    return sum(_made(graph, node, numbers) for node in graph.nodes if graph.op(node) in _READERS)


def _made(graph: GraphFile, node: Any, numbers: dict[str, str]) -> bool:
    """numbers: masks that are numbers already, and what these are called."""
    made, given = float_value(graph, node.output[0]), _READERS[graph.op(node)](graph, node)
    x, mask, number = float_value(graph, given.x), graph.value(given.mask), graph.constant(given.number)
    truths = graph.truths(given.mask)
    if truths is not None:
        mask = Value(BOOL, truths.shape)
    if made is None or x is None or mask is None or mask.data_type != BOOL or not mask.shape or not _is_single(number):
        return False
    if not is_large(graph, node.output[0]):
        return False
    if has_many(graph, node.output[0]) and repeats_few(made, [x.shape, mask.shape]):
        return False
    new = []
    if given.mask not in numbers:
        new = _numbers(graph, given.mask, mask) if truths is None else [graph.new.constant(truths.astype(np.float32))]
        numbers[given.mask] = new[-1].output[0]
    step = Step("filling", [given.x, numbers[given.mask]], [bits(float(number)), int(given.is_kept)])
    graph.replace([node], [*new, step_node(graph, step, made, node.output[0])])
    return True


def _selected(graph: GraphFile, node: Any) -> _Filling:
    """Select: where the mask is set the first value, elsewhere the second one."""
    mask, first, second = node.input
    if float_value(graph, first) is not None:
        return _Filling(first, mask, second, is_kept=True)
    return _Filling(second, mask, first, is_kept=False)


def _filled(_: GraphFile, node: Any) -> _Filling:
    x, mask, number = node.input
    return _Filling(x, mask, number, is_kept=False)


_READERS = {"Select": _selected, "MaskedFill": _filled, "MaskedFillScalar": _filled}


def _numbers(graph: GraphFile, name: str, mask: Value) -> list[Any]:
    """Nodes, the last of which makes 1 and 0 of a mask."""
    kind = graph.new.constant(TOLD_FLOAT32)
    return [kind, graph.new.node("Cast", [name, kind], Value(FLOAT32, mask.shape))]


def _is_single(number: Any) -> bool:
    """Whether it is a number, and none that only double precision has."""
    is_number = isinstance(number, int | float) and not isinstance(number, bool)
    return is_number and (math.isinf(number) or abs(number) <= _LARGEST)
