"""One Client's calls, all but the I/O: where each attempt goes, what its end means, what the caller is told."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc

from mindspore_serving.client.retries import RetryBudget, RetryRules, Rotation, Waits
from mindspore_serving.client.wire_values import read_reply
from mindspore_serving.proto import ms_service_pb2 as pb

Results: TypeAlias = list[dict[str, Any]] | dict[str, Any]

PREDICT = "/mindspore.serving.proto.MSService/Predict"
# CANCELLED only when no one here cancelled: a server that stops in the middle of a call says that.
_TRY_AGAIN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
_AS_GOOD_AS_EVER_SECONDS = 1e9  # thirty years; gRPC takes what goes beyond the 23rd century for a moment that is past
# What a master says that does not know the servable, or not yet again (contract of the original; cluster/registry.py).
_NOT_AVAILABLE = b", servable is not available"


@dataclass(frozen=True, slots=True)
class RpcFailure:
    """An attempt ended without a reply. `pushback_seconds`: the server's wish; below 0: do not come again."""

    code: grpc.StatusCode
    text: str
    pushback_seconds: float = 0.0

    @classmethod
    def of(cls, error: Any) -> "RpcFailure":
        """From a grpc.RpcError of either API, which is also the call that failed."""
        return cls(error.code(), error.details() or "", _pushback(error.trailing_metadata() or ()))


CANCELLED = RpcFailure(grpc.StatusCode.CANCELLED, "the call was cancelled")
CLOSED = RpcFailure(grpc.StatusCode.CANCELLED, "this Client is closed")
# As gRPC says it of a reply that is no PredictReply.
_UNREADABLE = RpcFailure(grpc.StatusCode.INTERNAL, "Exception deserializing response!")
Ending: TypeAlias = pb.PredictReply | RpcFailure


class Calls:
    """What the calls of one Client share."""

    def __init__(self, rules: RetryRules, channels: int) -> None:
        self.rules = rules
        self.budget = RetryBudget()
        self.rotation = Rotation(channels)
        self.has_succeeded = threading.Event()  # the servable and the method exist

    def begin(self, timeout: float | None, now: float) -> "Call":
        """A call of now. `timeout` None: without a deadline."""
        return Call(self, None if timeout is None else now + timeout)


class Call:
    """One call: attempt() and ended() by turns, until ended() returns None; then result()."""

    def __init__(self, calls: Calls, deadline: float | None) -> None:
        self._calls = calls
        self._deadline = deadline
        self._waits = Waits(calls.rules, calls.budget, deadline)
        self._channel = 0
        self._ending: Ending = CANCELLED
        self._trouble = ""  # why an earlier attempt failed

    def attempt(self, now: float) -> tuple[int, float | None]:
        """The number of the channel to call next, and the seconds that are left."""
        self._channel = self._calls.rotation.pick(now)
        if self._deadline is None:
            return self._channel, None
        return self._channel, min(max(0.0, self._deadline - now), _AS_GOOD_AS_EVER_SECONDS)

    def ended(self, ending: Ending | None, now: float, chance: float) -> float | None:
        """How the attempt ended. Returns the seconds until the next one, or None: result() is final.

        `ending` None: status OK and no reply. So ends what has none; and, in gRPC's asyncio, what has one that is none.
        """
        ending = self._ending = _UNREADABLE if ending is None else ending
        calls = self._calls
        if isinstance(ending, RpcFailure):
            if ending.code not in _TRY_AGAIN:
                return None
            pushback = ending.pushback_seconds
            self._trouble = ending.text
        else:
            if not _forgotten(ending):
                calls.has_succeeded.set()
            if not _forgotten(ending) or not calls.has_succeeded.is_set():
                calls.budget.succeeded()
                calls.rotation.succeeded(self._channel)
                return None
            pushback = 0.0  # a master that was just started: its workers come back to it in a moment
        another_is_ready = calls.rotation.failed(self._channel, now)
        return None if pushback < 0 else self._waits.after_failure(now, chance, pushback, another_is_ready)

    def stop(self, why: RpcFailure) -> None:
        """result() is this from now on."""
        self._ending = why

    def result(self) -> Results:
        """What the caller gets. Raises RuntimeError for a corrupt reply."""
        ending = self._ending
        if not isinstance(ending, RpcFailure):
            return read_reply(ending)
        text = ending.text
        if ending.code is grpc.StatusCode.DEADLINE_EXCEEDED and self._trouble:
            text += f"; before that: {self._trouble}"
        return {"error": f"Grpc Error, {ending.code.value}, {text}"}


def _forgotten(reply: pb.PredictReply) -> bool:
    errors = reply.error_msg
    return len(errors) == 1 and bool(errors[0].error_code) and errors[0].error_msg.endswith(_NOT_AVAILABLE)


def _pushback(metadata: Iterable[tuple[str, str | bytes]]) -> float:
    """The seconds of grpc-retry-pushback-ms; anything but a number means: do not come again (gRFC A6)."""
    for key, value in metadata:
        if key == "grpc-retry-pushback-ms":
            text = value.decode(errors="replace") if isinstance(value, bytes) else value
            return int(text) / 1000 if text.isascii() and text.isdigit() else -1.0
    return 0.0
