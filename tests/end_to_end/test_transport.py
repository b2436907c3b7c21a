"""A worker and a master on one machine talk past ZeroMQ, unless the worker is told otherwise."""

import os
from pathlib import Path

import pytest

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


def test_a_transport_that_is_none_is_refused(run: Processes) -> None:
    hand = run.start("-m", "worker", "--servable", "add", "--master", "h:1", "--transport", "tcp")
    assert hand.wait() == 2
    assert "--transport" in hand.last_line and "auto" in hand.last_line
