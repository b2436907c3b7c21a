"""What the doors with real statuses answer to each kind of fault: one table for gRPC and HTTP together."""

import math
from collections.abc import Mapping
from typing import NamedTuple

from mindspore_serving.cluster.errors import Code, Failure, NotServed, RequestRefused
from mindspore_serving.master.service_table import RpcFault, Status

RETRY_AFTER_SECONDS = 1  # what an HTTP client is asked to wait where a later moment can help


class Fate(NamedTuple):
    """How a call ends: UNAVAILABLE only where another master, or a later moment, can help."""

    grpc: Status
    http: int


INVALID = Fate(Status.INVALID_ARGUMENT, 400)
FORBIDDEN = Fate(Status.PERMISSION_DENIED, 403)
NOT_FOUND = Fate(Status.NOT_FOUND, 404)
WRONG_METHOD = Fate(Status.UNIMPLEMENTED, 405)
ALREADY_THERE = Fate(Status.ALREADY_EXISTS, 409)
TOO_SLOW = Fate(Status.DEADLINE_EXCEEDED, 408)  # the request's own body did not come
TOO_LARGE = Fate(Status.RESOURCE_EXHAUSTED, 413)
UNKNOWN_ENCODING = Fate(Status.UNIMPLEMENTED, 415)
INTERNAL = Fate(Status.INTERNAL, 500)
UNIMPLEMENTED = Fate(Status.UNIMPLEMENTED, 501)
UNAVAILABLE = Fate(Status.UNAVAILABLE, 503)
OVERLOADED = Fate(Status.RESOURCE_EXHAUSTED, 429)  # not UNAVAILABLE: retries would only add to the load
EXPIRED = Fate(Status.DEADLINE_EXCEEDED, 504)

_OF_CODE: Mapping[Code, Fate] = {
    Code.FAILED: INTERNAL,
    Code.INVALID_INPUTS: INVALID,
    Code.SYSTEM_ERROR: INTERNAL,
    Code.WORKER_UNAVAILABLE: INTERNAL,  # it may have run, and may only once: UNAVAILABLE is asked for again
    Code.SERVABLE_UNAVAILABLE: UNAVAILABLE,
    Code.TOO_MANY_REQUESTS: OVERLOADED,
    Code.WOULD_BE_LATE: OVERLOADED,
    Code.DEADLINE_PASSED: EXPIRED,
    Code.DEADLY: INTERNAL,
    Code.QUARANTINED: UNAVAILABLE,
}


class CallFault(RpcFault):
    """A call ends with this fate. The text is one line that names the thing."""

    def __init__(self, fate: Fate, text: str, retry_seconds: float | None = None) -> None:
        # For a gRPC client's retry policy: gRFC A6.
        pushback = () if retry_seconds is None else (("grpc-retry-pushback-ms", str(math.ceil(retry_seconds * 1000))),)
        super().__init__(fate.grpc, text, pushback)
        self.fate = fate
        self.retry_seconds = retry_seconds  # how long to wait before trying again, where that is known


def refusal_fault(refused: RequestRefused) -> CallFault:
    """The fault that a refusal of the dispatcher's is."""
    fate = NOT_FOUND if isinstance(refused, NotServed) else _OF_CODE.get(refused.failure.code, INTERNAL)
    return CallFault(fate, str(refused))


def failure_fate(failure: Failure) -> Fate:
    """How a call ends whose answer is this failure. A code without an entry is a fault of ours."""
    return _OF_CODE.get(failure.code, INTERNAL)
