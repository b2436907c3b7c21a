"""Branches that are decided by what is known of shapes: the graph that one leads to takes the place of its call.

With an open number of instances, networks ask what their shapes are: nn.TransformerEncoderLayer whether one is equal to
itself, ops.interpolate whether one has a size below 0, x.max((2, 3)) whether one is of no numbers, attention by hand
whether it is as expected. MindSpore 2.10 writes both ways into the file, each as a graph, and is not up to them: it
takes an encoder's layer twenty times the time that it would take without the question, gives other numbers than the
network for nn.Transformer, and cannot run others. So they are decided whatever a user chooses.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from mindspore_serving.worker.rewrites.file_constants import is_state
from mindspore_serving.worker.rewrites.graph_file import GraphFile
from mindspore_serving.worker.rewrites.in_place import has_changes, may_have_state, write_apart
from mindspore_serving.worker.rewrites.precision import has_half_precision
from mindspore_serving.worker.rewrites.questions import Questions
from mindspore_serving.worker.rewrites.shapes import shapes_of

_REFERENCE = "REF::"
_INT64 = 7  # AttributeProto.AttributeType
_MOST_CALLS, _MOST_NODES = 64, 1 << 17  # calls within each other


class _Undecided(Exception):
    """There is more to these graphs than branches that are decided."""


@dataclass(frozen=True)
class _Call:
    """What a branch leads to: a graph, and what it is given first."""

    function: str
    given: Sequence[str]


def decide_branches(model: Any, *, together: bool = True) -> bool:
    """Makes one graph of the main graph and those that it calls. Returns whether that is done, or nothing has changed.

    model: a ModelProto of MindSpore's mind_ir.proto. together: the open first sizes of all its inputs are the same.
    """
    writer = _Writer(model, together)
    try:
        made = writer.follow(model.graph.node, {})
        outputs = [writer.name(given.name, made) for given in model.graph.output]
        nodes = writer.nodes_for(outputs)
    except _Undecided:
        return False
    before = _replaced(model, nodes, outputs)
    graph = _by_itself(model, model.graph)
    if has_changes(graph) and not write_apart(graph):
        _replaced(model, *before)
        return False
    graph.save()
    del model.functions[:]
    return True


def calls_may_stay(model: Any) -> bool:
    """Whether the main graph of a ModelProto can be rewritten while those that it calls stay.

    Not where something is changed where it lies: what comes before and after is told by states, which go through calls.
    Nor in half precision: a graph that is called would be given another type than it is told of.
    """
    is_changed = any(str(one.op_type).startswith("Inplace") for one in model.primitives)
    return not is_changed and not has_half_precision(model)


def _replaced(model: Any, nodes: Sequence[Any], outputs: Sequence[str]) -> tuple[list[Any], list[str]]:
    """Puts these nodes in place of the main graph's, and these outputs. Returns what was there."""
    old_nodes, old_outputs = _copies(model.graph.node), [given.name for given in model.graph.output]
    new_nodes = _copies(nodes)
    del model.graph.node[:]
    model.graph.node.extend(new_nodes)
    for given, name in zip(model.graph.output, outputs, strict=True):
        given.name = name
    return old_nodes, old_outputs


def _copies(nodes: Sequence[Any]) -> list[Any]:
    copies = [type(node)() for node in nodes]
    for copy, node in zip(copies, nodes, strict=True):
        copy.CopyFrom(node)
    return copies


def _written(model: Any, nodes: Sequence[Any]) -> GraphFile:
    """A graph of what is written so far, with the inputs, parameters and operators of the main one."""
    graph = SimpleNamespace(
        name=model.graph.name, node=nodes, input=model.graph.input, parameter=model.graph.parameter, output=[]
    )
    return _by_itself(model, graph)


def _by_itself(model: Any, graph: Any) -> GraphFile:
    """A graph that calls no other one any more."""
    return GraphFile(SimpleNamespace(graph=graph, primitives=model.primitives, functions=[]))


