"""What numpy computes between chains where MindSpore is not called: casts, places of the largest, whole numbers.

These have no kernel, for hardly a network takes long for them: many a classifier ends with one. Axes are counted from
the end, so that instances may be along a further first axis. ../plain_steps.py computes them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mindspore_serving.worker.rewrites.file_constants import BOOL, FLOAT16, FLOAT32, INT8, INT32, INT64, UINT8
from mindspore_serving.worker.rewrites.graph_file import GraphFile
from mindspore_serving.worker.rewrites.lookups import EXACT

_TYPES: dict[int, type[np.generic]] = {
    FLOAT32: np.float32,
    FLOAT16: np.float16,
    UINT8: np.uint8,
    INT8: np.int8,
    INT32: np.int32,
    INT64: np.int64,
    BOOL: np.bool_,
}
_WHOLE = (INT32, INT64)
_PLACES = {"Argmax": "largest_place", "ArgMaxExt": "largest_place", "Argmin": "least_place"}
_WITH_VALUES = {"ArgMaxWithValue": ("largest_place", "largest"), "ArgMinWithValue": ("least_place", "least")}
_ARITHMETIC = {"Add": "sum", "Sub": "difference", "Mul": "product"}
_COMPARISONS = {
    "Greater": "is_more",
    "GreaterEqual": "is_not_less",
    "Less": "is_less",
    "LessEqual": "is_not_more",
    "Equal": "is_equal",
    "NotEqual": "is_another",
}
PAIRS = (*_WITH_VALUES, "TopK")  # what makes two values


@dataclass(frozen=True)
class Plain:
    """A step: the name of what is done, numbers of values or what is fixed, and what it is told besides."""

    operator: str
    given: tuple[int | npt.NDArray[Any], ...]
    told: tuple[Any, ...]


@dataclass(frozen=True)
class _Found:
    """The same, with names of values."""

    operator: str
    given: Sequence[str]
    told: tuple[Any, ...]


_Rule = Callable[[GraphFile, Any], _Found | None]


def plain_step(graph: GraphFile, node: Any, numbers: Mapping[str, int]) -> Plain | None:
    """What a node does as such a step, given values of these numbers; None for anything else."""
    rule = _RULES.get(graph.op(node))
    return None if rule is None else _of_numbers(graph, rule(graph, node), numbers)


def pair_steps(graph: GraphFile, node: Any, numbers: Mapping[str, int]) -> list[Plain | None]:
    """Steps for both values that a node of PAIRS makes, if somebody needs them as a pair."""
    is_pair = any(graph.op(user) != "TupleGetItem" for user in graph.users(node.output[0]))
    return [_of_numbers(graph, _of_pair(graph, node, place), numbers) for place in (0, 1)] if is_pair else []


def _of_pair(graph: GraphFile, node: Any, place: Any) -> _Found | None:
    if place not in (0, 1):
        return None
    return (_of_order if graph.op(node) == "TopK" else _of_extreme)(graph, node, place)


def _item(graph: GraphFile, node: Any) -> _Found | None:
    pair = graph.maker(node.input[0])
    return _of_pair(graph, pair, graph.constant(node.input[1])) if graph.op(pair) in PAIRS else None


def _of_numbers(graph: GraphFile, found: _Found | None, numbers: Mapping[str, int]) -> Plain | None:
    if found is None:
        return None
    given = [numbers[name] if name in numbers else _fixed(graph, name) for name in found.given]
    known = tuple(one for one in given if one is not None)
    is_fixed = all(isinstance(one, np.ndarray) for one in known)
    return None if is_fixed or len(known) < len(given) else Plain(found.operator, known, found.told)


def _fixed(graph: GraphFile, name: str) -> npt.NDArray[Any] | None:
    """What is in the file: whole numbers, as int64, or float32."""
    constant = graph.constant(name)
    if isinstance(constant, int | float) and not isinstance(constant, bool):
        return np.asarray(constant, np.int64 if isinstance(constant, int) else np.float32)
    whole = graph.whole_numbers(name)
    return graph.array(name) if whole is None else whole


def _from_the_end(axis: Any, rank: int) -> int | None:
    is_axis = isinstance(axis, int) and not isinstance(axis, bool) and -rank <= axis < rank
    return axis % rank - rank if is_axis else None


def _cast(graph: GraphFile, node: Any) -> _Found | None:
    given, made = graph.value(node.input[0]), graph.value(node.output[0])
    if given is None or made is None or not {given.data_type, made.data_type} <= _TYPES.keys():
        return None
    return _Found("cast", node.input[:1], (_TYPES[made.data_type], graph.numbers(node, EXACT) == (1,)))


def _place(graph: GraphFile, node: Any) -> _Found | None:
    """Of the largest or the least along an axis."""
    x, made = graph.value(node.input[0]), graph.value(node.output[0])
    if x is None or made is None or x.data_type != FLOAT32 or made.data_type not in _WHOLE or len(node.input) < 2:
        return None
    axis, keeps = _from_the_end(graph.constant(node.input[1]), len(x.shape)), len(made.shape) == len(x.shape)
    return (
        None if axis is None else _Found(_PLACES[graph.op(node)], node.input[:1], (axis, keeps, _TYPES[made.data_type]))
    )


def _of_extreme(graph: GraphFile, node: Any, place: int) -> _Found | None:
    """The first of two is where it is, the second what it is."""
    x = graph.value(node.input[0])
    if x is None or x.data_type != FLOAT32 or len(node.input) != 3:
        return None
    axis, keeps = _from_the_end(graph.constant(node.input[1]), len(x.shape)), graph.constant(node.input[2])
    if axis is None or not isinstance(keeps, bool):
        return None
    told = (axis, keeps) if place else (axis, keeps, np.int64)
    return _Found(_WITH_VALUES[graph.op(node)][place], node.input[:1], told)


def _of_order(graph: GraphFile, node: Any, place: int) -> _Found | None:
    """The first of two are the largest numbers of the last axis, in order, the second where they are."""
    x, count = graph.value(node.input[0]), graph.constant(node.input[1])
    if x is None or x.data_type != FLOAT32 or not x.shape or graph.numbers(node, "sorted") != (1,):
        return None
    if not isinstance(count, int) or not 0 < count <= x.shape[-1]:
        return None
    return _Found("largest_places" if place else "largest_ones", node.input[:1], (count,))


def _one_hot(graph: GraphFile, node: Any) -> _Found | None:
    """Along a last axis, of float32."""
    x, made = graph.value(node.input[0]), graph.value(node.output[0])
    if x is None or made is None or x.data_type not in _WHOLE or made.data_type != FLOAT32 or len(node.input) != 5:
        return None
    depth, on, off, axis = (graph.constant(name) for name in node.input[1:])
    if not all(isinstance(one, int | float) for one in (depth, on, off)) or axis not in (-1, len(x.shape)) or depth < 1:
        return None
    return _Found("one_hot", node.input[:1], (int(depth), float(on), float(off)))


def _gathered(graph: GraphFile, node: Any) -> _Found | None:
    """Fixed places along an axis of a size that is known."""
    x, places = graph.value(node.input[0]), graph.whole_numbers(node.input[1])
    if x is None or places is None or x.data_type not in _TYPES or len(node.input) != 4:
        return None
    axis = _from_the_end(graph.constant(node.input[2]), len(x.shape))
    if axis is None or graph.constant(node.input[3]) != 0 or places.size == 0:
        return None
    is_there = places.min() >= 0 and places.max() < x.shape[axis]  # of an open size, nothing is
    return _Found("gathered", node.input[:2], (axis,)) if is_there else None


def _arithmetic(graph: GraphFile, node: Any) -> _Found | None:
    made = graph.value(node.output[0])
    if made is None or made.data_type not in _WHOLE or not _are_alike(graph, node, len(made.shape), (made.data_type,)):
        return None
    return _Found(_ARITHMETIC[graph.op(node)], node.input, (_TYPES[made.data_type],))


def _comparison(graph: GraphFile, node: Any) -> _Found | None:
    made = graph.value(node.output[0])
    if made is None or not _are_alike(graph, node, len(made.shape), (FLOAT32, *_WHOLE)):
        return None
    return _Found(_COMPARISONS[graph.op(node)], node.input, ())


def _are_alike(graph: GraphFile, node: Any, rank: int, types: Sequence[int]) -> bool:
    """Whether it is given two values of one of these types and as many axes; one may be fixed, and have fewer."""
    kinds: set[bool] = set()  # whether it is of whole numbers
    for name in node.input:
        fixed, value = _fixed(graph, name), graph.value(name)
        if fixed is not None and fixed.ndim <= rank:
            kinds.add(fixed.dtype.kind == "i")
        elif fixed is None and value is not None and value.data_type in types and len(value.shape) == rank:
            kinds.add(value.data_type in _WHOLE)
        else:
            return False
    return len(node.input) == 2 and len(kinds) == 1


_RULES: dict[str, _Rule] = {
    "Cast": _cast,
    "OneHot": _one_hot,
    "Gather": _gathered,
    "TupleGetItem": _item,
    **dict.fromkeys(_PLACES, _place),
    **dict.fromkeys(_ARITHMETIC, _arithmetic),
    **dict.fromkeys(_COMPARISONS, _comparison),
}
