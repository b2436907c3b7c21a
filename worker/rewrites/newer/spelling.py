"""The nodes that take the place of one, or of some that follow each other."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mindspore_serving.worker.rewrites.graph_file import GraphFile
from mindspore_serving.worker.rewrites.kernel_nodes import float_value
from mindspore_serving.worker.rewrites.new_nodes import Attributes
from mindspore_serving.worker.rewrites.values import Value

Rule = Callable[[GraphFile, Any], bool]
# The name of a value, or a constant.
Given = str | None | bool | int | float | tuple[int, ...] | npt.NDArray[np.float32]


class Spelling:
    """Takes the place of these nodes, the last of which makes what others use, when `put` is called."""

    def __init__(self, graph: GraphFile, *old: Any) -> None:
        self._graph = graph
        self._old = old
        self._new: list[Any] = []

    def make(
        self, op: str, given: Sequence[Given], value: Value | Sequence[Value], attributes: Attributes | None = None
    ) -> str:
        """An operator, given values by name and constants. Returns the name of what it makes: a value, or several."""
        inputs = [one if isinstance(one, str) else self._constant(one) for one in given]
        self._new.append(self._graph.new.node(op, inputs, value, attributes=attributes or {}))
        return str(self._new[-1].output[0])

    def first(self, several: str, value: Value, number: int = 0) -> str:
        """The first of several that an operator makes, or another one."""
        return self.make("TupleGetItem", [several, number], value)

    def put(self) -> bool:
        """What was made last takes the place of what was. Returns True."""
        last, name = self._new[-1], self._old[-1].output[0]
        last.name = last.output[0] = name
        self._graph.replace(self._old, self._new)
        return True

    def _constant(self, constant: Any) -> str:
        self._new.append(self._graph.new.constant(constant))
        return str(self._new[-1].output[0])


def first_item(graph: GraphFile, node: Any, number: int = 0) -> Any:
    """The TupleGetItem of the first of several values, if nobody uses the others; None otherwise."""
    item = graph.only_user(node.output[0])
    is_first = graph.op(item) == "TupleGetItem" and graph.constant(item.input[1]) == number
    return item if is_first else None


def sizes(graph: GraphFile, name: str, count: int) -> tuple[int, ...] | None:
    """So many whole numbers, where one may stand for all; None for anything else."""
    given = graph.constant(name)
    told = (given,) if isinstance(given, int) and not isinstance(given, bool) else given
    if not isinstance(told, tuple) or len(told) not in (1, count):
        return None
    return told * count if len(told) == 1 else told


def number(graph: GraphFile, name: str) -> float | None:
    """A number that is told; None for anything else."""
    given = graph.constant(name)
    return float(given) if isinstance(given, int | float) and not isinstance(given, bool) else None


def axes_of(graph: GraphFile, name: str, rank: int) -> tuple[int, ...] | None:
    """Which of so many axes are told, from 0 on; None where that is not known, or none is told: all of them."""
    given = graph.constant(name)
    told = (given,) if isinstance(given, int) and not isinstance(given, bool) else given
    if not isinstance(told, tuple) or not told or not all(-rank <= axis < rank for axis in told):
        return None
    return tuple(axis % rank for axis in told)


def slice_of(spelling: Spelling, x: str, value: Value, axis: int, span: tuple[int, int]) -> str:
    """The places of a span along an axis, all of the others."""
    begin, end, step = [(*[fill] * axis, last) for fill, last in zip((0, 0, 1), (*span, 1), strict=True)]
    all_before = (1 << axis) - 1
    made = Value(value.data_type, (*value.shape[:axis], span[1] - span[0], *value.shape[axis + 1 :]))
    return spelling.make("StridedSlice", [x, begin, end, step, all_before, all_before, 0, 0, 0], made)


def alike(graph: GraphFile, node: Any) -> Value | None:
    """What a node makes, if it is float32, and so is what it is given first."""
    return None if float_value(graph, node.input[0]) is None else float_value(graph, node.output[0])
