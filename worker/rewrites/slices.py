"""What StridedSlice takes of each axis."""

from collections.abc import Sequence
from typing import Any

from mindspore_serving.worker.rewrites.graph_file import GraphFile

# The first place, how many there are, each which one of them, whether the axis goes.
Span = tuple[int, int, int, int]

WHOLE: Span = (0, 0, 1, 0)  # of an axis, whatever its size
_MASKS = 5  # axes that begin at their start, end at their end; ellipses, new axes; of which one place is left


def spans_of(graph: GraphFile, node: Any, sizes: Sequence[int]) -> list[Span] | None:
    """Of each axis of its input; None where one is not known, or goes backward. sizes: of these, -1 where open."""
    given = [graph.constant(name) for name in node.input[1:]]
    if len(given) != 3 + _MASKS or not all(isinstance(one, tuple) for one in given[:3]):
        return None
    places, masks = given[:3], given[3:]
    if not all(isinstance(mask, int) for mask in masks) or masks[2] or masks[3]:
        return None
    spans: list[Span] = []
    for axis, size in enumerate(sizes):
        bits = [bool(masks[kind] >> axis & 1) for kind in (0, 1, 4)]
        is_told = axis < min(map(len, places))
        span = _span(size, *(numbers[axis] for numbers in places), *bits) if is_told else WHOLE
        if span is None:
            return None
        spans.append(span)
    return spans


def _span(size: int, first: int, end: int, step: int, from_first: bool, to_end: bool, is_one: bool) -> Span | None:
    first = 0 if from_first and not is_one else first
    reaches_end = not is_one and (to_end or end == size >= 0)  # of an open axis, an end of -1 is no size
    if reaches_end and (first, step) == (0, 1):
        return WHOLE
    if size < 1:
        return None
    end = size if reaches_end else end
    first, end = first + size if first < 0 else first, min(end + size if end < 0 else end, size)
    if is_one:
        return (first, 1, 1, 1) if 0 <= first < size else None
    return (first, (end - first + step - 1) // step, step, 0) if step > 0 and 0 <= first < end else None
