"""What comes of a request: values of the instances that succeeded, in columns, and a failure for each other one."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias

from mindspore_serving.cluster.errors import Code, Failure
from mindspore_serving.cluster.tensors import Column, Instance, from_column, join_columns

Result: TypeAlias = Instance | Failure


_NONE: Mapping[int, Failure] = MappingProxyType({})


class Results:
    """Of `count` instances. `columns`: one for each output, over those that succeeded, in order; none if nobody did."""

    __slots__ = ("columns", "count", "failures")

    def __init__(self, count: int, columns: tuple[Column, ...], failures: Mapping[int, Failure] = _NONE) -> None:
        self.count = count
        self.columns = columns
        self.failures = failures  # index -> why

    def each(self) -> list[Result]:
        """A result for each instance, in order. Tensors share the columns' memory."""
        values: Iterator[Instance] = iter([()] * (self.count - len(self.failures)))  # of a method without outputs
        if self.columns:
            values = zip(*map(from_column, self.columns), strict=True)
        if not self.failures:
            return list(values)
        return [failure if (failure := self.failures.get(i)) is not None else next(values) for i in range(self.count)]

    def collapsed(self) -> "Results | Failure":
        """One failure when all instances failed alike, as MindSpore Serving 2.0.2 answers."""
        if len(self.failures) < self.count:
            return self
        alike = set(self.failures.values())
        return alike.pop() if len(alike) == 1 else self


class Collected:
    """The results of one request as they come in, piece by piece, in any order."""

    __slots__ = ("_failures", "_pieces", "missing")

    def __init__(self, count: int) -> None:
        self.missing = count
        self._pieces: list[tuple[int, tuple[Column, ...]]] = []  # first index, columns
        self._failures: dict[int, Failure] = {}

    def succeed(self, start: int, count: int, columns: tuple[Column, ...]) -> None:
        """`count` instances from `start` on have these values."""
        self._pieces.append((start, columns))
        self.missing -= count

    def fail(self, index: int, failure: Failure) -> None:
        """This instance has none."""
        self._failures[index] = failure
        self.missing -= 1

    def has_failed(self, index: int) -> bool:
        """Whether this instance's result is a failure."""
        return index in self._failures

    def deadly_alone(self, count: int) -> "Collected":
        """Anew, but for the instances that are given up because their workers died."""
        anew = Collected(count)
        for index, failure in self._failures.items():
            if failure.code is Code.DEADLY:
                anew.fail(index, failure)
        return anew

    def all(self, count: int) -> Results:
        """To be asked when nothing is missing."""
        pieces = self._pieces
        if len(pieces) == 1:
            return Results(count, pieces[0][1], self._failures)
        pieces.sort(key=_first_index)
        columns: Sequence[Sequence[Column]] = [columns for _, columns in pieces]
        return Results(count, tuple(map(join_columns, zip(*columns, strict=True))), self._failures)


def _first_index(piece: tuple[int, tuple[Column, ...]]) -> int:
    return piece[0]
