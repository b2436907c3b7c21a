"""Sizes of axes, of which some are open: what is known of their products and quotients."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

OPEN = -1


@dataclass(frozen=True)
class Size:
    """A number, times open sizes, each by its name."""

    number: int
    names: tuple[str, ...] = ()

    @property
    def known(self) -> int:
        """As files have it: OPEN, or the number."""
        return OPEN if self.names else self.number

    def times(self, other: "Size") -> "Size":
        """The product."""
        return Size(self.number * other.number, tuple(sorted(self.names + other.names)))

    def over(self, other: "Size") -> "Size | None":
        """The quotient; None where it is not known, or not whole."""
        left = list(self.names)
        for name in other.names:
            if name not in left:
                return None
            left.remove(name)
        is_whole = other.number > 0 and self.number % other.number == 0
        return Size(self.number // other.number, tuple(left)) if is_whole else None


Shape = tuple[Size, ...]
ONE = Size(1)


def named(value: str, axis: int) -> Size:
    """An open size that nothing is known of: that of this axis of this value."""
    return Size(1, (f"{value}.{axis}",))


def product(sizes: Iterable[Size]) -> Size:
    """Of all of them."""
    return reduce(Size.times, sizes, ONE)
