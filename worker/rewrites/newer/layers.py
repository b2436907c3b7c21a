"""Convolutions, norms and tables of words, as mindspore.mint makes them."""

from typing import Any

import numpy as np

from mindspore_serving.worker.rewrites.file_constants import FLOAT32
from mindspore_serving.worker.rewrites.graph_file import GraphFile
from mindspore_serving.worker.rewrites.in_place import has_changes
from mindspore_serving.worker.rewrites.kernel_nodes import float_value
from mindspore_serving.worker.rewrites.newer.spelling import (
    Given,
    Spelling,
    first_item,
    number,
    sizes,
)
from mindspore_serving.worker.rewrites.values import SIZE, Value

_OPEN = -1
_NCHW, _NCDHW = 0, 14  # MindSpore's enumeration of formats
_Told = dict[str, bool | int | str | tuple[int, ...]]


def _window(
    kernel: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...], dilation: tuple[int, ...]
) -> _Told:
    """What Conv2D and Conv2DTranspose are told of a window."""
    around = (padding[0], padding[0], padding[1], padding[1])
    return {
        "kernel_size": kernel,
        "stride": (1, 1, *stride),
        "dilation": (1, 1, *dilation),
        "pad": around,
        "pad_list": around,
        "pad_mode": "pad",
        "format": "NCHW",
        "mode": 1,
    }


def _convolution(graph: GraphFile, node: Any) -> bool:
    """x, weights, bias or None, stride, padding, dilation, groups."""
    return _convolve(graph, node, node.input[6])


def _any_convolution(graph: GraphFile, node: Any) -> bool:
    """x, weights, bias or None, stride, padding, dilation, is it transposed, what is put behind it then, groups."""
    return graph.constant(node.input[6]) is False and _convolve(graph, node, node.input[8])


def _convolve(graph: GraphFile, node: Any, groups: str) -> bool:
    x, made = float_value(graph, node.input[0], 4), float_value(graph, node.output[0], 4)
    weights, group = float_value(graph, node.input[1], 4), graph.constant(groups)
    stride, padding, dilation = [sizes(graph, name, 2) for name in node.input[3:6]]
    if x is None or made is None or weights is None or not isinstance(group, int):
        return False
    if stride is None or padding is None or dilation is None or min(weights.shape) < 1:
        return False
    spelling = Spelling(graph, node)
    told = _window(weights.shape[2:], stride, padding, dilation)
    told |= {"out_channel": weights.shape[0], "group": group, "groups": group}
    convolved = spelling.make("Conv2D", node.input[:2], made, told)
    return _with_bias(graph, node, spelling, convolved, made)


def _with_bias(graph: GraphFile, node: Any, spelling: Spelling, made: str, value: Value, layout: int = _NCHW) -> bool:
    if graph.constant(node.input[2]) is not None:
        spelling.make("BiasAdd", [made, node.input[2], layout], value)
    return spelling.put()


def _convolution_of_lines(graph: GraphFile, node: Any) -> bool:
    """The same of sequences: images of one row."""
    x, made = float_value(graph, node.input[0], 3), float_value(graph, node.output[0], 3)
    weights, group = float_value(graph, node.input[1], 3), graph.constant(node.input[6])
    stride, padding, dilation = [sizes(graph, name, 1) for name in node.input[3:6]]
    if x is None or made is None or weights is None or not isinstance(group, int):
        return False
    if stride is None or padding is None or dilation is None or min(weights.shape) < 1:
        return False
    images, outputs, kernels = [Value(FLOAT32, (*value.shape[:2], 1, value.shape[2])) for value in (x, made, weights)]
    spelling = Spelling(graph, node)
    told = _window(kernels.shape[2:], (1, *stride), (0, *padding), (1, *dilation))
    told |= {"out_channel": weights.shape[0], "group": group, "groups": group}
    given = [
        spelling.make("ExpandDims", [node.input[0], 2], images),
        spelling.make("ExpandDims", [node.input[1], 2], kernels),
    ]
    row = spelling.make("Conv2D", given, outputs, told)
    if graph.constant(node.input[2]) is not None:
        row = spelling.make("BiasAdd", [row, node.input[2], _NCHW], outputs)
    spelling.make("Squeeze", [row, (2,)], made)
    return spelling.put()


