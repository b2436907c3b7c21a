"""`master.context` of both generations: what start scripts set for the masters of their process."""

from typing import Protocol

from mindspore_serving.cluster.arguments import check_int
from mindspore_serving.cluster.dispatch_events import Limits


class _Master(Protocol):
    def set_max_enqueued_requests(self, count: int) -> None: ...


class _Context:
    """The one setting, and the masters that it holds for."""

    def __init__(self) -> None:
        self.max_enqueued_requests = Limits().max_enqueued_requests
        self.masters: list[_Master] = []


_context = _Context()  # calls without an object, as the start calls are: see start_scripts.py


def set_max_enqueued_requests(max_enqueued_requests: int) -> None:
    """How many requests may wait or run in a master of this process, 10000 by default; one more is refused at once.

    May be called before and after the master is started. Raises RuntimeError unless it is an int of at least 1.
    """
    check_int("max_enqueued_requests", max_enqueued_requests, 1)
    _context.max_enqueued_requests = max_enqueued_requests
    for master in list(_context.masters):
        master.set_max_enqueued_requests(max_enqueued_requests)


def watch(master: _Master) -> int:
    """The number so far; the master is told of every change until forget()."""
    _context.masters.append(master)
    return _context.max_enqueued_requests


def forget(master: _Master) -> None:
    """The master ends."""
    _context.masters.remove(master)
