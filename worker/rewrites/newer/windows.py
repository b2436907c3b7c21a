"""Pools, images of another size, and what is put around values, as mindspore.mint makes them."""

from collections.abc import Sequence
from typing import Any

from mindspore_serving.worker.rewrites.file_constants import FLOAT32, INT64
from mindspore_serving.worker.rewrites.graph_file import GraphFile
from mindspore_serving.worker.rewrites.kernel_nodes import float_value
from mindspore_serving.worker.rewrites.newer.spelling import Spelling, alike, first_item, number, sizes
from mindspore_serving.worker.rewrites.values import Value

_VALID, _NCHW = 2, 0  # MindSpore's enumerations of paddings and formats


def _max_pool(graph: GraphFile, node: Any) -> bool:
    """x, kernel, stride, padding, dilation, may a window be cut off, the type of the places, which nobody asks for."""
    told = [sizes(graph, name, 2) for name in node.input[1:5]]
    return _pool_largest(graph, node, told, graph.constant(node.input[5]))


def _max_pool_told_by_attributes(graph: GraphFile, node: Any) -> bool:
    """The same, as ops.max_pool2d makes it."""
    told = [graph.numbers(node, name) for name in ("kernel_size", "strides", "pads", "dilation")]
    return _pool_largest(graph, node, [numbers[-2:] for numbers in told], any(graph.numbers(node, "ceil_mode")))


def _pool_largest(graph: GraphFile, node: Any, told: Sequence[Sequence[int] | None], may_be_part: Any) -> bool:
    """told: kernel, stride, padding, dilation."""
    item, pairs = first_item(graph, node), [pair for pair in told if pair is not None and len(pair) == 2]
    x = float_value(graph, node.input[0], 4)
    made = None if item is None else float_value(graph, item.output[0], 4)
    if x is None or made is None or len(pairs) != 4 or not isinstance(may_be_part, bool):
        return False
    kernel, stride, padding, dilation = pairs
    spelling = Spelling(graph, node, item)
    if not any(padding) and set(dilation) == {1} and not may_be_part:
        steps = {"kernel_size": (1, 1, *kernel), "strides": (1, 1, *stride)}
        spelling.make("MaxPool", node.input[:1], made, {**steps, "pad_mode": "VALID", "format": "NCHW"})
        return spelling.put()
    volumes, pooled = [Value(FLOAT32, (*value.shape[:2], 1, *value.shape[2:])) for value in (x, made)]
    several = spelling.make(
        "MaxPool3DWithArgmax",
        [spelling.make("ExpandDims", [node.input[0], 2], volumes)],
        [pooled, Value(INT64, pooled.shape)],
        {
            "ksize": (1, *kernel),
            "strides": (1, *stride),
            "pads": (0, *padding),
            "dilation": (1, *dilation),
            "ceil_mode": may_be_part,
            "format": "NCDHW",
            "argmax_type": "int64",
        },
    )
    spelling.make("Squeeze", [spelling.first(several, pooled), (2,)], made)
    return spelling.put()


def _average_pool(graph: GraphFile, node: Any) -> bool:
    """x, kernel, stride or (), padding, may a window be cut off, does padding count, what sums are divided by."""
    x, made = float_value(graph, node.input[0], 4), float_value(graph, node.output[0], 4)
    kernel, padding = sizes(graph, node.input[1], 2), sizes(graph, node.input[3], 2)
    stride = kernel if graph.constant(node.input[2]) in ((), None) else sizes(graph, node.input[2], 2)
    may_be_part, counts_padding, divisor = [graph.constant(name) for name in node.input[4:7]]
    if x is None or made is None or kernel is None or stride is None or padding is None or divisor is not None:
        return False
    if may_be_part is not False or not isinstance(counts_padding, bool):
        return False
    spelling = Spelling(graph, node)
    if padding == (0, 0):
        spelling.make("AvgPool", [node.input[0], kernel, stride, _VALID, _NCHW], made)
        return spelling.put()
    volumes, pooled = [Value(FLOAT32, (*value.shape[:2], 1, *value.shape[2:])) for value in (x, made)]
    around = (0, 0, *(size for size in padding for _ in range(2)))
    means = spelling.make(
        "AvgPool3D",
        [spelling.make("ExpandDims", [node.input[0], 2], volumes)],
        pooled,
        {
            "kernel_size": (1, 1, 1, *kernel),
            "strides": (1, 1, 1, *stride),
            "format": "NCDHW",
            "divisor_override": 0,
            "pad": around,
            "pad_list": around,
            "pad_mode": "PAD",
            "ceil_mode": False,
            "count_include_pad": counts_padding,
        },
    )
    spelling.make("Squeeze", [means, (2,)], made)
    return spelling.put()


