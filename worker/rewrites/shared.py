"""Weights that several layers share, as those of an ALBERT or of a siamese network do: one for each while rules work.

A rule lays weights out for the layer that has them, and leaves those alone that others use. Where that comes out the
same for several of them, they share it again.
"""

from typing import Any

import numpy as np

from mindspore_serving.worker.rewrites.graph_file import GraphFile

_MOST_BYTES = 64 << 20  # of copies
Shared = list[list[str]]


def unshare(graph: GraphFile) -> Shared:
    """Gives each node that uses a parameter of float32 one of its own. Returns the names of those that are equal."""
    groups: Shared = []
    left = _MOST_BYTES
    for load in [node for node in graph.nodes if graph.op(node) == "Load"]:
        users = list(graph.users(load.output[0]))
        array = graph.array(load.output[0]) if len(users) > 1 else None
        if array is None or None in users or len({id(user) for user in users}) < len(users):
            continue
        left -= array.nbytes * (len(users) - 1)
        if left < 0:
            break
        groups.append([load.output[0], *(_with_own(graph, user, load.output[0], array) for user in users[1:])])
    return groups


def _with_own(graph: GraphFile, node: Any, name: str, array: Any) -> str:
    constant, copy = graph.new.constant(array), type(node)()
    copy.CopyFrom(node)
    copy.input[list(node.input).index(name)] = constant.output[0]
    graph.replace([node], [constant, copy])
    return str(constant.output[0])


def share_again(graph: GraphFile, groups: Shared) -> None:
    """Of each group, puts the first of those that are still equal in place of the others: before all that use them."""
    instead: dict[str, str] = {}
    places = {node.output[0]: place for place, node in enumerate(graph.nodes)}
    for names in groups:
        kept: list[str] = []
        for name in sorted(names, key=lambda name: places.get(name, 0)):
            if not graph.users(name):
                continue
            alike = [other for other in kept if _are_equal(graph, other, name)]
            if alike:
                instead[name] = alike[0]
            else:
                kept.append(name)
    if instead:
        graph.bypass(instead)


def _are_equal(graph: GraphFile, one: str, other: str) -> bool:
    arrays = [graph.array(name) for name in (one, other)]
    return arrays[0] is not None and arrays[1] is not None and np.array_equal(arrays[0], arrays[1])
