"""Attention as one operator, and what transformers put around it: there are kernels for these on Ascend alone."""

from typing import Any

from mindspore_serving.worker.rewrites.file_constants import FLOAT32, TOLD_FLOAT32
from mindspore_serving.worker.rewrites.graph_file import GraphFile
from mindspore_serving.worker.rewrites.kernel_nodes import float_value
from mindspore_serving.worker.rewrites.newer.spelling import Spelling, alike, axes_of, first_item, number, slice_of
from mindspore_serving.worker.rewrites.values import Value

_OPEN = -1
_BSH, _BNSD, _BSND = 0, 1, 3  # MindSpore's enumeration of what the axes are
_ATTENTION = 3  # of four values
_UNLIMITED = 2147483647  # tokens before and behind
_NEVER = -1.0e38  # what is masked is no part of the whole: its exponential is 0


def _attention(graph: GraphFile, node: Any) -> bool:
    """Query, key, value, four that are not known, a mask, three that are not known, heads, what is kept, scale, ..."""
    item, given = first_item(graph, node, _ATTENTION), node.input[:3]
    if item is None or len(node.input) != 18 or not _is_plain(graph, node):
        return False
    heads, scale, layout = [graph.constant(node.input[place]) for place in (10, 12, 16)]
    query, mask = float_value(graph, given[0]), node.input[6]
    values = [_of_heads(float_value(graph, name), heads, layout) for name in given]
    known = [value for value in values if value is not None]
    masked = None if graph.constant(mask) is None else graph.value(mask)
    if query is None or len(known) != 3 or known[1] != known[2] or not isinstance(scale, float):
        return False
    if graph.constant(mask) is not None and masked is None:
        return False
    spelling, made = Spelling(graph, node, item), known[0]
    queries, keys, seen = [_take_heads(spelling, name, value, layout) for name, value in zip(given, known, strict=True)]
    pairs = Value(FLOAT32, (*made.shape[:3], known[1].shape[2]))
    scores = spelling.make("Mul", [spelling.make("BatchMatMul", [queries, keys, False, True], pairs), scale], pairs)
    if masked is not None:
        number_for_each = Value(FLOAT32, masked.shape)
        share = spelling.make("Cast", [mask, TOLD_FLOAT32], number_for_each)
        scores = spelling.make("Add", [scores, spelling.make("Mul", [share, _NEVER], number_for_each)], pairs)
    shares = spelling.make("Softmax", [scores, (-1,)], pairs)
    name = spelling.make("BatchMatMul", [shares, seen, False, False], made)
    return _put_heads(spelling, name, made, query, layout)


def _is_plain(graph: GraphFile, node: Any) -> bool:
    """Nothing is dropped, shifted, or told of parts of sequences."""
    absent = all(graph.constant(node.input[place]) is None for place in (3, 4, 5, 7, 8, 9))
    reach = [graph.constant(node.input[place]) for place in (13, 14)]
    kept, sparse = number(graph, node.input[11]), graph.constant(node.input[17])
    return absent and kept == 1.0 and sparse == 0 and all(isinstance(one, int) and one >= _UNLIMITED for one in reach)


