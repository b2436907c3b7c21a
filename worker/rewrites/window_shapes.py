"""What convolutions and pools make of the shapes of images, and what is put around these."""

from collections.abc import Sequence
from typing import Any

from mindspore_serving.worker.rewrites.graph_file import GraphFile
from mindspore_serving.worker.rewrites.paddings import PADDINGS, paddings_of
from mindspore_serving.worker.rewrites.shape_protocol import Rule, Shapes
from mindspore_serving.worker.rewrites.sizes import Shape, Size, named

_SAME_SIZE = 1  # MindSpore's enumeration of paddings


def _slid(
    node: Any, before: Sequence[Size], x: Shape, steps: Sequence[tuple[int, int]], paddings: Sequence[int] | None
) -> Shape:
    """Where windows go. steps: reach and stride, along each axis. paddings: in all; None: a window for each stride."""
    made = []
    for axis, (size, (reach, stride)) in enumerate(zip(x, steps, strict=True), len(before)):
        if size.names:
            made.append(named(node.output[0], axis))
        elif paddings is None:
            made.append(Size(-(-size.number // stride)))
        else:
            made.append(Size((size.number + paddings[axis - len(before)] - reach) // stride + 1))
    return (*before, *made)


def _convolution(shapes: Shapes, node: Any) -> Shape | None:
    x, weights = [shapes.of(name) for name in node.input[:2]]
    stride, dilation, padding = [shapes.graph.numbers(node, name) for name in ("stride", "dilation", "pad_list")]
    if x is None or weights is None or len(x) != 4 or len(weights) != 4 or len(stride) < 2 or len(padding) != 4:
        return None
    reach = [(size.number - 1) * step + 1 for size, step in zip(weights[2:], dilation[-2:], strict=True)]
    around = None if min(padding) < 0 else (sum(padding[:2]), sum(padding[2:]))
    return _slid(node, (x[0], weights[0]), x[2:], list(zip(reach, stride[-2:], strict=True)), around)


def _pooling(shapes: Shapes, node: Any) -> Shape | None:
    x, kernel, stride = (
        shapes.of(node.input[0]),
        *(shapes.graph.numbers(node, name) for name in ("kernel_size", "strides")),
    )
    if x is None or len(x) != 4 or len(kernel) != 4 or len(stride) != 4:
        return None
    around = None if shapes.graph.attribute(node, "pad_mode").upper() == "SAME" else (0, 0)
    return _slid(node, x[:2], x[2:], list(zip(kernel[2:], stride[2:], strict=True)), around)


def _averages(shapes: Shapes, node: Any) -> Shape | None:
    x, told = shapes.of(node.input[0]), [shapes.graph.constant(name) for name in node.input[1:4]]
    if x is None or len(x) != 4 or len(told) != 3 or not all(isinstance(pair, tuple) for pair in told[:2]):
        return None
    return _slid(node, x[:2], x[2:], list(zip(*told[:2], strict=True)), None if told[2] == _SAME_SIZE else (0, 0))


def pool_of_three(graph: GraphFile, node: Any) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]] | None:
    """Kernel, stride and padding of a MaxPool3DWithArgmax along its three axes; None where there is more to it."""
    kernel, stride, padding, dilation = [graph.numbers(node, name) for name in ("ksize", "strides", "pads", "dilation")]
    is_plain = set(dilation) == {1} and not any(graph.numbers(node, "ceil_mode"))
    return (kernel, stride, padding) if is_plain and len(kernel) == len(stride) == len(padding) == 3 else None


def shape_of_three(shapes: Shapes, node: Any) -> Shape | None:
    x, told = shapes.of(node.input[0]), pool_of_three(shapes.graph, node)
    if x is None or told is None or len(x) != 5:
        return None
    kernel, stride, padding = told
    return _slid(node, x[:2], x[2:], list(zip(kernel, stride, strict=True)), [2 * size for size in padding])


def _padded(shapes: Shapes, node: Any) -> Shape | None:
    x = shapes.of(node.input[0])
    paddings = None if x is None else paddings_of(shapes.graph, node, len(x))
    if x is None or paddings is None:
        return None
    return tuple(
        size if not any(pair) else named(node.output[0], axis) if size.names else Size(size.number + sum(pair))
        for axis, (size, pair) in enumerate(zip(x, paddings, strict=True))
    )


WINDOW_RULES: dict[str, Rule] = {
    "Conv2D": _convolution,
    "MaxPool": _pooling,
    "AvgPool": _averages,
    **dict.fromkeys(PADDINGS, _padded),
}