class _Writer:
    """Writes nodes in the order in which they run. What only keeps an order, which no node here needs, is left out."""

    def __init__(self, model: Any, together: bool) -> None:
        self._ops = {primitive.name: primitive.op_type for primitive in model.primitives}
        self._functions = {function.name: function for function in model.functions}
        graphs = [model.graph, *model.functions]
        self._constants = {
            node.output[0]: node for graph in graphs for node in graph.node if self._op(node) == "Constant"
        }
        self._given = {given.name for given in (*model.graph.input, *model.graph.parameter)}
        self._made: dict[str, Any] = {}
        self._depth = 0
        self._graph = _written(model, list(self._constants.values()))
        self._shapes = shapes_of(self._graph, together=together)
        self._questions = Questions(self._graph, self._shapes)

    def follow(self, nodes: Sequence[Any], known: dict[str, Any]) -> dict[str, Any]:
        """Writes what these nodes do. known: the name of each value that they are given, or a _Call.

        Returns that of what they make, too.
        """
        for node in nodes:
            op = self._op(node)
            if op != "Constant":
                known[node.output[0]] = self._followed(node, op, known)
        return known

    def nodes_for(self, names: Sequence[str]) -> list[Any]:
        """Those that make these values, and what they need; constants first."""
        if any(name not in self._made for name in names):
            raise _Undecided
        wanted, left = set(), list(names)
        while left:
            name = left.pop()
            if name not in wanted:
                wanted.add(name)
                left += self._made[name].input if name in self._made else ()
        constants = [node for name, node in self._constants.items() if name in wanted]
        return [*constants, *(node for name, node in self._made.items() if name in wanted)]

    def _followed(self, node: Any, op: str, known: dict[str, Any]) -> Any:
        """The name of what a node makes, or a _Call."""
        if op == "Partial":
            function, *given = node.input
            return _Call(function, [self.name(name, known) for name in given])
        if op == "Switch":
            truth = self._questions.truth(self.name(node.input[0], known))
            if truth is None:
                raise _Undecided
            return self._value(node.input[1 if truth else 2], known)
        if op in known or op in self._functions:
            return self._called(node, self._value(op, known), known)
        if op in ("Depend", "UpdateState"):
            return self._value(node.input[0], known)
        given = [self.name(name, known) for name in node.input]
        if op == "TupleGetItem" and (item := self._item(*given)) is not None:
            return item
        if not may_have_state(op) and any(self._is_state(name) for name in given):
            raise _Undecided  # it does more than to make a value
        return self._write(node, given)

    def _called(self, node: Any, call: Any, known: dict[str, Any]) -> Any:
        function = self._functions.get(call.function) if isinstance(call, _Call) else None
        if function is None or len(function.output) != 1 or self._depth == _MOST_CALLS:
            raise _Undecided
        given = [*call.given, *(self.name(name, known) for name in node.input)]
        names = [one.name for one in function.input]
        if len(names) != len(given):
            raise _Undecided
        self._depth += 1
        made = self.follow(function.node, dict(zip(names, given, strict=True)))
        self._depth -= 1
        return self._value(function.output[0].name, made)

    def _write(self, node: Any, given: Sequence[str]) -> str:
        """A copy of a node, by another name if a graph is called twice."""
        if len(self._made) == _MOST_NODES:
            raise _Undecided
        copy = type(node)()
        copy.CopyFrom(node)
        name = str(node.output[0])
        if name in self._made:
            name = f"{name}:{len(self._made)}"
        copy.input[:], copy.output[:], copy.name = given, [name], name
        self._made[name] = copy
        self._graph.append(copy)
        # In order, or a question behind hundreds of layers would look through all of them at once.
        self._shapes.of(name)
        return name

    def _value(self, name: str, known: dict[str, Any]) -> Any:
        if name in known:
            return known[name]
        if name in self._functions:
            return _Call(name, [])
        if name in self._constants or name in self._given:
            return name
        raise _Undecided

    def name(self, name: str, known: dict[str, Any]) -> str:
        """Of what has been written for a value. Raises _Undecided for anything else."""
        value = self._value(name, known)
        if not isinstance(value, str):
            raise _Undecided
        return value

    def _op(self, node: Any) -> str:
        name = str(node.op_type).removeprefix(_REFERENCE)
        return str(self._ops.get(name, name))

    def _constant(self, name: str, kind: int) -> int | None:
        node = self._constants.get(name)
        is_known = node is not None and len(node.attribute) == 1 and node.attribute[0].type == kind
        return node.attribute[0].i if is_known and node is not None else None

    def _is_state(self, name: str) -> bool:
        node = self._constants.get(name)
        return node is not None and len(node.attribute) == 1 and is_state(node.attribute[0])

    def _item(self, several: str, place: str) -> str | None:
        node, number = self._made.get(several), self._constant(place, _INT64)
        is_known = node is not None and self._op(node) == "MakeTuple"
        if node is None or number is None or not is_known or not -len(node.input) <= number < len(node.input):
            return None
        return str(node.input[number])
