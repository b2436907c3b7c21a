"""Operators that give back what they are given: nn.Identity, a Cast or a Reshape to what it is."""

from typing import Any

from mindspore_serving.worker.rewrites.graph_file import GraphFile

_OPEN = -1
_SAME = ("Identity", "Contiguous")
_SAME_IF_ALIKE = ("Cast", "Reshape", "BroadcastTo")


def drop_nothing(graph: GraphFile) -> int:
    """Removes each of them, but for one that makes an output of the graph. Returns how many."""
    nodes = [node for node in graph.nodes if _does_nothing(graph, node)]
    if nodes:
        graph.bypass({node.output[0]: node.input[0] for node in nodes})
    return len(nodes)


def _does_nothing(graph: GraphFile, node: Any) -> bool:
    if None in graph.users(node.output[0]):
        return False
    if graph.op(node) in _SAME:
        return True
    if graph.op(node) not in _SAME_IF_ALIKE:
        return False
    before, made = graph.value(node.input[0]), graph.value(node.output[0])
    if before is None or before != made:
        return False
    # One open size is the same for a Reshape. A BroadcastTo may repeat what is one, unless it is told to keep it.
    keeps_open = graph.op(node) != "BroadcastTo" or isinstance(graph.constant(node.input[1]), tuple)
    return made.shape.count(_OPEN) < 2 if keeps_open else _OPEN not in made.shape
