"""Operators that newer functions of MindSpore 2.10 make, above all those of mindspore.mint, written as older ones.

For what mint makes of a Conv2d, a BatchNorm2d, a LayerNorm, a GELU or a pool, MindSpore has kernels on Ascend alone: a
network that was trained there is refused on a CPU, or kills the process (paddings by reflection). The older operators
mean the same, have kernels, and are what other rules know. A rule replaces a node, and returns whether it has done so.

    spelling   the nodes that take the place of one
    layers     convolutions, norms, tables of words
    windows    pools, images of another size, what is put around them
    elements   activations, and what is done with each number
    axes       along an axis: sums of squares, order, what is moved
    attention  as one operator, and what transformers put around it
    views      the same numbers in another shape: there are kernels, slow ones
    products   matrix products, which rules of kernels/ know the older way
"""

from collections.abc import Mapping
from typing import Any

from mindspore_serving.worker.rewrites.graph_file import GraphFile
from mindspore_serving.worker.rewrites.in_place import forget_order, has_changes
from mindspore_serving.worker.rewrites.newer import attention, axes, elements, layers, views, windows
from mindspore_serving.worker.rewrites.newer.products import spell_older
from mindspore_serving.worker.rewrites.newer.spelling import Rule
from mindspore_serving.worker.rewrites.precision import has_bfloat16
from mindspore_serving.worker.rewrites.shapes import tell_shapes

__all__ = ["MISSING", "lacks_kernels", "operators", "spell_missing", "spell_older", "spell_slow"]

# Those that MindSpore 2.10 has no kernel for on a CPU.
MISSING: Mapping[str, Rule] = {
    **layers.MISSING,
    **windows.MISSING,
    **elements.MISSING,
    **axes.MISSING,
    **attention.MISSING,
}
_SLOW: Mapping[str, Rule] = {**windows.SLOW, **elements.SLOW, **axes.SLOW}


def operators(model: Any) -> set[str]:
    """The names of all operators of a ModelProto."""
    return {str(one.op_type) for one in (*model.primitives, *model.graph.node)}


def lacks_kernels(model: Any) -> bool:
    """Whether MindSpore 2.10 has none on a CPU for some of what a ModelProto computes."""
    return has_bfloat16(model) or not MISSING.keys().isdisjoint(operators(model))


def spell_missing(graph: GraphFile) -> int:
    """Writes each operator that has no kernel on a CPU, as far as it is known. Returns how many."""
    count = _spell(graph, MISSING)
    while any(graph.op(node) in MISSING for node in graph.nodes):  # of which the file may leave sizes open
        tell_shapes(graph)
        more = _spell(graph, MISSING)
        if not more:
            break
        count += more
    return count


def spell_slow(graph: GraphFile) -> int:
    """Writes each of those that older operators, or rules that come later, are faster at. Returns how many."""
    # A view shows what is changed in place, and a copy does not.
    return _spell(graph, _SLOW if has_changes(graph) else {**_SLOW, **views.SLOW})


def _spell(graph: GraphFile, rules: Mapping[str, Rule]) -> int:
    nodes = [node for node in graph.nodes if graph.op(node) in rules]
    if nodes and not has_changes(graph):
        forget_order(graph)  # which some of these have, and nothing needs
    return sum(rules[graph.op(node)](graph, node) for node in nodes)
