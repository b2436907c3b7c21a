"""How many batches each of several masters may have open at one worker: one each, and one more, which is lent.

So the device always has the next batch at hand and is never given more than the number of masters plus one. The spare
one goes to a master that uses up its own; it is asked back when another one is busy while the holder needs it no more.
With one master there is nobody to share with: it has two.

    Credit(2) ──> holder ... Credit(1) ──> holder answers CreditKept(1) ──> Credit(2) to the next
"""

from collections.abc import Hashable, Sequence
from typing import Generic, TypeVar

M = TypeVar("M", bound=Hashable)

ASK_BACK_AFTER = 4  # batches of a busy master during which the holder has not used the spare one


class Purse(Generic[M]):
    """The worker's side. What a method returns is to be told: (master, its credit from now on)."""

    def __init__(self, masters: Sequence[M]) -> None:
        self._open = dict.fromkeys(masters, 0)
        self._wanted = dict.fromkeys(masters, 0)  # batches for which the spare one would have been of use
        self._holder: M | None = masters[0] if len(masters) == 1 else None
        self._asked_back = False

    def joined(self, master: M) -> None:
        """There is one more master."""
        self._open[master] = self._wanted[master] = 0

    def credit(self, master: M) -> int:
        """What this master may have open."""
        return 2 if master == self._holder else 1

    def started(self, master: M) -> list[tuple[M, int]]:
        """A batch of this master has come."""
        self._open[master] += 1
        if master == self._holder:
            if self._open[master] > 1:
                self._wanted = dict.fromkeys(self._wanted, 0)
            return []
        self._wanted[master] += 1
        if self._holder is None:
            return self._lend(master)
        if self._wanted[master] >= ASK_BACK_AFTER and not self._asked_back:
            self._asked_back = True
            return [(self._holder, 1)]
        return []

    def finished(self, master: M) -> None:
        """A batch of this master is done, for whatever registration."""
        self._open[master] -= 1

    def kept(self, master: M, batches: int) -> list[tuple[M, int]]:
        """The master has confirmed its credit."""
        return self._take_back() if master == self._holder and self._asked_back and batches == 1 else []

    def lost(self, master: M) -> list[tuple[M, int]]:
        """The master is not connected any more: it will register with a credit of its own."""
        self._wanted[master] = 0
        if len(self._open) == 1 or master != self._holder:
            return []
        return self._take_back()

    def _take_back(self) -> list[tuple[M, int]]:
        holder, self._holder, self._asked_back = self._holder, None, False
        hungriest = max(self._wanted, key=lambda master: self._wanted[master] if master != holder else -1)
        return self._lend(hungriest) if self._wanted[hungriest] and hungriest != holder else []

    def _lend(self, master: M) -> list[tuple[M, int]]:
        self._holder = master
        self._wanted = dict.fromkeys(self._wanted, 0)
        return [(master, 2)]
