"""What a rule for shapes is, and what it may ask for."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from mindspore_serving.worker.rewrites.graph_file import GraphFile
from mindspore_serving.worker.rewrites.sizes import Shape, Size


class Shapes(Protocol):
    """What a rule asks for."""

    graph: GraphFile

    def of(self, name: str) -> Shape | None:
        """The shape of a value; None where not even the number of axes is known."""

    def number(self, name: str) -> Size | None:
        """A size, constant or computed; None where it is not known, or below 0."""

    def numbers(self, name: str) -> Sequence[Size | None] | None:
        """Sizes, constant or computed; None for each that is not known, or below 0."""


Rule = Callable[[Shapes, Any], Shape | None]
