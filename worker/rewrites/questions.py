"""What the conditions of branches ask of shapes, answered from what is known of them.

An open size is 1 or more: nobody runs a graph for no instances.
"""

from collections.abc import Sequence

from mindspore_serving.worker.rewrites.graph_file import GraphFile
from mindspore_serving.worker.rewrites.shape_protocol import Shapes
from mindspore_serving.worker.rewrites.sizes import Size, product

_ORDER = {"ScalarGt": 1, "ScalarLt": -1}  # which way the first number differs from the second


class Questions:
    """Of a graph whose nodes may still come, in order."""

    def __init__(self, graph: GraphFile, shapes: Shapes) -> None:
        self._graph = graph
        self._shapes = shapes

    def truth(self, name: str) -> bool | None:
        """Of a condition; None where it is not known."""
        constant, node = self._graph.constant(name), self._graph.maker(name)
        if isinstance(constant, bool):
            return constant
        op = self._graph.op(node)
        if op == "BoolNot":
            truth = self.truth(node.input[0])
            return None if truth is None else not truth
        if op == "is_":
            both = [self.truth(given) for given in node.input]
            return None if None in both else both[0] == both[1]
        if op == "tuple_equal":
            return self._are_alike(*node.input[:2])
        if op == "InSequence":
            return self._is_among(*node.input[:2])
        if op == "ScalarEq":
            return are_equal(*[self._number(given) for given in node.input])
        if op in _ORDER:
            return is_ordered(_ORDER[op], *[self._number(given) for given in node.input])
        return None

    def _are_alike(self, one: str, other: str) -> bool | None:
        if one == other or self._shape_of(one) == self._shape_of(other) != "":
            return True
        first, second = self._shapes.numbers(one), self._shapes.numbers(other)
        if first is None or second is None:
            return None
        if len(first) != len(second):
            return False
        answers = [are_equal(*pair) for pair in zip(first, second, strict=True)]
        return _all(answers)

    def _is_among(self, one: str, several: str) -> bool | None:
        constant, sizes = self._graph.constant(one), self._shapes.numbers(several)
        if isinstance(constant, int) and constant < 0 and self._shape_of(several):
            return False
        if sizes is None:
            return None
        are_others = [_not(are_equal(self._number(one), size)) for size in sizes]
        return _not(_all(are_others))

    def _shape_of(self, name: str) -> str:
        """The value whose shape this is; nothing for anything else."""
        node = self._graph.maker(name)
        return str(node.input[0]) if self._graph.op(node) == "Shape" else ""

    def _number(self, name: str) -> Size | None:
        node = self._graph.maker(name)
        op, shape = self._graph.op(node), None
        if op in ("Rank", "Size"):
            shape = self._shapes.of(node.input[0])
        elif op in ("sequence_len", "shape_mul") and self._shape_of(node.input[0]):
            shape = self._shapes.of(self._shape_of(node.input[0]))
        if shape is None:
            return self._shapes.number(name)
        return Size(len(shape)) if op in ("Rank", "sequence_len") else product(shape)


def are_equal(one: Size | None, other: Size | None) -> bool | None:
    """Whether two numbers are the same, whatever open sizes are; None where that is not known."""
    if one is None or other is None:
        return None
    one, other = [size if size.number else Size(0) for size in (one, other)]
    if one == other:
        return True
    if not one.names and not other.names:
        return False
    # A number times sizes of 1 and more is none that is less, nor one that it does not divide.
    for several, number in ((one, other), (other, one)):
        if not number.names and (number.number < several.number or number.number % several.number):
            return False
    return None


def is_ordered(wanted: int, one: Size | None, other: Size | None) -> bool | None:
    """Whether the first of two numbers is larger, or smaller where -1 is wanted; None where that is not known."""
    if one is None or other is None or one.names or other.names:
        return None
    return (one.number - other.number) * wanted > 0


def _all(answers: Sequence[bool | None]) -> bool | None:
    if False in answers:
        return False
    return None if None in answers else True


def _not(answer: bool | None) -> bool | None:
    return None if answer is None else not answer
