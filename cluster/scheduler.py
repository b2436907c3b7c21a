"""Which replica gets the next batch: the one with the fewest open, in turn among equals."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Slots(Generic[T]):
    """Replicas sorted by how many batches they have open; each may have `window` of them, or fewer.

    A window of two lets the next batch travel while one runs. Every operation costs the same for any number of
    replicas (it looks at `window` ordered sets).
    """

    def __init__(self, window: int) -> None:
        self._with_open: list[OrderedDict[T, None]] = [OrderedDict() for _ in range(window)]

    def place(self, replica: T, open_batches: int, window: int) -> None:
        """Says how many batches the replica has open now; with `window` or more it waits until it has fewer."""
        self.remove(replica)
        if open_batches < min(window, len(self._with_open)):
            self._with_open[open_batches][replica] = None

    def remove(self, replica: T) -> None:
        for bucket in self._with_open:
            if replica in bucket:
                del bucket[replica]

    def __contains__(self, replica: T) -> bool:
        """Whether it may be sent another batch."""
        return any(replica in bucket for bucket in self._with_open)

    def idle(self) -> T | None:
        """A replica with nothing open, the one that waits longest."""
        return next(iter(self._with_open[0]), None)

    def pick(self) -> T | None:
        """The replica with the fewest open batches that has room, the one that waits longest among equals."""
        return next((replica for bucket in self._with_open for replica in bucket), None)
