"""Calls of 1 KB to 8 MB on their way when their master is killed: each is answered all the same, and rightly."""

import signal
from pathlib import Path
from typing import Any

import numpy as np

from mindspore_serving.client import Client
from tests.end_to_end.light_servable import GO, NAME, light_servable, light_worker
from tests.processes import Process, Processes, free_port

SIZES = (1 << 10, 1 << 16, 300_000, 1 << 20, 1 << 23)  # gRPC itself would repeat none above 256 KiB


def start_master(run: Processes, grpc: int, ctrl: int) -> Process:
    desk = run.start("-m", "master", "--grpc", str(grpc), "--ctrl", str(ctrl))
    desk.wait_for("Serving gRPC start success")
    return desk


def payload(size: int) -> Any:
    return np.random.default_rng(size).integers(0, 256, size, dtype=np.uint8)


def ask_for_all(client: Client) -> list[Any]:
    assert isinstance(client.infer({"order": "answer", "x": payload(1)}), list)
    return [client.infer_async({"order": "wait", "x": payload(size)}) for size in SIZES]


def assert_right(calls: list[Any]) -> None:
    for size, call in zip(SIZES, calls, strict=True):
        (answer,) = call.result()
        assert np.array_equal(answer["y"], payload(size)), f"the answer to {size} bytes"


def test_calls_of_any_size_survive_the_kill_of_their_only_master(run: Processes, tmp_path: Path) -> None:
    grpc, ctrl = free_port(), free_port()
    desk = start_master(run, grpc, ctrl)
    worker = light_worker(run, place := light_servable(tmp_path), [ctrl])
    with Client(f"127.0.0.1:{grpc}", NAME, "act", timeout=120) as client:
        calls = ask_for_all(client)
        worker.wait_for("wait")  # the first has begun, the others are on their way
        desk.stop(signal.SIGKILL)
        start_master(run, grpc, ctrl)
        worker.wait_for("Worker registered at", times=2)
        (place / GO).touch()
        assert_right(calls)


def test_calls_of_any_size_go_to_the_other_master_when_theirs_is_killed(run: Processes, tmp_path: Path) -> None:
    ports = [(free_port(), free_port()) for _ in range(2)]
    desks = [start_master(run, *pair) for pair in ports]
    place = light_servable(tmp_path)
    workers = [light_worker(run, place, [ctrl for _, ctrl in ports]) for _ in range(2)]
    with Client(",".join(f"127.0.0.1:{grpc}" for grpc, _ in ports), NAME, "act", timeout=120) as client:
        calls = ask_for_all(client)
        for worker in workers:
            worker.wait_for("wait")
        desks[0].stop(signal.SIGKILL)
        (place / GO).touch()
        assert_right(calls)
