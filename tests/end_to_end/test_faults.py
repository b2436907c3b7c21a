"""Bad days: workers that are killed or stopped, garbage at every port. Nobody's answer is lost or wrong."""

import pickle
import random
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import msgpack
import numpy as np
import pytest
import zmq

from mindspore_serving.client import Client
from mindspore_serving.cluster.codec import PROTOCOL_VERSION
from tests.end_to_end.test_commands import master, worker
from tests.processes import Processes

CALLERS = 16
CALLS_AFTER_THE_FAULT = 60


class Callers:
    """Threads that call without a pause and compare every answer with the right one."""

    def __init__(self, address: str, count: int) -> None:
        self.wrong: list[object] = []
        self.calls = 0
        self._address = address
        self._lock = threading.Condition()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(seed,), daemon=True) for seed in range(count)]
        for thread in self._threads:
            thread.start()

    def wait_for_calls(self, more: int) -> None:
        with self._lock:
            wanted = self.calls + more
            assert self._lock.wait_for(lambda: self.calls >= wanted or self.wrong, 120)

    def end(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _run(self, seed: int) -> None:
        chance = np.random.default_rng(seed)
        with Client(self._address, "add", "add_common") as client:
            while not self._stop.is_set():
                pairs = [chance.random((2, 2, 2), dtype=np.float32) for _ in range(3)]
                results = client.infer([{"x1": x1, "x2": x2} for x1, x2 in pairs])
                right = isinstance(results, list) and all(
                    "y" in result and np.array_equal(result["y"], x1 + x2)
                    for result, (x1, x2) in zip(results, pairs, strict=True)
                )
                with self._lock:
                    self.calls += 1
                    if not right:
                        self.wrong.append(results)
                    self._lock.notify_all()


@contextmanager
def callers_of(port: int) -> Iterator[Callers]:
    callers = Callers(f"127.0.0.1:{port}", CALLERS)
    try:
        yield callers
    finally:
        callers.end()


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM])
def test_no_caller_notices_that_one_of_two_workers_goes(run: Processes, servables: Path, fault: int) -> None:
    desk, port, ctrl = master(run, "--lease-seconds", "1")
    first, second = (worker(run, servables, ctrl, "--device", device) for device in "01")
    first.wait_for("Worker registered at")
    second.wait_for("Worker registered at")
    with callers_of(port) as callers:
        callers.wait_for_calls(CALLERS)
        first.send(fault)
        if fault == signal.SIGSTOP:
            desk.wait_for("lost (its lease ran out)")
            first.send(signal.SIGCONT)
            first.wait_for("Worker registered at", times=2)
            assert first.output.count("Start servable success") == 1  # nothing was loaded again
        callers.wait_for_calls(CALLS_AFTER_THE_FAULT)
    assert callers.wrong == []


def test_a_stopping_master_answers_what_it_has_accepted(run: Processes, tmp_path: Path) -> None:
    (tmp_path / "slow").mkdir()
    (tmp_path / "slow" / "servable_config.py").write_text(
        "import threading\n"
        "from mindspore_serving.server import register\n"
        "def wait(x):\n    print('working', flush=True)\n    threading.Event().wait(1.0)\n    return x\n"
        "@register.register_method(output_names='y')\n"
        "def late(x):\n    return register.add_stage(wait, x, outputs_count=1)\n"
    )
    desk, port, ctrl = master(run)
    hand = run.start("-m", "worker", "--servable", str(tmp_path / "slow"), "--master", f"127.0.0.1:{ctrl}")
    hand.wait_for("Worker registered at")
    with Client(f"127.0.0.1:{port}", "slow", "late") as client:
        pending = client.infer_async({"x": 5})
        hand.wait_for("working")
        assert desk.stop() == 0
        assert pending.result() == [{"y": np.array([5])}]
    assert hand.stop() == 0


def outcome(call: Any, body: bytes) -> object:
    try:
        call(body, timeout=60)
    except grpc.RpcError as error:
        return error.code(), error.details()
    return "answered"


def garbage(count: int) -> list[bytes]:
    chance = random.Random(5)
    return [chance.randbytes(chance.randrange(1, 400)) for _ in range(count)]


class Executed(Exception):
    """Raised when a pickle is opened."""

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return print, ("the pickle was opened",)


def hostile_frames() -> list[list[bytes]]:
    array = {b"nd": True, b"type": "|O", b"kind": b"O", b"shape": [1], b"data": pickle.dumps(Executed())}
    columns = [PROTOCOL_VERSION, 3, [1, 1, [array], []]]
    return [
        [msgpack.packb(columns)],
        [msgpack.packb([PROTOCOL_VERSION, 14, [1, "m", 1, [array], None]])],
        [msgpack.packb([PROTOCOL_VERSION + 1, 1, []])],
        [],
        [b""] * 2000,
        *[[frame] for frame in garbage(195)],
    ]


def test_garbage_at_both_ports_harms_nothing(run: Processes, servables: Path) -> None:
    desk, port, ctrl = master(run)
    worker(run, servables, ctrl).wait_for("Worker registered at")
    with zmq.Context[zmq.Socket[bytes]]() as context:
        for identity in (None, b"\xff\xfe"):
            with context.socket(zmq.DEALER) as dealer:
                dealer.setsockopt(zmq.LINGER, 5000)
                if identity:
                    dealer.setsockopt(zmq.ROUTING_ID, identity)
                dealer.connect(f"tcp://127.0.0.1:{ctrl}")
                for frames in hostile_frames():
                    dealer.send_multipart(frames or [b""])
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        predict: Any = channel.unary_unary("/mindspore.serving.proto.MSService/Predict")
        for body in garbage(200):
            # Some garbage is a request, for a servable that does not exist; the rest is told from one.
            assert outcome(predict, body) in ("answered", (grpc.StatusCode.INTERNAL, "Unable to parse request"))
    client = run.start(str(servables / "client.py"), f"127.0.0.1:{port}")
    assert client.wait() == 0, client.output
    assert desk.stop() == 0
    assert "the pickle was opened" not in desk.output
    assert "Traceback" not in desk.output
