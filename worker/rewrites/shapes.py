"""Sizes that a file leaves open although they follow from others, told before a rule asks for them.

With an open number of instances, MindSpore 2.10 loses sight of all sizes behind ops.pad, x.view(x.shape[0], -1), or a
MaxPool2d with padding; and no rule takes what it does not know. Those that are open in fact have names here, so that
one which is divided by itself, as in that view, is known again.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mindspore_serving.worker.rewrites.file_constants import INT32, INT64
from mindspore_serving.worker.rewrites.graph_file import GraphFile
from mindspore_serving.worker.rewrites.shape_protocol import Shapes
from mindspore_serving.worker.rewrites.shape_rules import EACH_OF, FIRST_OF, RESIZES, RULES
from mindspore_serving.worker.rewrites.sizes import OPEN, Shape, Size, named

_INSTANCES = named("instances", 0)  # what an open first axis of an input counts, and of any other input too
_END_MASK = 5  # of the inputs of StridedSlice


def tell_shapes(graph: GraphFile) -> None:
    """Writes each such size into the graph, and each shape that is computed as a constant, where one is enough."""
    shapes = _Shapes(graph)
    for node in graph.nodes:
        if graph.op(node) == "StridedSlice":
            node = _with_ends(graph, shapes, node)
        if graph.op(node) in RESIZES:
            node = _with_size(graph, shapes, node)
        shape = shapes.of(node.output[0])
        if shape is None:
            continue
        sizes = [size.known for size in shape]
        graph.tell_shape(node, sizes)
        if graph.op(node) == "Reshape" and sizes.count(OPEN) < 2:
            _give(graph, node, sizes)


def shapes_of(graph: GraphFile, *, together: bool = False) -> Shapes:
    """What is known of the shapes of a graph's values; each is looked at once.

    together: the open first sizes of all inputs are the same, that of the instances.
    """
    return _Shapes(graph, together=together)


def _give(graph: GraphFile, reshape: Any, sizes: Sequence[int]) -> None:
    """A Reshape its shape as a constant."""
    value, (x, computed) = graph.value(reshape.output[0]), reshape.input
    if value is None or isinstance(graph.constant(computed), tuple):
        return
    constant = graph.new.constant(tuple(sizes))
    graph.replace([reshape], [constant, graph.new.node("Reshape", [x, constant], value, reshape.output[0])])
    graph.remove_unused(computed)


def _with_ends(graph: GraphFile, shapes: "_Shapes", node: Any) -> Any:
    """A StridedSlice with constant ends, if these are computed of sizes; the size of an axis is its end."""
    x, value, computed = shapes.of(node.input[0]), graph.value(node.output[0]), graph.maker(node.input[2])
    mask = graph.constant(node.input[_END_MASK])
    if x is None or value is None or graph.op(computed) != "MakeTuple" or not isinstance(mask, int):
        return node
    ends: list[int] = []
    for axis, name in enumerate(computed.input):
        number, size = graph.constant(name), shapes.number(name)
        if size is not None and size.known == OPEN and axis < len(x) and size == x[axis]:
            mask |= 1 << axis
            number = 0
        elif size is not None:
            number = size.known
        if not isinstance(number, int) or (size is not None and number == OPEN):
            return node
        ends.append(number)
    constants = [graph.new.constant(tuple(ends)), graph.new.constant(mask)]
    given = [*node.input[:2], constants[0], *node.input[3:_END_MASK], constants[1], *node.input[_END_MASK + 1 :]]
    new = graph.new.node("StridedSlice", given, value, node.output[0])
    graph.replace([node], [*constants, new])
    graph.remove_unused(computed.output[0])
    return new


def _with_size(graph: GraphFile, shapes: "_Shapes", node: Any) -> Any:
    """A resize with a constant size, if that is computed of what is fixed, as of a scale."""
    sizes, value = shapes.numbers(node.input[1]), graph.value(node.output[0])
    known = [size.known for size in sizes or () if size is not None]
    if sizes is None or len(known) < len(sizes) or OPEN in known or value is None:
        return node
    if isinstance(graph.constant(node.input[1]), tuple):
        return node
    constant = graph.new.constant(tuple(known))
    new = type(node)()
    new.CopyFrom(node)
    new.input[1] = constant.output[0]
    graph.replace([node], [constant, new])
    graph.remove_unused(node.input[1])
    return new


class _Shapes:
    """Of the values of a graph: in order, so that those before them are found."""

    def __init__(self, graph: GraphFile, *, together: bool = False) -> None:
        self.graph = graph
        self._found: dict[str, Shape | None] = {}
        self._together = frozenset(graph.inputs if together else ())

    def of(self, name: str) -> Shape | None:
        """None where not even the number of axes is known."""
        if name not in self._found:
            self._found[name] = self._told(name, self._inferred(self.graph.maker(name)))
        return self._found[name]

    def _told(self, name: str, inferred: Shape | None) -> Shape | None:
        """What the file tells; where it leaves a size open, what has been inferred, if that is the same otherwise."""
        value = self.graph.value(name) or self.graph.constant_tensor(name)
        if value is None and isinstance(self.graph.constant(name), int | float):
            return ()
        if value is None:
            return inferred
        new = tuple(named(name, axis) for axis in range(len(value.shape)))
        if name in self._together and new:
            new = (_INSTANCES, *new[1:])
        if inferred is None or len(inferred) != len(new):
            inferred = new
        both = list(zip(value.shape, inferred, strict=True))
        if any(size not in (OPEN, one.known) and one.known != OPEN for size, one in both):
            both = list(zip(value.shape, new, strict=True))
        return tuple(Size(size) if size >= 0 else one for size, one in both)

    def _inferred(self, node: Any) -> Shape | None:
        rules = RULES
        if self.graph.op(node) == "TupleGetItem":
            rules = FIRST_OF | EACH_OF if self.graph.constant(node.input[1]) == 0 else EACH_OF
            node = self.graph.maker(node.input[0])
        rule = rules.get(self.graph.op(node))
        return None if rule is None else rule(self, node)

    def number(self, name: str) -> Size | None:
        """A size that is computed, or a constant; None for anything else, and below 0."""
        node, constant = self.graph.maker(name), self.graph.constant(name)
        if isinstance(constant, int) and not isinstance(constant, bool):
            return Size(constant) if constant >= 0 else None
        if self.graph.op(node) == "TupleGetItem":
            sizes, place = self.numbers(node.input[0]), self.graph.constant(node.input[1])
            is_known = sizes is not None and isinstance(place, int) and -len(sizes) <= place < len(sizes)
            return sizes[place] if sizes is not None and is_known else None
        if self.graph.op(node) not in ("ScalarMul", "ScalarFloorDiv"):
            return None
        one, other = [self.number(given) for given in node.input]
        if one is None or other is None:
            return None
        return one.times(other) if self.graph.op(node) == "ScalarMul" else one.over(other)

    def _array(self, name: str) -> npt.NDArray[Any] | None:
        """Numbers that are fixed, or computed of such, as sizes are of a scale."""
        node = self.graph.maker(name)
        if self.graph.op(node) == "TruncateDiv":
            one, other = [self._array(given) for given in node.input]
            return None if one is None or other is None or not other.all() else np.trunc(one / other)
        if self.graph.op(node) == "Cast":
            given, made = self._array(node.input[0]), self.graph.value(name)
            is_whole = made is not None and made.data_type in (INT32, INT64)
            return given.astype(np.int64) if is_whole and given is not None else None
        if self.graph.op(node) == "TupleToTensor":
            known = [OPEN if size is None else size.known for size in self.numbers(node.input[0]) or (None,)]
            return None if OPEN in known else np.asarray(known)
        constant = self.graph.constant(name)
        if isinstance(constant, int | float):
            return np.asarray(constant)
        whole = self.graph.whole_numbers(name)
        return self.graph.array(name) if whole is None else whole

    def numbers(self, name: str) -> Sequence[Size | None] | None:
        """Several of them; None where not even their number is known."""
        node, constant = self.graph.maker(name), self.graph.constant(name)
        if isinstance(constant, tuple):
            return [Size(number) if number >= 0 else None for number in constant]
        if self.graph.op(node) == "Shape":
            return self.of(node.input[0])
        if self.graph.op(node) == "TensorToTuple":
            array = self._array(node.input[0])
            return None if array is None or array.ndim != 1 else [Size(int(one)) if one >= 0 else None for one in array]
        return [self.number(given) for given in node.input] if self.graph.op(node) == "MakeTuple" else None
