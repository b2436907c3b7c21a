"""The link's only line, as the thread that runs batches waits at it: see loan.py."""

import threading

from mindspore_serving.cluster.messages import RunBatch
from mindspore_serving.cluster.session_events import MessageArrived
from mindspore_serving.worker.bell import Bell
from mindspore_serving.worker.inbox import Inbox
from mindspore_serving.worker.loan import Loan
from mindspore_serving.worker.talks import Talks


class LentLine:
    """take_over() to keep_or_give_back() from one thread, the borrower's; resume_if_due() and close() from the link's.

    `turn`: the link's lock.
    """

    def __init__(self, turn: threading.Lock, talks: Talks, inbox: Inbox) -> None:
        self._turn = turn
        self._talks = talks
        self._inbox = inbox
        self._loan = Loan()
        self._bell = Bell()  # wakes up who rests

    def take_over(self) -> bool:
        """From now on the caller's thread reads what the only master says, by look(), until it gives that back.

        False, and the link's own thread reads, where there is more to wait for, or work in hand.
        """
        with self._turn:
            only = self._talks.only_line()
            if only is not None and self._talks.is_idle and only[1].pause():
                self._loan.is_open = True
            elif self._loan.is_open:
                self._resume()
            return self._loan.is_open

    def look(self) -> bool:
        """Takes in what has come, if anything. False when there is nothing to look for any more."""
        with self._turn:
            self._loan.looked()
            only = self._talks.only_line()
            if only is None:
                return False
            master, line = only
            for event in line.look():
                if isinstance(event, MessageArrived) and isinstance(event.message, RunBatch) and self._inbox.is_empty:
                    self._talks.handle(master, event)
                else:  # after it, all others, in their order
                    self._inbox.post(master, event)
            if line.is_blocked:
                self._inbox.wake()
            return self._talks.is_idle

    def rest(self) -> bool:
        """Sleeps until look() may find something, or ring(). False when there is nothing to wait for."""
        with self._turn:
            only = self._talks.only_line()
            sight = only[1].sight(self._bell.ear) if only is not None and self._loan.is_open else None
            if sight is None:
                return False
            self._loan.rests = True
        woken_by = dict(sight.poll())
        with self._turn:
            self._loan.rests = False
            if self._bell.ear.fileno() in woken_by:
                self._bell.silence()
        return True

    def ring(self) -> None:
        """Ends a rest(). From any thread."""
        self._bell.ring()

    def give_back(self) -> None:
        """The link's own thread reads again."""
        with self._turn:
            self._resume()

    def keep_or_give_back(self) -> None:
        """The caller's thread has stopped looking. If it has found a small batch, it keeps the line while that runs."""
        with self._turn:
            if self._talks.is_idle or not self._loan.may_be_kept:
                self._resume()

    @property
    def had_several(self) -> bool:
        """Whether the last batch had more than one instance."""
        return self._loan.had_several

    def started(self, batch: RunBatch) -> None:
        """This one runs from now on. The caller holds the link's lock."""
        self._loan.started(batch)

    def resume_if_due(self) -> None:
        """The link is awake: it reads again if the borrower does not any more. The caller holds the link's lock."""
        if self._loan.is_due(runs=not self._talks.is_idle):
            self._resume()

    def close(self) -> None:
        """No line is left to read. The caller holds the link's lock."""
        self._bell.ring()
        self._bell.close()

    def _resume(self) -> None:
        self._loan.is_open = False
        for line in self._talks.lines:
            line.resume()
