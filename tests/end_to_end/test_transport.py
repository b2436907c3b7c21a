"""A worker and a master on one machine talk past ZeroMQ, unless the worker is told otherwise."""

import os
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mindspore_serving.client import Client
from tests.end_to_end.light_servable import GO, NAME, light_servable, light_worker
from tests.end_to_end.test_commands import master, worker
from tests.processes import Process, Processes

_CONNECTED = "03"  # SS_CONNECTED, in /proc/net/unix


def direct_connections(worker: Process) -> int:
    """The worker's end of each: the master's has no name."""
    links = [os.readlink(link) for link in Path(f"/proc/{worker.pid}/fd").iterdir() if link.is_symlink()]
    sockets = {link.removeprefix("socket:[").removesuffix("]") for link in links}
    lines = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
    named = [line for line in lines if len(line) > 7 and line[7].startswith("@mindspore-serving-")]
    return sum(line[5] == _CONNECTED and line[6] in sockets for line in named)


@pytest.mark.parametrize("transport, more", [("auto", 1), ("zeromq", 0)])
def test_who_talks_past_zeromq(run: Processes, servables: Path, transport: str, more: int) -> None:
    _, grpc, ctrl = master(run)
    hand = worker(run, servables, ctrl, "--transport", transport)
    hand.wait_for("Worker registered at")
    client = run.start(str(servables / "client.py"), f"127.0.0.1:{grpc}")
    assert client.wait() == 0, client.output
    assert direct_connections(hand) == more
    assert hand.stop() == 0


def test_large_tensors_pass_through_memory_that_is_gone_with_a_killed_worker(run: Processes, tmp_path: Path) -> None:
    desk, grpc, ctrl = master(run)
    place = light_servable(tmp_path)
    first = light_worker(run, place, [ctrl])
    values = [np.random.default_rng(seed).integers(0, 256, 3_000_000, dtype=np.uint8) for seed in range(4)]
    with Client(f"127.0.0.1:{grpc}", NAME, "act", timeout=120) as client:
        for value in values:  # the worker's answer is what lies there
            assert_answered(client.infer_async({"order": "answer", "x": value}), value)
        assert (shared_memories(desk), shared_memories(first)) == (2, 2)  # for what goes there, and for answers
        calls = [client.infer_async({"order": "wait", "x": value}) for value in values]
        first.wait_for("wait")
        first.stop(signal.SIGKILL)
        desk.wait_for("lost")
        assert shared_memories(desk) == 0
        second = light_worker(run, place, [ctrl])
        (place / GO).touch()
        for call, value in zip(calls, values, strict=True):
            assert_answered(call, value)
    assert (shared_memories(desk), shared_memories(second)) == (2, 2)
    assert desk.stop() == 0


def assert_answered(call: Any, value: Any) -> None:
    (answer,) = call.result()
    assert np.array_equal(answer["y"], value)


def shared_memories(process: Process) -> int:
    """How many of them hold anything that this process has touched."""
    maps = Path(f"/proc/{process.pid}/smaps").read_text().split("memfd:mindspore-serving")[1:]
    return sum(re.search(r"^Rss: +0 kB$", told, re.MULTILINE) is None for told in (one[:1000] for one in maps))


def test_a_transport_that_is_none_is_refused(run: Processes) -> None:
    hand = run.start("-m", "worker", "--servable", "add", "--master", "h:1", "--transport", "tcp")
    assert hand.wait() == 2
    assert "--transport" in hand.last_line and "auto" in hand.last_line
