"""Operators that change a value where it lies, as `x += y` makes them, written as those that make another value.

MindSpore 2.10 keeps these in order by states, which each load of a parameter is tied to; no rule takes anything past
them. The numbers are the same where whoever reads the value of before is needed for the change, and so comes first.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from mindspore_serving.worker.rewrites.elements import ACTIVATIONS
from mindspore_serving.worker.rewrites.file_constants import FLOAT32
from mindspore_serving.worker.rewrites.graph_file import GraphFile
from mindspore_serving.worker.rewrites.shape_rules import FIRST_OF, RULES

_CHANGES = {
    **dict.fromkeys(("InplaceAddExt", "InplaceAddsExt"), "Add"),
    **dict.fromkeys(("InplaceSubExt", "InplaceSubScalar"), "Sub"),
    **dict.fromkeys(("InplaceMul", "InplaceMuls"), "Mul"),
    **dict.fromkeys(("InplaceDiv", "InplaceDivs"), "Div"),
    **{f"Inplace{name}": name for name in ("ReLU", "Sigmoid", "Tanh", "SiLU", "Exp")},
}
_TIMES = ("InplaceAddExt", "InplaceSubExt", "InplaceAddsExt", "InplaceSubScalar")  # a number, which is told behind
_ORDER, _STATE = ("UpdateState", "Depend"), "UpdateState"
_LOAD = "Load"
_COPY = "TensorMove"  # of what is changed, for those that read it as it was
# What may make a value of the very numbers that it is given, and what does not.
_VIEWS = (
    *("Reshape", "Flatten", "ExpandDims", "Squeeze", "Transpose", "Identity", "Cast", _LOAD),
    *("StridedSlice", "BroadcastTo", "Tile"),
)
_MAKERS = {
    *RULES,
    *ACTIVATIONS,
    *_CHANGES,
    *("Conv2DTranspose", "Conv2DBackpropInput", "Gather", "ResizeBilinearV2", "ResizeNearestNeighbor"),
    _COPY,
}.difference(_VIEWS)


def may_have_state(op: str) -> bool:
    """Whether an operator of this name does what it does for those alone who need what it makes, state or not.

    All that it may do besides is known to `has_changes` and `write_apart`.
    """
    return op in _CHANGES or op in ("Embedding", "InstanceNorm") or _shows_given(op)


def has_changes(graph: GraphFile) -> bool:
    """Whether anything of a graph does more than to make a value."""
    return any(_has_state(graph, node) for node in graph.nodes)


def write_apart(graph: GraphFile) -> int:
    """Makes all changes of a graph operators of their own. Returns how many: none where one of them must stay."""
    changes = [node for node in graph.nodes if _has_state(graph, node)]
    if not changes or not all(_may_be_apart(graph, node) for node in changes):
        return 0
    for node in changes:
        value, number = graph.value(node.output[0]), _number(graph, node)
        assert value is not None
        constants = [] if number is None else [graph.new.constant(number)]
        given = [node.input[0], *(constants or node.input[1:2])]
        if graph.op(node).removeprefix("Inplace") in ACTIVATIONS:
            given = given[:1]
        new = graph.new.node(_CHANGES[graph.op(node)], given, value, node.output[0])
        graph.replace([node], [*constants, new])
    forget_order(graph)
    return len(changes)


def write_views_apart(graph: GraphFile) -> int:
    """The same where a view is changed, as `mint.narrow(x, 1, 0, 4)` makes one: MindSpore 2.10 refuses to run that."""
    changed = [graph.maker(node.input[0]) for node in graph.nodes if graph.op(node) in _CHANGES]
    return write_apart(graph) if any(graph.op(maker).endswith("View") for maker in changed) else 0


def forget_order(graph: GraphFile) -> None:
    """Removes what keeps changes in order, of a graph without any."""
    graph.bypass({node.output[0]: node.input[0] for node in graph.nodes if _is_for_order(graph, node)})
    for node in [node for node in graph.nodes if graph.op(node) == "MakeTuple"]:
        graph.remove_unused(node.output[0])  # of what states came after


def changed_inputs(model: Any) -> frozenset[str]:
    """The names of a ModelProto's inputs that its graph may write over: it computes in the memory that it is given."""
    names = frozenset(str(given.name) for given in model.graph.input)
    if model.functions:  # which value of which graph is an input is not followed
        return names if any(one.op_type.startswith("Inplace") for one in model.primitives) else frozenset()
    graph = GraphFile(model)
    changed = [node.input[0] for node in graph.nodes if _has_state(graph, node)]
    return names & _may_lie_in(graph, changed)


