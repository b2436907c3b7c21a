"""Layers of nn.LSTM by an operator of kernels/.

MindSpore 2.10's takes three times as long, by one thread, and no less by two.
"""

from typing import Any

import numpy as np

from mindspore_serving.worker.rewrites.file_constants import FLOAT32
from mindspore_serving.worker.rewrites.graph_file import GraphFile
from mindspore_serving.worker.rewrites.kernel_nodes import Step, are_here, float_value, put_step
from mindspore_serving.worker.rewrites.recurrence import WHOLE, Array, Layer, first_values, is_reverse
from mindspore_serving.worker.rewrites.values import Value

_GATES = 4
_SIZES = ("hidden_size", "input_size")
_Y, _LAST_Y, _LAST_KEPT = range(3)  # what MindSpore's operator makes

Outputs = list[tuple[Any, int]]  # the nodes that take one of these, and which


def remember_by_kernels(graph: GraphFile) -> int:
    """Makes each LSTM, in either direction, one of ours. Returns how many."""
    return sum(_lstm(graph, node) for node in graph.nodes if graph.op(node) == "LSTM") if are_here() else 0


def _lstm(graph: GraphFile, node: Any) -> bool:
    items = [(item, _number_of(graph, item)) for item in graph.users(node.output[0])]
    outputs = [(item, number) for item, number in items if number in (_Y, _LAST_Y, _LAST_KEPT)]
    layer = _layer(graph, node, outputs)
    if layer is None or not outputs or len(outputs) < len(items):
        return False
    if layer.shape[0] < 1 and any(number != _Y for _, number in outputs):  # nobody knows which moment is the last
        return False
    _put(graph, node, layer, outputs)
    for name in node.input:
        graph.remove_unused(name)
    return True


def _number_of(graph: GraphFile, item: Any) -> Any:
    known = graph.op(item) == "TupleGetItem" and float_value(graph, item.output[0], 3) is not None
    return graph.constant(item.input[1]) if known else None


def _layer(graph: GraphFile, node: Any, outputs: Outputs) -> Layer | None:
    """Of an operator that takes a sequence, y and what is kept before it, and all weights as one; None for others."""
    x, units, ins = float_value(graph, node.input[0], 3), *(graph.numbers(node, name) for name in _SIZES)
    is_plain = graph.numbers(node, "num_layers") == (1,) and graph.numbers(node, "bidirectional") == (0,)
    if x is None or not is_plain or any(graph.numbers(node, "proj_size")) or len(units) != 1 or len(ins) != 1:
        return None
    weights = _parts(graph, node, units[0], ins[0])
    first = first_values(graph, node.input[1:3], units[0])
    if weights is None or first is None or x.shape[2] != ins[0]:
        return None
    reverse = graph.maker(node.input[0])
    of_y = [graph.only_user(item.output[0]) for item, number in outputs if number == _Y]
    is_backward = all(is_reverse(graph, one) for one in (reverse, *of_y))
    given = reverse.input[0] if is_backward else node.input[0]
    return Layer("LSTM", given, (*x.shape[:2], units[0]), *weights, first, is_backward)


def _parts(graph: GraphFile, node: Any, units: int, ins: int) -> tuple[Array, Array, Array] | None:
    """Weights of the sequence, those of the moment before, and the bias."""
    flat, widths = graph.weights(node.input[3]), [ins, units]
    if graph.numbers(node, "has_bias") == (1,):
        widths.append(1)
    sizes = [_GATES * units * width for width in widths]
    if flat is None or flat.size != sum(sizes):
        return None
    parts = [part.reshape(_GATES, units, -1) for part in np.split(flat.ravel(), np.cumsum(sizes)[:-1])]
    return parts[0], parts[1], parts[2][..., 0] if len(parts) > 2 else np.zeros((_GATES, units), np.float32)


def _put(graph: GraphFile, node: Any, layer: Layer, outputs: Outputs) -> None:
    """The step in place of MindSpore's operator, and for each output a part of what it makes, if there are several."""
    with_kept = any(number == _LAST_KEPT for _, number in outputs)
    step, value = layer.step(graph, with_kept)
    if [number for _, number in outputs] == [_Y]:
        put_step(graph, [node, *_old(graph, layer, *outputs[0])], step, value)
        return
    put_step(graph, [node], step, value)
    moments, *rest = layer.shape
    places = {_Y: 0, _LAST_Y: 0 if layer.is_backward else moments - 1, _LAST_KEPT: moments}
    for item, number in outputs:
        count = moments if number == _Y else 1
        part = Step("part", [node.output[0]], [places[number], count, 1, 0, *WHOLE, *WHOLE])
        put_step(graph, _old(graph, layer, item, number), part, Value(FLOAT32, (count, *rest)))


def _old(graph: GraphFile, layer: Layer, item: Any, number: int) -> list[Any]:
    """What an output takes the place of: where moments go backward, ours come as they were."""
    return [item, graph.only_user(item.output[0])] if layer.is_backward and number == _Y else [item]
