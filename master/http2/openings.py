"""How connections begin, remembered for the next one that begins alike.

Both tables of a connection's header compression (RFC 7541) are empty at first. What a first block stands for, and what
it leaves in the table, is so the same for each connection that it is the first block of; and what the second one does,
behind the same first one. Clients of a kind begin with the same bytes, and our answers do. To read the first block of
a client takes 70 us, and to write the first two of ours 45.
"""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, NamedTuple, TypeAlias

MOST_STEPS = 256  # that are remembered of all connections, each way

Entries: TypeAlias = tuple[tuple[bytes, bytes], ...]


class Step(NamedTuple):
    """What a block was: its result, what it added to the table (the oldest entry first), and where that leads."""

    result: Any
    added: Entries
    after: "Opening"


class Opening:
    """A state of a table that was empty, by the blocks that have come since."""

    def __init__(self, first: "Opening | None" = None) -> None:
        self._first = first or self
        self._steps: dict[Any, Step] = {}
        self._room = MOST_STEPS  # of the first one: for all that follow

    def follow(self, block: Any, table: Any) -> Step | None:
        """The step that this block is, if it is known: then the table, of the hpack library, gets what it adds."""
        step = self._steps.get(block)
        if step is not None:
            for name, value in step.added:
                table.add(name, value)
        return step

    def remember(self, block: Any, result: Any, added: Entries) -> "Opening":
        """A step that was made. Returns the state that it led to. When there is no more room, all begins anew."""
        if not self._first._room:
            self._first._steps.clear()
            self._first._room = MOST_STEPS
        self._first._room -= 1
        after = Opening(self._first)
        self._steps[block] = Step(result, added, after)
        return after


class Openings:
    """Of all connections of a door."""

    def __init__(self) -> None:
        self.reading = Opening()
        self.writing = Opening()


class Mark:
    """A table as it was, to tell later what was added."""

    def __init__(self, entries: Sequence[object]) -> None:
        self._entries = entries
        self._size = len(entries)
        self._newest: object = entries[0] if entries else None

    def added(self) -> Entries | None:
        """What was added since, the oldest entry first. None: more has changed than that."""
        count = len(self._entries) - self._size
        if count < 0 or (self._size and self._entries[count] is not self._newest):
            return None
        newest_first: Iterable[Any] = islice(self._entries, count)
        return tuple((bytes(name), bytes(value)) for name, value in newest_first)[::-1]
