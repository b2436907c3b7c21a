"""What the thread that runs batches does while it has nothing to do: for a while, it looks for the next one itself.

Else two threads are woken up for each batch of a caller who is alone: the link's, and by that the one that runs it.
"""

import os
import time
from collections.abc import Callable

from mindspore_serving.cluster.patience import Patience
from mindspore_serving.worker.link import Link

IsCrowded = Callable[[], bool]  # whether more threads want to run than there are cores


class BusyPoll:
    """A work thread's pastime."""

    def __init__(self, link: Link, patience: Patience, is_crowded: IsCrowded) -> None:
        self._link = link
        self._patience = patience
        self._is_crowded = is_crowded

    def begins(self, has_work: Callable[[], bool]) -> None:
        """Returns when there is work, or is likely to be none for longer than a look is worth."""
        if not self._patience.begins(time.monotonic()):
            self._link.give_back()
            return
        if not self._link.take_over():
            return
        try:
            self._patience.look(
                lambda: not self._link.look() or has_work(),
                time.monotonic,
                os.sched_yield,
                is_crowded=self._keeps_others_waiting,
            )
        finally:
            self._link.keep_or_give_back()

    def _keeps_others_waiting(self) -> bool:
        """Whether others wait for a core, with more to do than one caller has, while this thread only looks.

        The system leaves two threads on one core, and one on the other, though that one looks: on two cores, master and
        callers of the add had one between them for seconds, and gave two thirds of the answers.
        """
        return self._link.had_several and self._is_crowded()

    def ends(self) -> None:
        """There is work."""
        self._patience.ends(time.monotonic())
