"""A worker and a master on one machine talk past ZeroMQ, unless the worker is told otherwise."""

from pathlib import Path

import pytest

from tests.end_to_end.test_commands import master, worker
from tests.processes import Processes

_CONNECTED = "03"  # SS_CONNECTED, in /proc/net/unix


def direct_connections() -> int:
    """Both ends of each count; the master's has no name of its own."""
    lines = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
    return sum(len(line) > 7 and line[7].startswith("@mindspore-serving-") and line[5] == _CONNECTED for line in lines)


@pytest.mark.parametrize("transport, more", [("auto", 1), ("zeromq", 0)])
def test_who_talks_past_zeromq(run: Processes, servables: Path, transport: str, more: int) -> None:
    before = direct_connections()
    _, grpc, ctrl = master(run)
    hand = worker(run, servables, ctrl, "--transport", transport)
    hand.wait_for("Worker registered at")
    client = run.start(str(servables / "client.py"), f"127.0.0.1:{grpc}")
    assert client.wait() == 0, client.output
    assert direct_connections() == before + more
    assert hand.stop() == 0
    assert direct_connections() == before


def test_a_transport_that_is_none_is_refused(run: Processes) -> None:
    hand = run.start("-m", "worker", "--servable", "add", "--master", "h:1", "--transport", "tcp")
    assert hand.wait() == 2
    assert "--transport" in hand.last_line and "auto" in hand.last_line