def _convolution_of_volumes(graph: GraphFile, node: Any) -> bool:
    """The same of three axes."""
    x, made = float_value(graph, node.input[0], 5), float_value(graph, node.output[0], 5)
    weights, group = float_value(graph, node.input[1], 5), graph.constant(node.input[6])
    stride, padding, dilation = [sizes(graph, name, 3) for name in node.input[3:6]]
    if x is None or made is None or weights is None or group != 1:
        return False
    if stride is None or padding is None or dilation is None or min(weights.shape) < 1:
        return False
    around = tuple(size for size in padding for _ in range(2))
    spelling = Spelling(graph, node)
    told: _Told = {
        "kernel_size": weights.shape[2:],
        "stride": stride,
        "strides": (1, 1, *stride),
        "dilation": dilation,
        "dilations": (1, 1, *dilation),
        "group": 1,
        "groups": 1,
        "mode": 1,
        "pad": around,
        "pad_list": around,
        "pad_mode": "pad",
        "format": "NCDHW",
        "out_channel": weights.shape[0],
    }
    convolved = spelling.make("Conv3D", node.input[:2], made, told)
    return _with_bias(graph, node, spelling, convolved, made, _NCDHW)


def _transposed_convolution(graph: GraphFile, node: Any) -> bool:
    """x, weights, bias or None, stride, padding, what is put behind, groups, dilation."""
    x, made = float_value(graph, node.input[0], 4), float_value(graph, node.output[0], 4)
    weights = float_value(graph, node.input[1], 4)
    stride, padding, behind = [sizes(graph, name, 2) for name in node.input[3:6]]
    dilation = sizes(graph, node.input[7], 2)
    if x is None or made is None or weights is None or graph.constant(node.input[6]) != 1 or min(weights.shape) < 1:
        return False
    if stride is None or padding is None or behind != (0, 0) or dilation is None or min(made.shape[1:]) < 1:
        return False
    spelling = Spelling(graph, node)
    told = _window(weights.shape[2:], stride, padding, dilation)
    told |= {"pad_mode": "PAD", "out_channel": weights.shape[0], "group": 1, "groups": 1}
    shape: Given = made.shape
    if made.shape[0] < 1:
        count = spelling.first(spelling.make("Shape", node.input[:1], [SIZE] * 4), SIZE)
        shape = spelling.make("MakeTuple", [count, *made.shape[1:]], [SIZE] * 4)
    spread = spelling.make("Conv2DTranspose", [*node.input[:2], shape], made, told)
    return _with_bias(graph, node, spelling, spread, made)


def _batch_norm(graph: GraphFile, node: Any) -> bool:
    """x, gamma or None, beta or None, mean, variance, is this training, momentum, epsilon."""
    item, x = first_item(graph, node), float_value(graph, node.input[0])
    mean = float_value(graph, node.input[3], 1) or graph.constant_tensor(node.input[3])
    if item is None or x is None or mean is None or graph.constant(node.input[5]) is not False:
        return False
    if mean.data_type != FLOAT32 or not 2 <= len(x.shape) <= 4 or x.shape[1] < 1 or _OPEN in x.shape[2:]:
        return False
    images = Value(FLOAT32, (*x.shape, 1, 1)[:4]) if len(x.shape) < 4 else x
    spelling = Spelling(graph, node, item)
    given, is_flat = node.input[0], len(x.shape) < 4
    if is_flat:
        given = spelling.make("Reshape", [given, (_OPEN, *images.shape[1:])], images)
    factors = [
        np.full(mean.shape, default, np.float32) if graph.constant(name) is None else name
        for name, default in zip(node.input[1:3], (1, 0), strict=True)
    ]
    told = [False, node.input[7], node.input[6], _NCHW]
    several = spelling.make("BatchNorm", [given, *factors, *node.input[3:5], *told], [images, *[mean] * 4])
    made = spelling.first(several, images)
    if is_flat:
        spelling.make("Reshape", [made, (_OPEN, *x.shape[1:])], x)
    return spelling.put()


def _layer_norm(graph: GraphFile, node: Any) -> bool:
    """x, the sizes of the last axes, gamma or None, beta or None, epsilon."""
    item, x = first_item(graph, node), float_value(graph, node.input[0])
    shape = graph.constant(node.input[1])
    if item is None or x is None or not isinstance(shape, tuple) or not 0 < len(shape) <= len(x.shape):
        return False
    if x.shape[-len(shape) :] != shape:
        return False
    spelling = Spelling(graph, node, item)
    factors = [
        np.full(shape, default, np.float32) if graph.constant(name) is None else name
        for name, default in zip(node.input[2:4], (1, 0), strict=True)
    ]
    first = -1 if len(shape) == 1 else len(x.shape) - len(shape)
    moments = Value(FLOAT32, (*x.shape[: -len(shape)], *[1] * len(shape)))
    several = spelling.make("LayerNorm", [node.input[0], *factors, first, first, node.input[4]], [x, moments, moments])
    spelling.first(several, x)
    return spelling.put()


