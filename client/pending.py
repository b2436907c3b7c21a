"""PendingResult: what infer_async returns. Its call is tried again in the background, also when nobody waits for it."""

import random
import threading
import time
from collections.abc import Callable
from typing import Any

import grpc

from mindspore_serving.client.alarm import Alarm
from mindspore_serving.client.calls import CANCELLED, CLOSED, Call, Results, RpcFailure

# Starts an attempt on a channel, with the seconds that are left. Raises ValueError on a closed channel, as gRPC does.
Start = Callable[[int, float | None], Any]


class PendingResult:
    """A call on its way."""

    def __init__(self, call: Call, start: Start, alarm: Alarm) -> None:
        self._call = call
        self._start: Start | None = start  # it holds the request, which may be large: until the call is settled
        self._alarm = alarm
        self._lock = threading.Lock()
        self._attempt: Any = None
        self._is_settled = threading.Event()
        self._next_attempt()

    def result(self, timeout: float | None = None) -> Results:
        """What infer would have returned, as soon as it is there; waits at most `timeout` seconds.

        Raises TimeoutError when it is not there by then; the call goes on.
        """
        if not self._is_settled.wait(timeout):
            raise TimeoutError(f"no reply within {timeout} s")
        return self._call.result()

    def done(self) -> bool:
        """Whether result() returns at once."""
        return self._is_settled.is_set()

    def cancel(self) -> bool:
        """Asks the server to forget the call. False when it is too late."""
        with self._lock:
            if self._is_settled.is_set():
                return False
            self._settle(CANCELLED)
            attempt = self._attempt
        if attempt is not None:
            attempt.cancel()
        return True

    def _next_attempt(self) -> None:
        with self._lock:
            if self._start is None:
                return
            channel, seconds_left = self._call.attempt(time.monotonic())
            try:
                self._attempt = self._start(channel, seconds_left)
            except ValueError:
                self._settle(CLOSED)
                return
            attempt = self._attempt
        attempt.add_done_callback(self._ended)

    def _ended(self, attempt: Any) -> None:
        """Called by a thread of gRPC's: it may not wait."""
        ending = attempt.result() if attempt.code() is grpc.StatusCode.OK else RpcFailure.of(attempt)
        with self._lock:
            if self._start is None:
                return
            wait = self._call.ended(ending, time.monotonic(), random.random())
            if wait is None:
                self._settle()
                return
        self._alarm.at(time.monotonic() + wait, self._next_attempt)

    def _settle(self, why: RpcFailure | None = None) -> None:
        if why is not None:
            self._call.stop(why)
        self._start = None
        self._is_settled.set()