def _means_of_parts(graph: GraphFile, node: Any) -> bool:
    """x, and into how many rows and columns it is taken apart."""
    made, parts = alike(graph, node), sizes(graph, node.input[1], 2)
    if made is None or parts is None or min(parts) < 1 or len(made.shape) != 4:
        return False
    spelling = Spelling(graph, node)
    spelling.make("AdaptiveAvgPool2D", node.input[:1], made, {"output_size": parts})
    return spelling.put()


def _bilinear(graph: GraphFile, node: Any) -> bool:
    """x, the size or None, the scales or None, do corners stay corners."""
    x, made = float_value(graph, node.input[0], 4), float_value(graph, node.output[0], 4)
    stay = graph.constant(node.input[3])
    if x is None or made is None or min(made.shape[2:]) < 1 or not isinstance(stay, bool):
        return False
    if graph.constant(node.input[2]) is not None and not _is_whole(x, made):
        return False  # what is told may be another scale than that of the sizes
    spelling = Spelling(graph, node)
    spelling.make("ResizeBilinearV2", [node.input[0], made.shape[2:], stay, not stay], made)
    return spelling.put()


def _nearest(graph: GraphFile, node: Any) -> bool:
    """x, the size or None, the scales or None: by whole factors."""
    x, made = float_value(graph, node.input[0], 4), float_value(graph, node.output[0], 4)
    if x is None or made is None or not _is_whole(x, made):
        return False
    spelling = Spelling(graph, node)
    spelling.make("ResizeNearestNeighborV2", [node.input[0], made.shape[2:], False, False], made)
    return spelling.put()


def _is_whole(x: Value, made: Value) -> bool:
    """Whether height and width are multiples of what they were."""
    pairs = list(zip(x.shape[2:], made.shape[2:], strict=True))
    return all(size > 0 and to >= size and to % size == 0 for size, to in pairs)


def _constant_around(graph: GraphFile, node: Any) -> bool:
    """x, before and behind each axis from the last on, the number."""
    made, around, what = alike(graph, node), graph.constant(node.input[1]), number(graph, node.input[2])
    if made is None or not isinstance(around, tuple) or min(around, default=-1) < 0 or what is None:
        return False
    spelling = Spelling(graph, node)
    spelling.make("PadV3", [node.input[0], around, what], made, {"mode": "constant", "paddings_contiguous": True})
    return spelling.put()


def _mirrored_around(graph: GraphFile, node: Any) -> bool:
    """x, before and behind each axis from the last on: what lies there is seen in a mirror."""
    return _around(graph, node, "reflect")


def _edges_around(graph: GraphFile, node: Any) -> bool:
    """The same, where the first and the last are repeated."""
    return _around(graph, node, "edge")


def _around(graph: GraphFile, node: Any, how: str) -> bool:
    made, around = alike(graph, node), graph.constant(node.input[1])
    if made is None or not isinstance(around, tuple) or min(around, default=-1) < 0:
        return False
    spelling = Spelling(graph, node)
    spelling.make("PadV3", [node.input[0], around, None], made, {"mode": how, "paddings_contiguous": True})
    return spelling.put()


MISSING = {
    "MaxPoolWithMask": _max_pool,
    "AvgPool2D": _average_pool,
    "AdaptiveAvgPool2DExt": _means_of_parts,
    "UpsampleBilinear2D": _bilinear,
    **{f"ReflectionPad{count}D": _mirrored_around for count in (1, 2, 3)},
    **{f"ReplicationPad{count}D": _edges_around for count in (1, 2, 3)},
}
SLOW = {
    "MaxPoolWithArgmaxV2": _max_pool_told_by_attributes,
    "UpsampleNearest2D": _nearest,
    "ConstantPadND": _constant_around,
}
