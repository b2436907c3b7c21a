"""What never turns two numbers round may come before or behind a maximum: relu(max(a, b)) is max(relu(a), relu(b)).

Behind MaxPool it has a quarter of the numbers to work on, or fewer. Sums with a bias, rounded, keep the order as well,
so that both ways give the very same numbers; those of functions that are computed by series may differ in the last
digit.
"""

from typing import Any

from mindspore_serving.worker.rewrites.graph_file import GraphFile

_KEEP_ORDER = ("ReLU", "ReLU6", "BiasAdd", "Sigmoid", "Tanh", "Elu")


def pool_first(graph: GraphFile) -> int:
    """Puts MaxPool before such an operator that nothing else uses. Returns how often."""
    swapped = 0
    names = [node.output[0] for node in graph.nodes if graph.op(node) == "MaxPool"]
    for name in names:
        while _swapped(graph, graph.maker(name)):
            swapped += 1
            name = graph.maker(name).input[0]  # the pool has moved up: what is before it now?
    return swapped


def _swapped(graph: GraphFile, pool: Any) -> bool:
    before = graph.maker(pool.input[0])
    value = graph.value(pool.output[0])
    if graph.op(before) not in _KEEP_ORDER or graph.only_user(pool.input[0]) is None or value is None:
        return False
    _, second = graph.swap(before, pool)
    graph.tell_shape(second, value.shape)
    return True
