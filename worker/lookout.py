"""How the thread that runs batches waits for the next one: at the line itself, looking for a while, then asleep.

Else two threads are woken up for each batch of a caller who is alone: the link's, and by that the one that runs it.
"""

import os
import time
from collections.abc import Callable

from mindspore_serving.cluster.patience import Patience
from mindspore_serving.worker.lent_line import LentLine

IsCrowded = Callable[[], bool]  # whether more threads want to run than there are cores


class Lookout:
    """A work thread's pastime.

    is_crowded: a core may be used to look, unless this says that others want it; None: it may not.
    """

    def __init__(self, line: LentLine, is_crowded: IsCrowded | None, patience: Patience) -> None:
        self._line = line
        self._is_crowded = is_crowded
        self._patience = patience
        self.is_asleep = False  # or about to be

    def begins(self, has_work: Callable[[], bool]) -> None:
        """Returns when there is work, or no line to wait at."""
        looks = self._patience.begins(time.monotonic()) and self._is_crowded is not None
        if not self._line.take_over():
            return
        try:
            if looks:
                self._look(has_work)
            while self._sleeps(has_work) and self._line.look():
                pass
        finally:
            self._line.keep_or_give_back()

    def wake(self) -> None:
        """There is work, from any thread."""
        if self.is_asleep:
            self._line.ring()

    def ends(self) -> None:
        """There is work."""
        self._patience.ends(time.monotonic())

    def _look(self, has_work: Callable[[], bool]) -> None:
        """Until there is work, or is likely to be none for longer than a look is worth."""
        self._patience.look(
            lambda: not self._line.look() or has_work(),
            time.monotonic,
            os.sched_yield,
            is_crowded=self._keeps_others_waiting,
        )

    def _keeps_others_waiting(self) -> bool:
        """Whether others wait for a core, with more to do than one caller has, while this thread only looks.

        The system leaves two threads on one core, and one on the other, though that one looks: on two cores, master and
        callers of the add had one between them for seconds, and gave two thirds of the answers.
        """
        return self._line.had_several and self._is_crowded is not None and self._is_crowded()

    def _sleeps(self, has_work: Callable[[], bool]) -> bool:
        """Until something has come. False when there is work, or no line."""
        self.is_asleep = True  # from here on wake() rings: what was posted before is seen
        try:
            return not has_work() and self._line.rest()
        finally:
            self.is_asleep = False
