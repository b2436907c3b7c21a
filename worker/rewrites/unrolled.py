"""Layers of nn.GRU and nn.RNN by an operator of kernels/.

MindSpore has none for them on a CPU: it writes what happens at each moment into the graph, 5 to 25 operators that have
little to do. Here they are found again: cells, each of which goes on from what the one before it made, with the same
weights, over all moments of one sequence.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mindspore_serving.worker.rewrites.copies import copy_step
from mindspore_serving.worker.rewrites.file_constants import FLOAT32
from mindspore_serving.worker.rewrites.graph_file import GraphFile
from mindspore_serving.worker.rewrites.kernel_nodes import Step, are_here, constants_of, float_value, step_node
from mindspore_serving.worker.rewrites.recurrence import WHOLE, Array, Layer, first_values, is_reverse
from mindspore_serving.worker.rewrites.values import Value

_GATES = {"GRU": 3, "Tanh": 1, "ReLU": 1}
_NEW = 2  # among the gates of MindSpore's GRU, behind reset and update
_GOES = 1  # an axis of a part: kernels/places.c


@dataclass(frozen=True)
class _Product:
    """x times a transposed weight, and a bias, if there is one: names of values."""

    x: str
    weight: str
    bias: str | None


@dataclass(frozen=True)
class _Cell:
    """What happens at one moment. nodes: what it consists of, by what they make."""

    kind: str
    of_x: _Product
    of_y: _Product
    nodes: Mapping[str, Any]

    @property
    def layer(self) -> tuple[str, str, str, str | None, str | None]:
        """What all cells of a layer have in common."""
        return self.kind, self.of_x.weight, self.of_y.weight, self.of_x.bias, self.of_y.bias


class _OtherGraph(Exception):
    """Nodes are not what is looked for."""


def roll_up(graph: GraphFile) -> int:
    """Makes each layer of cells one operator of ours. Returns how many."""
    if not are_here():
        return 0
    cells = {node.output[0]: cell for node in graph.nodes if (cell := _cell(graph, node)) is not None}
    return sum(_rolled_up(graph, cells, names) for names in list(_layers(cells)))


def _layers(cells: Mapping[str, _Cell]) -> Iterator[list[str]]:
    """What follows each cell that goes on from no other one of its layer, itself first."""
    after: dict[str, list[str]] = {}
    for name, cell in cells.items():
        after.setdefault(cell.of_y.x, []).append(name)
    for name, cell in cells.items():
        before = cells.get(cell.of_y.x)
        if before is not None and before.layer == cell.layer:
            continue
        names = [name]
        while len(next_ones := [one for one in after.get(names[-1], ()) if cells[one].layer == cell.layer]) == 1:
            names += next_ones
        yield names


def _cell(graph: GraphFile, node: Any) -> _Cell | None:
    """The cell that makes what this node makes, if there is one."""
    try:
        if graph.op(node) == "Add":
            return _Reader(graph).gru(node.output[0])
        return _Reader(graph).plain(node.output[0]) if graph.op(node) in _GATES else None
    except _OtherGraph:
        return None


class _Reader:
    """Follows the nodes of a cell, from what it makes on, and gathers them."""

    def __init__(self, graph: GraphFile) -> None:
        self._graph = graph
        self._nodes: dict[str, Any] = {}

    def gru(self, name: str) -> _Cell:
        """new + update * (y - new), as nn.GRU has it."""
        new, changed = self._inputs(name, "Add")
        update, difference = self._inputs(changed, "Mul")
        y, same = self._inputs(difference, "Sub")
        x_new, weighed = self._inputs(*self._inputs(new, "Tanh"), "Add")
        reset, y_new = self._inputs(weighed, "Mul")
        x_reset, y_reset = self._inputs(*self._inputs(reset, "Sigmoid"), "Add")
        x_update, y_update = self._inputs(*self._inputs(update, "Sigmoid"), "Add")
        of_x, of_y = self._gates(x_reset, x_update, x_new), self._gates(y_reset, y_update, y_new)
        if same != new or of_y.x != y:
            raise _OtherGraph
        return _Cell("GRU", of_x, of_y, self._nodes)

    def plain(self, name: str) -> _Cell:
        """An activation of the sum, as nn.RNN has it."""
        kind = self._graph.op(self._graph.maker(name))
        one, other = self._inputs(*self._inputs(name, kind), "Add")
        return _Cell(kind, self._product(one), self._product(other), self._nodes)

    def _inputs(self, name: str, *ops: str) -> list[str]:
        node = self._graph.maker(name)
        if self._graph.op(node) not in ops:
            raise _OtherGraph
        self._nodes[name] = node
        return list(node.input)

    def _gates(self, *names: str) -> _Product:
        """The product of which these are the three parts, in this order."""
        splits = set()
        for number, name in enumerate(names):
            split, place = self._inputs(name, "TupleGetItem")
            if self._graph.constant(place) != number:
                raise _OtherGraph
            splits.add(split)
        gates, *told = self._inputs(splits.pop(), "Split")
        if splits or [self._graph.constant(one) for one in told] != [1, len(names)]:
            raise _OtherGraph
        return self._product(gates)

    def _product(self, name: str) -> _Product:
        product, *bias = self._inputs(name, "Add", "MatMul")
        is_biased = self._graph.op(self._graph.maker(name)) == "Add"
        x, weight, *turned = self._inputs(product if is_biased else name, "MatMul")
        if [self._graph.constant(one) for one in turned] != [False, True]:
            raise _OtherGraph
        return _Product(x, weight, bias[0] if is_biased else None)


def _rolled_up(graph: GraphFile, cells: Mapping[str, _Cell], names: Sequence[str]) -> bool:
    """names: what the cells of a layer make, in order."""
    x, cuts = _moments(graph, [cells[name].of_x.x for name in names])
    stack = _stack(graph, names)
    layer = _layer(graph, cells[names[0]], x, len(names), stack)
    if layer is None:
        return False
    if layer.is_backward:
        stack += [graph.only_user(node.output[0]) for node in stack[-1:]]
    nodes = {name: node for one in names for name, node in cells[one].nodes.items()}
    nodes |= {node.output[0]: node for node in stack}
    made = {names[-1], *(node.output[0] for node in stack[-1:])}
    if not all(_is_used_within(graph, name, nodes) for name in nodes.keys() - made):
        return False
    for cut in cuts:  # which others may need besides
        if all(_is_used_within(graph, name, nodes, cut) for name in cut):
            nodes |= cut
    _put(graph, layer, nodes, names[-1], stack)
    first = cells[names[0]]
    for name in (x, first.of_y.x, *first.layer[1:]):
        if name is not None:
            graph.remove_unused(name)
    return True


def _moments(graph: GraphFile, names: Sequence[str]) -> tuple[str, list[dict[str, Any]]]:
    """The sequence whose moments these are, each once and in order, and the nodes that cut each out; else nothing."""
    cuts, sequences = [], set()
    for moment, name in enumerate(names):
        squeeze: Any = graph.maker(name)
        cut: Any = graph.maker(squeeze.input[0]) if graph.op(squeeze) == "Squeeze" else None
        step = copy_step(graph, cut) if graph.op(cut) == "StridedSlice" else None
        if step is None or list(step.told) != [moment, 1, 1, 0, *WHOLE, *WHOLE]:
            return "", []
        sequences.add(step.inputs[0])
        cuts.append({node.output[0]: node for node in (cut, squeeze)})
    return (sequences.pop(), cuts) if len(sequences) == 1 else ("", [])


def _stack(graph: GraphFile, names: Sequence[str]) -> list[Any]:
    """The nodes that put together what the cells make, if there are any."""
    for user in graph.users(names[-1]):
        if graph.op(user) == "make_list" and list(user.input) == list(names):
            stack = graph.only_user(user.output[0])
            if graph.op(stack) == "Stack" and graph.numbers(stack, "axis") == (0,):
                return [user, stack]
    return []


def _is_used_within(graph: GraphFile, name: str, *nodes: Mapping[str, Any]) -> bool:
    """Whether no other node uses this, nor is it an output of the graph."""
    users = graph.users(name)
    return all(user is not None and any(user.output[0] in some for some in nodes) for user in users)


def _layer(graph: GraphFile, cell: _Cell, x: str, moments: int, stack: Sequence[Any]) -> Layer | None:
    value, parts = float_value(graph, x, 3), _parts(graph, cell)
    if value is None or parts is None or not 1 < moments == value.shape[0] or value.shape[2] != parts[0].shape[2]:
        return None
    weights, back, bias = parts
    first = first_values(graph, [cell.of_y.x], back.shape[1])
    if first is None:
        return None
    reverse = graph.maker(x)
    behind = [graph.only_user(node.output[0]) for node in stack[-1:]]
    is_backward = all(is_reverse(graph, one) for one in (reverse, *behind))
    given = reverse.input[0] if is_backward else x
    return Layer(cell.kind, given, (*value.shape[:2], back.shape[1]), weights, back, bias, first, is_backward)


def _parts(graph: GraphFile, cell: _Cell) -> tuple[Array, Array, Array] | None:
    """Weights of the sequence, those of the moment before, and the bias, as a layer has them."""
    gates = _GATES[cell.kind]
    weights = [graph.array(product.weight) for product in (cell.of_x, cell.of_y)]
    known = [array for array in weights if array is not None and array.ndim == 2 and len(array) % gates == 0]
    if len(known) < len(weights) or len(known[0]) != len(known[1]) or known[1].shape[1] * gates != len(known[1]):
        return None
    biases = []
    for product in (cell.of_x, cell.of_y):
        bias = np.zeros(len(known[0]), np.float32) if product.bias is None else graph.array(product.bias)
        if bias is None or bias.shape != (len(known[0]),):
            return None
        biases.append(bias.reshape(gates, -1))
    of_x, of_y = (array.reshape(gates, -1, array.shape[1]) for array in known)
    if cell.kind != "GRU":
        return of_x, of_y, biases[0] + biases[1]
    nothing = [np.zeros_like(array[:1]) for array in (of_x, of_y)]
    x_bias, y_bias = biases
    # What the moment before adds to the new y stands by itself, for it is weighed first.
    bias = np.concatenate((x_bias[:_NEW] + y_bias[:_NEW], x_bias[_NEW:], y_bias[_NEW:]))
    weighed = np.concatenate((of_y[:_NEW], nothing[1], of_y[_NEW:]))
    return np.concatenate((of_x, nothing[0])), weighed, bias


def _put(graph: GraphFile, layer: Layer, nodes: Mapping[str, Any], last: str, stack: Sequence[Any]) -> None:
    """The layer in place of all these nodes, where the last cell was. What that one made may be needed besides."""
    step, value = layer.step(graph)
    made = step_node(graph, step, value, *(node.output[0] for node in stack[-1:]))
    new = [*constants_of(step), made]
    if not _is_used_within(graph, last, nodes):
        moments, *rest = value.shape
        told = [0 if layer.is_backward else moments - 1, 1, 1, _GOES, *WHOLE, *WHOLE]
        new.append(step_node(graph, Step("part", [made.output[0]], told), Value(FLOAT32, tuple(rest)), last))
    graph.replace([*(node for name, node in nodes.items() if name != last), nodes[last]], new)