def _instance_norm(graph: GraphFile, node: Any) -> bool:
    """x, gamma, beta, mean and variance of training, which are not used, a state."""
    item, x = first_item(graph, node), float_value(graph, node.input[0])
    tables = [graph.parameter_value(name) for name in node.input[1:3]]
    if item is None or x is None or len(node.input) != 6 or len(x.shape) < 3 or min(x.shape[1:]) < 1:
        return False
    if any(one is None or one != Value(FLOAT32, x.shape[1:2]) for one in tables):
        return False
    spelling, axes = Spelling(graph, node, item), tuple(range(2, len(x.shape)))
    kept = Value(FLOAT32, (*x.shape[:2], *[1] * len(axes)))
    factor = Value(FLOAT32, kept.shape[1:])
    gamma, beta = [
        spelling.make(
            "Reshape",
            [spelling.make("Load", [name, node.input[5]], Value(FLOAT32, x.shape[1:2])), factor.shape],
            factor,
        )
        for name in node.input[1:3]
    ]
    away = spelling.make("Sub", [node.input[0], spelling.make("ReduceMean", [node.input[0], axes, True], kept)], x)
    variance = spelling.make("ReduceMean", [spelling.make("Square", [away], x), axes, True], kept)
    share = spelling.make("Rsqrt", [spelling.make("Add", [variance, graph.real_number(node, "epsilon")], kept)], kept)
    scaled = spelling.make("Mul", [away, spelling.make("Mul", [share, gamma], kept)], x)
    spelling.make("Add", [scaled, beta], x)
    return spelling.put()


def _embedding(graph: GraphFile, node: Any) -> bool:
    """Which rows, the table, the row without a gradient, the most that a norm may be (not known), ..., a state."""
    made, rows = float_value(graph, node.output[0]), graph.value(node.input[0])
    if made is None or rows is None or len(node.input) != 7 or graph.constant(node.input[3]) is not None:
        return False
    table = graph.parameter_value(node.input[1]) or graph.value(node.input[1])
    if table is None or len(table.shape) != 2 or table.data_type != FLOAT32:
        return False
    spelling, given = Spelling(graph, node), node.input[1]
    if graph.is_parameter(given):  # as it lies there: what changes it is given no copy
        given = spelling.make("Load", [given, node.input[6]], table)
    spelling.make("Gather", [given, node.input[0], 0, 0], made)
    return spelling.put()


def _product_and_sum(graph: GraphFile, node: Any) -> bool:
    """What is added, two matrices, and what the former and their product are taken times."""
    made = float_value(graph, node.output[0], 2)
    times_added, times_product = [number(graph, name) for name in node.input[3:5]]
    if made is None or times_added is None or times_product is None:
        return False
    spelling, added = Spelling(graph, node), node.input[0]
    product = spelling.make("MatMul", [*node.input[1:3], False, False], made)
    if times_product != 1:
        product = spelling.make("Mul", [product, times_product], made)
    if times_added != 1:
        added = spelling.make("Mul", [added, times_added], graph.value(added) or made)
    spelling.make("Add", [product, added], made)
    return spelling.put()


def _copy(graph: GraphFile, node: Any) -> bool:
    """Not where something is changed in its place, which may be this."""
    value = graph.value(node.output[0])
    if value is None or has_changes(graph):
        return False
    spelling = Spelling(graph, node)
    spelling.make("Identity", node.input[:1], value)
    return spelling.put()


MISSING = {
    "Addmm": _product_and_sum,
    "Clone": _copy,
    "Conv1DExt": _convolution_of_lines,
    "Conv2DExt": _convolution,
    "Conv3DExt": _convolution_of_volumes,
    "Convolution": _any_convolution,
    "ConvTranspose2D": _transposed_convolution,
    "BatchNormExt": _batch_norm,
    "LayerNormExt": _layer_norm,
    "InstanceNorm": _instance_norm,
    "Embedding": _embedding,
}
