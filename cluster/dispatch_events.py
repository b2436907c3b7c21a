"""What goes into the dispatcher and what comes out of it: events and actions, and the limits that it keeps.

Those that each request or batch makes have an __init__ of their own: compiled, it takes an eighth of the time of a data
class's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from mindspore_serving.cluster.errors import Failure
from mindspore_serving.cluster.messages import FromMaster, FromWorker, MethodSpec
from mindspore_serving.cluster.registry import Route
from mindspore_serving.cluster.results import Results
from mindspore_serving.cluster.tensors import Column


@dataclass(frozen=True, slots=True)
class Limits:
    """What the dispatcher allows itself. Seconds are durations."""

    lease_seconds: float = 3.0
    window: int = 2  # open batches a replica: one runs, one waits
    just_in_time: bool = True  # what would wait behind a running batch leaves when that is nearly done; else at once
    max_attempts: int = 3  # workers that may die while an instance runs, before it is given up
    max_enqueued_requests: int = 10000
    max_enqueued_bytes: int = 4 << 30
    default_timeout_seconds: float = 300.0  # for requests that come without a deadline
    hang_seconds: float = 60.0  # a worker that does not get on for so long hangs; longer where batches take longer
    orphan_seconds: float = 60.0  # what was lost with a version's last replica waits so long for the next one
    quarantine_deaths: int = 5  # workers that a method may lose in a row, with no batch done in between


# --- events


class Arrival:
    """A request for `route`, as `Dispatcher.resolve` gave it: a column of `size` instances for each input, in order."""

    __slots__ = ("asked_version", "columns", "deadline", "method", "nbytes", "request_id", "route", "size")

    def __init__(
        self,
        request_id: int,
        asked_version: int,
        route: Route,
        method: MethodSpec,
        size: int,
        columns: tuple[Column, ...],
        nbytes: int,
        deadline: float | None = None,
    ) -> None:
        self.request_id = request_id
        self.asked_version = asked_version
        self.route = route
        self.method = method
        self.size = size
        self.columns = columns
        self.nbytes = nbytes
        self.deadline = deadline


@dataclass(init=False, slots=True)
class RequestsArrived:
    arrivals: Final[Sequence[Arrival]]

    def __init__(self, arrivals: Sequence[Arrival]) -> None:
        self.arrivals = arrivals


@dataclass(frozen=True, slots=True)
class RequestCancelled:
    """Its caller does not wait any more."""

    request_id: int


@dataclass(init=False, slots=True)
class MessageReceived:
    worker_id: Final[str]
    message: Final[FromWorker]

    def __init__(self, worker_id: str, message: FromWorker) -> None:
        self.worker_id = worker_id
        self.message = message


@dataclass(frozen=True, slots=True)
class PeerUnreachable:
    """The transport has no connection to this worker."""

    worker_id: str


@dataclass(frozen=True, slots=True)
class NonsenseReceived:
    """What this worker said cannot be read. It may have been an answer, which does not come again."""

    worker_id: str


@dataclass(frozen=True, slots=True)
class ConnectionDropped:
    """Some worker's connection is gone; the transport cannot say whose."""


@dataclass(frozen=True, slots=True)
class Draining:
    """No new request comes any more: the master stops when those that it has are answered."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Nothing but time has passed."""


Event: TypeAlias = (
    RequestsArrived
    | RequestCancelled
    | MessageReceived
    | PeerUnreachable
    | NonsenseReceived
    | ConnectionDropped
    | Draining
    | Tick
)


# --- actions


@dataclass(init=False, slots=True)
class Send:
    worker_id: Final[str]
    message: Final[FromMaster]

    def __init__(self, worker_id: str, message: FromMaster) -> None:
        self.worker_id = worker_id
        self.message = message


class Answer:
    """The end of a request: results, in the order of `outputs`, or one failure for all of it."""

    __slots__ = ("outputs", "request_id", "results", "version")

    def __init__(self, request_id: int, outputs: tuple[str, ...], results: Results | Failure, version: int = 0) -> None:
        self.request_id = request_id
        self.outputs = outputs
        self.results = results
        self.version = version  # that answered; 0: the request was not accepted


@dataclass(frozen=True, slots=True)
class Report:
    """Something happened that an operator wants in the log."""

    level: str
    text: str


Action: TypeAlias = Send | Answer | Report
