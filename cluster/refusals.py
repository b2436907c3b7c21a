"""Why a request gets no result, in the words of MindSpore Serving 2.0.2 where it has any (shared/contract.md)."""

from mindspore_serving.cluster.batcher import Request
from mindspore_serving.cluster.dispatch_events import Arrival, Limits
from mindspore_serving.cluster.errors import Code, Failure
from mindspore_serving.cluster.messages import MethodSpec
from mindspore_serving.cluster.registry import Route


def too_many(limits: Limits) -> Failure:
    """As many requests as allowed are waiting or running."""
    text = f"Serving Error: enqueued requests count exceeds the limit {limits.max_enqueued_requests}"
    return Failure(Code.TOO_MANY_REQUESTS, text)


def too_large(limits: Limits) -> Failure:
    """What waits or runs takes as much memory as allowed."""
    text = f"Serving Error: enqueued requests exceed the limit of {limits.max_enqueued_bytes} bytes"
    return Failure(Code.TOO_MANY_REQUESTS, text)


def would_be_late(arrival: Arrival, seconds: float) -> Failure:
    """It is foretold to miss its deadline by so much."""
    wait = max(seconds, 0.001)
    text = f"{_request(arrival.route, arrival.method)}, too busy to be in time: try again in {wait:.3f} s"
    return Failure(Code.WOULD_BE_LATE, text, wait)


def is_late(request: Request) -> Failure:
    """It has waited so long that it cannot be in time any more."""
    return Failure(Code.WOULD_BE_LATE, f"{_request(request.route, request.method)}, too busy to be in time")


def deadline_passed(request: Request | Arrival) -> Failure:
    """Its caller does not wait any longer."""
    return Failure(Code.DEADLINE_PASSED, f"{_request(request.route, request.method)}, the deadline passed")


def gone(request: Request) -> Failure:
    """No worker is left that serves it. The code is that of the original for work that was queued then."""
    version = f" version({request.asked_version}) " if request.asked_version else ""
    text = f"{_request(request.route, request.method)}{version}, servable is not available"
    return Failure(Code.INVALID_INPUTS, text)


def deadly(request: Request, limits: Limits) -> Failure:
    """Too many workers have died while one of its instances ran."""
    text = f"the worker died {limits.max_attempts} times while it ran this instance: it is given up"
    return Failure(Code.DEADLY, f"{_request(request.route, request.method)}, {text}")


def not_repeated(request: Request) -> Failure:
    """The worker was lost, and the method may run at most once."""
    text = (
        "the worker was lost while it had this instance, which it may have run: "
        "it is not tried again because the method is registered with idempotent=False"
    )
    return Failure(Code.WORKER_UNAVAILABLE, f"{_request(request.route, request.method)}, {text}")


def quarantined(route: Route, method: MethodSpec, seconds: float) -> Failure:
    """Nothing of the method has been done since several of its workers died."""
    text = f"its workers died one after the other: it is tried again in {seconds:.1f} s"
    return Failure(Code.QUARANTINED, f"{_request(route, method)}, {text}", seconds)


def _request(route: Route, method: MethodSpec) -> str:
    return f"Request servable({route.servable}) method({method.name}) "
