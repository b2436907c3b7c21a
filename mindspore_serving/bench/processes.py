"""Several processes of load that start at the same moment."""

import multiprocessing
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

import grpc

from mindspore_serving.bench.load import PREDICT, Load, error_text, open_channel, perform
from mindspore_serving.bench.tally import Tally
from mindspore_serving.cluster.errors import SetupError

_START_SECONDS = 60.0  # for a process to start and to reach the server
_HEAD_START_SECONDS = 0.1
_GRACE_SECONDS = 30.0
_SWITCH_SECONDS = 0.0005  # the thread that sends takes turns with those that read replies


def run_processes(loads: Sequence[Load]) -> Tally:
    """Runs each load in a process of its own; what they counted together. Raises SetupError when one fails."""
    context = multiprocessing.get_context("spawn")  # grpcio does not survive a fork
    links: list[Connection[float, Tally | str | None]] = []
    children = []
    try:
        for load in loads:
            ours, theirs = context.Pipe()
            child = context.Process(target=_child, args=(load, theirs), daemon=True)
            with _undisturbed():
                child.start()
                theirs.close()
                links.append(ours)
                children.append(child)
        for link in links:
            _hear(link, _START_SECONDS)
        start = time.monotonic() + _HEAD_START_SECONDS
        for link in links:
            link.send(start)
        tally = Tally()
        for load, link in zip(loads, links, strict=True):
            waiting = load.warm_up_seconds + load.seconds + load.timeout_seconds
            found = _hear(link, waiting + _GRACE_SECONDS)
            assert isinstance(found, Tally)
            tally.merge([found])
        return tally
    finally:
        for child in children:
            child.terminate()
            child.join()
        for link in links:
            link.close()


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Ctrl-C is dealt with at the end: a process that is half started when its parent goes prints a traceback."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's
        return
    interrupts: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: interrupts.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if interrupts:
        raise KeyboardInterrupt


def _hear(link: "Connection[float, Tally | str | None]", seconds: float) -> Tally | None:
    try:
        if not link.poll(seconds):
            raise SetupError(
                f"a process that sends the load says nothing after {seconds:.0f} s: is the machine too busy?"
            )
        said = link.recv()
    except (EOFError, OSError) as error:
        raise SetupError("a process that sends the load has died: is there enough memory?") from error
    if isinstance(said, str):
        raise SetupError(said)
    return said


def _child(load: Load, link: "Connection[Tally | str | None, float]") -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which ends us
    sys.setswitchinterval(_SWITCH_SECONDS)
    try:
        with open_channel(load.target) as channel:
            predict: Any = channel.unary_unary(PREDICT)
            predict(load.bodies[0], timeout=load.timeout_seconds)
    except grpc.RpcError as error:
        link.send(f"a process that sends the load gets no reply from {load.target}: {error_text(error)}")
        return
    link.send(None)
    try:
        link.send(perform(load, link.recv()))
    except (EOFError, BrokenPipeError):
        return  # the parent is gone