def changed_parameters(graph: GraphFile) -> frozenset[str]:
    """The names of those that a graph, or one that it calls, may write over: another number at each call."""
    changing = [node for node in graph.nodes if _has_state(graph, node)]
    found = _may_lie_in(graph, [node.input[0] for node in changing])
    found.update(name for node in changing for name in node.input)
    for node in graph.called_nodes:  # what states these have is not followed
        if not graph.computes_nothing(node):
            found.update(node.input)
    return frozenset(name for name in found if graph.is_parameter(name))


def _may_lie_in(graph: GraphFile, names: Sequence[str]) -> set[str]:
    """The inputs and parameters in whose memory these values may lie. Of an operator that is not known any input."""
    found: set[str] = set()
    left = list(names)
    while left:
        name = left.pop()
        if name in found or graph.is_state(name):
            continue
        found.add(name)
        maker = graph.maker(name)
        left += () if maker is None or graph.op(maker) in _MAKERS else maker.input
    return {name for name in found if graph.maker(name) is None}


def _has_state(graph: GraphFile, node: Any) -> bool:
    """Whether it is told to come before or after others, for what it does besides to make a value."""
    if graph.op(node) in (*_ORDER, _LOAD, "MakeTuple") or _is_view(graph, node):
        return False
    if graph.op(node) == "Embedding" and graph.constant(node.input[3]) is None:  # no norm is too large
        return False
    if graph.op(node) == "InstanceNorm":  # it counts what nobody reads
        return False
    return any(map(graph.is_state, node.input))


def _is_view(graph: GraphFile, node: Any) -> bool:
    """Whether what it makes may be the very numbers that it is given. Some have a state, to come before changes."""
    if graph.op(node) == "TupleGetItem":
        return _is_view(graph, graph.maker(node.input[0]))
    return _shows_given(graph.op(node))


def _shows_given(op: str) -> bool:
    return op in _VIEWS or op.endswith("View")


def _is_for_order(graph: GraphFile, node: Any) -> bool:
    """Whether it is there for that alone. What is left loads parameters, in any order."""
    is_load = graph.op(node) == _LOAD
    return graph.op(node) in (*_ORDER, _COPY) or (is_load and not graph.is_parameter(node.input[0]))


def _may_be_apart(graph: GraphFile, node: Any) -> bool:
    """Of float32, and whatever reads what is changed is needed for the change."""
    value = graph.value(node.output[0])
    if graph.op(node) not in _CHANGES or value is None or value.data_type != FLOAT32:
        return False
    if graph.op(node) in _TIMES and graph.constant(node.input[2]) != 1:
        return False
    if len(node.input) > 2 and _number(graph, node) is None:  # with its state
        other = graph.value(node.input[1]) or graph.constant_tensor(node.input[1])
        if other is None or other.data_type != FLOAT32:
            return False
    name = _owner(graph, node.input[0])
    if name is None:
        return False
    before = _needed(graph, node)
    return all(user is not None and user.output[0] in before for user in _readers(graph, name) if user is not node)


def _number(graph: GraphFile, node: Any) -> float | None:
    number = graph.constant(node.input[1])
    return float(number) if isinstance(number, int | float) and not isinstance(number, bool) else None


def _owner(graph: GraphFile, name: str) -> str | None:
    """The value whose numbers these are; None where that may be a parameter, or is not known."""
    maker = graph.maker(name)
    if maker is None:
        return None if graph.is_parameter(name) else name
    if _is_view(graph, maker):
        return _owner(graph, maker.input[0])
    if graph.op(maker) == "TupleGetItem":
        several = graph.maker(maker.input[0])
        return name if graph.op(several) in FIRST_OF else None
    return name if graph.op(maker) in _MAKERS else None


def _readers(graph: GraphFile, name: str) -> Iterator[Any]:
    """Those that use a value, or these numbers by another name; None for an output of the graph."""
    for user in graph.users(name):
        if user is not None and graph.op(user) == _STATE:
            continue
        yield user
        if user is not None and (_is_view(graph, user) or graph.op(user) == "Depend"):
            yield from _readers(graph, user.output[0])


def _needed(graph: GraphFile, node: Any) -> set[str]:
    """What must be made before a node can run."""
    found: set[str] = set()
    left = list(node.input)
    while left:
        name = left.pop()
        maker = graph.maker(name)
        if name not in found:
            found.add(name)
            left += () if maker is None or graph.op(maker) == _STATE else maker.input
    return found
