"""One process of load, with grpcio: callers that wait for their replies, or calls that leave on time."""

import functools
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import grpc

from mindspore_serving.bench.payload import Expected
from mindspore_serving.bench.schedule import fixed, poisson
from mindspore_serving.bench.tally import Tally

PREDICT = "/mindspore.serving.proto.MSService/Predict"
MAX_OPEN_CALLS = 10_000  # of one process of an open loop: a server that answers nothing must not fill our memory
_LAST_REPLIES_SECONDS = 5.0  # beyond the calls' own timeout
_REFUSED_PAUSE_SECONDS = 0.01
_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),  # a connection for each caller
    ("grpc.enable_retries", 0),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What one process sends. `callers` 0: an open loop of `rate` calls a second over all `shares` processes."""

    target: str
    bodies: tuple[bytes, ...]
    expected: tuple[Expected, ...]
    warm_up_seconds: float
    seconds: float
    timeout_seconds: float
    callers: int
    rate: float
    arrivals: str
    share: int
    shares: int
    seed: int


def open_channel(target: str) -> grpc.Channel:
    """A connection of its own."""
    return grpc.insecure_channel(target, options=_OPTIONS)


def error_text(error: Any) -> str:
    """A gRPC error in one line."""
    return f"gRPC status {error.code().name}: {error.details()}"


def perform(load: Load, start: float) -> Tally:
    """Runs the loop from the moment `start` (monotonic seconds) to its end."""
    cpu = time.process_time()
    tally = Tally()
    if load.callers:
        parts = [Tally() for _ in range(load.callers)]
        threads = [
            threading.Thread(target=_call_in_turn, args=(load, start, number, part), daemon=True)
            for number, part in enumerate(parts)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        tally.merge(parts)
    else:
        _OpenLoop(load, start, tally).run()
    tally.cpu_seconds = time.process_time() - cpu
    return tally


def _call_in_turn(load: Load, start: float, number: int, tally: Tally) -> None:
    """One caller of a closed loop. A call counts when it began within the time measured, however late its reply is."""
    since = start + load.warm_up_seconds
    until = since + load.seconds
    with open_channel(load.target) as channel:
        predict: Any = channel.unary_unary(PREDICT)
        time.sleep(max(0.0, start - time.monotonic()))
        while (called := time.monotonic()) < until:
            index = number % len(load.bodies)
            number += 1
            try:
                reply = predict(load.bodies[index], timeout=load.timeout_seconds)
            except grpc.RpcError as error:
                if called >= since:
                    tally.fail(error_text(error))
                time.sleep(_REFUSED_PAUSE_SECONDS)  # a server that is gone refuses at once
                continue
            answered = time.monotonic()
            if called < since:
                continue
            fault = load.expected[index].fault(reply)
            if fault is not None:
                tally.fail(fault)
            else:
                tally.latency.add(answered - called)
    tally.seconds = load.seconds


class _OpenLoop:
    """Calls leave at their moments, and latency counts from those: a late reply delays nobody, and hides nothing."""

    def __init__(self, load: Load, start: float, tally: Tally) -> None:
        self._load = load
        self._start = start
        self._tally = tally
        self._lock = threading.Lock()  # replies come in a thread of grpcio's
        self._room = threading.Semaphore(MAX_OPEN_CALLS)

    def run(self) -> None:
        load = self._load
        end = load.warm_up_seconds + load.seconds
        with open_channel(load.target) as channel:
            predict: Any = channel.unary_unary(PREDICT)
            for number, offset in enumerate(self._moments()):
                if offset >= end:
                    break
                moment = self._start + offset
                if (early := moment - time.monotonic()) > 0:
                    time.sleep(early)
                measured = offset >= load.warm_up_seconds
                if not self._room.acquire(blocking=False):
                    self._fail(f"not sent: {MAX_OPEN_CALLS} calls were open", measured)
                    continue
                if measured:
                    with self._lock:
                        self._tally.late.add(time.monotonic() - moment)
                index = number % len(load.bodies)
                call = predict.future(load.bodies[index], timeout=load.timeout_seconds)
                call.add_done_callback(functools.partial(self._answered, index, moment, measured))
            deadline = time.monotonic() + load.timeout_seconds + _LAST_REPLIES_SECONDS
            for _ in range(MAX_OPEN_CALLS):
                if not self._room.acquire(timeout=max(0.0, deadline - time.monotonic())):
                    self._fail("no end of a call, long after its timeout", True)
        self._tally.seconds = max(self._tally.seconds, load.seconds)

    def _moments(self) -> Iterator[float]:
        load = self._load
        if load.arrivals == "fixed":
            return fixed(load.rate, load.share, load.shares)
        return poisson(load.rate, load.shares, random.Random(load.seed * load.shares + load.share))

    def _answered(self, index: int, moment: float, measured: bool, call: Any) -> None:
        answered = time.monotonic()
        try:
            fault = self._load.expected[index].fault(call.result())
        except grpc.RpcError as error:
            fault = error_text(error)
        if fault is not None:
            self._fail(fault, measured)
        elif measured:
            with self._lock:
                self._tally.latency.add(answered - moment)
                since = self._start + self._load.warm_up_seconds
                self._tally.seconds = max(self._tally.seconds, answered - since)
        self._room.release()

    def _fail(self, text: str, measured: bool) -> None:
        if measured:
            with self._lock:
                self._tally.fail(text)
