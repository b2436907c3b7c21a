"""The link's line, lent to the thread that runs batches: it waits for the next one there, and may keep it meanwhile.

While it runs a small batch the next one can wait for it: to read that, the link's own thread would take its core, and
Python's lock. The link takes the line back from who runs a batch for long, or has stopped looking for good.
"""

from mindspore_serving.cluster.messages import RunBatch
from mindspore_serving.cluster.tensors import Column, Stacked

_SMALL_BYTES = 64 * 1024  # of a column that is read in no time


class Loan:
    """Of one line. Whoever asks holds the link's lock."""

    def __init__(self) -> None:
        self.is_open = False  # another thread reads the line
        self.rests = False  # it sleeps there
        self.may_be_kept = False  # the last batch that was started is small
        self.had_several = False  # it has several instances
        self._looks = self._looks_before = 0  # so far; and so many at the last check

    def looked(self) -> None:
        """The borrower has just read."""
        self._looks += 1

    def started(self, batch: RunBatch) -> None:
        """This one runs from now on."""
        self.may_be_kept = all(map(_is_small, batch.columns))
        self.had_several = batch.count > 1

    def is_due(self, runs: bool) -> bool:
        """Whether the borrower does not read any more. To be asked when the link's own thread is awake."""
        has_looked = self._looks != self._looks_before
        self._looks_before = self._looks
        return self.is_open and (runs or not (has_looked or self.rests))


def _is_small(column: Column) -> bool:
    return isinstance(column, Stacked) and len(column.data) <= _SMALL_BYTES
