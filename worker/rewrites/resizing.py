"""Images made larger by whole factors, each pixel repeated: a product with ones that spreads.

MindSpore 2.10's kernel for the nearest neighbour looks each pixel's place up, and takes 4 to 15 times as long.
"""

from typing import Any

import numpy as np

from mindspore_serving.worker.rewrites.file_constants import FLOAT32
from mindspore_serving.worker.rewrites.graph_file import GraphFile
from mindspore_serving.worker.rewrites.kernel_nodes import Step, are_here, put_steps
from mindspore_serving.worker.rewrites.values import Value

_OPEN = -1
_RESIZES = ("ResizeNearestNeighbor", "ResizeNearestNeighborV2")


def repeat_pixels(graph: GraphFile) -> int:
    """Writes each resize to the nearest neighbour, where height and width grow by whole factors. Returns how many."""
    return sum(_repeated(graph, node, by_kernels=False) for node in graph.nodes if graph.op(node) in _RESIZES)


def repeat_pixels_by_kernels(graph: GraphFile) -> int:
    """Makes each of them ours. Returns how many."""
    if not are_here():
        return 0
    return sum(_repeated(graph, node, by_kernels=True) for node in graph.nodes if graph.op(node) in _RESIZES)


def _repeated(graph: GraphFile, node: Any, by_kernels: bool) -> bool:
    x, value = graph.value(node.input[0]), graph.value(node.output[0])
    if x is None or value is None or {x.data_type, value.data_type} != {FLOAT32}:
        return False
    if len(node.input) != 4 or len(x.shape) != 4 or len(value.shape) != 4 or min(*x.shape[1:], *value.shape[1:]) < 1:
        return False
    # Half a pixel more or less changes nothing where factors are whole; corners that stay corners do.
    if graph.constant(node.input[2]) is not False:
        return False
    (height, width), (to_height, to_width) = x.shape[2:], value.shape[2:]
    if to_height % height or to_width % width or (height, width) == (to_height, to_width):
        return False
    times = (1, 1, to_height // height, 1, to_width // width)
    apart, spread = (_OPEN, height, 1, width, 1), (_OPEN, height, times[2], width, times[4])
    if by_kernels:
        views = [[max(size, 0) for size in shape] for shape in (apart, (_OPEN, *value.shape[1:]))]
        first = Step("view", node.input[:1], views[0])
        steps = [(first, apart), (Step("repetition", [0], times), spread), (Step("view", [1], views[1]), value.shape)]
        put_steps(graph, [node], steps)
    else:
        _multiply(graph, node, (apart, spread), times, value)
    return True


def _multiply(
    graph: GraphFile, node: Any, shapes: tuple[tuple[int, ...], tuple[int, ...]], times: tuple[int, ...], value: Value
) -> None:
    """By ones. shapes: each pixel by itself, and all of its repetitions."""
    apart, together = graph.new.constant(shapes[0]), graph.new.constant((_OPEN, *value.shape[1:]))
    ones = graph.new.constant(np.ones(times, np.float32))
    pixels = graph.new.node("Reshape", [node.input[0], apart], Value(FLOAT32, shapes[0]))
    spread = graph.new.node("Mul", [pixels, ones], Value(FLOAT32, shapes[1]))
    back = graph.new.node("Reshape", [spread, together], value, node.output[0])
    graph.replace([node], [apart, together, ones, pixels, spread, back])