def _of_heads(value: Value | None, heads: Any, layout: Any) -> Value | None:
    """[instance, head, place, number], of so many heads; None where that is not known."""
    if value is None or not isinstance(heads, int):
        return None
    shape = value.shape
    if layout == _BNSD and len(shape) == 4:
        found = shape
    elif layout == _BSND and len(shape) == 4:
        found = (shape[0], shape[2], shape[1], shape[3])
    elif layout == _BSH and len(shape) == 3 and shape[2] > 0 and shape[2] % heads == 0:
        found = (shape[0], heads, shape[1], shape[2] // heads)
    else:
        return None
    return Value(FLOAT32, found) if min(found[1:]) > 0 and found[1] == heads else None


def _take_heads(spelling: Spelling, name: str, value: Value, layout: Any) -> str:
    if layout == _BNSD:
        return name
    instances, heads, places, numbers = value.shape
    apart = Value(FLOAT32, (instances, places, heads, numbers))
    if layout == _BSH:
        name = spelling.make("Reshape", [name, (_OPEN, *apart.shape[1:])], apart)
    return spelling.make("Transpose", [name, (0, 2, 1, 3)], value)


def _put_heads(spelling: Spelling, name: str, value: Value, made: Value, layout: Any) -> bool:
    if layout != _BNSD:
        instances, heads, places, numbers = value.shape
        name = spelling.make("Transpose", [name, (0, 2, 1, 3)], Value(FLOAT32, (instances, places, heads, numbers)))
    if layout == _BSH:
        spelling.make("Reshape", [name, (_OPEN, *made.shape[1:])], made)
    return spelling.put()


def _turned_by_places(graph: GraphFile, node: Any) -> bool:
    """x, cosines, sines, and which numbers are a pair: 0, those of both halves. (a, b) becomes (a, b) c + (-b, a) s."""
    x, factors = alike(graph, node), [float_value(graph, name) for name in node.input[1:3]]
    if x is None or None in factors or graph.constant(node.input[3]) != 0 or x.shape[-1] < 2 or x.shape[-1] % 2:
        return False
    spelling, (given, cosines, sines) = Spelling(graph, node), node.input[:3]
    axis, half = len(x.shape) - 1, x.shape[-1] // 2
    part = Value(FLOAT32, (*x.shape[:-1], half))
    first, second = [slice_of(spelling, given, x, axis, span) for span in ((0, half), (half, 2 * half))]
    pair = spelling.make("MakeTuple", [spelling.make("Neg", [second], part), first], [part, part])
    turned = spelling.make("Mul", [spelling.make("Concat", [pair, axis], x), sines], x)
    spelling.make("Add", [spelling.make("Mul", [given, cosines], x), turned], x)
    return spelling.put()


def _root_mean_square_norm(graph: GraphFile, node: Any) -> bool:
    """x, gamma, epsilon: Zhang, Sennrich 2019, "Root Mean Square Layer Normalization", section 4."""
    item, x, gamma = first_item(graph, node), *(float_value(graph, name) for name in node.input[:2])
    epsilon = number(graph, node.input[2])
    if item is None or x is None or gamma is None or epsilon is None or len(gamma.shape) != 1:
        return False
    spelling, axis = Spelling(graph, node, item), (len(x.shape) - 1,)
    kept = Value(FLOAT32, (*x.shape[:-1], 1))
    mean = spelling.make("ReduceMean", [spelling.make("Square", node.input[:1], x), axis, True], kept)
    share = spelling.make("Rsqrt", [spelling.make("Add", [mean, epsilon], kept)], kept)
    spelling.make("Mul", [spelling.make("Mul", [node.input[0], share], x), node.input[1]], x)
    return spelling.put()


def _gated(graph: GraphFile, node: Any) -> bool:
    """x, and which axis has the gate in its first half."""
    x, made = float_value(graph, node.input[0]), float_value(graph, node.output[0])
    axes = None if x is None else axes_of(graph, node.input[1], len(x.shape))
    if x is None or made is None or axes is None or x.shape[axes[0]] < 2 or x.shape[axes[0]] % 2:
        return False
    spelling, (axis,) = Spelling(graph, node), axes
    half = x.shape[axis] // 2
    gate, other = [slice_of(spelling, node.input[0], x, axis, span) for span in ((0, half), (half, 2 * half))]
    spelling.make("Mul", [spelling.make("SiLU", [gate], made), other], made)
    return spelling.put()


MISSING = {
    "FlashAttentionScore": _attention,
    "RotaryPositionEmbedding": _turned_by_places,
    "RmsNorm": _root_mean_square_norm,
    "Swiglu": _gated,
}
