"""Clients that make a new connection for each call: how many calls a second, and how long the slowest take.

    python -m benchmarks.connections [--original DIR] [--workload add_batch] [--callers 1,8,64] ...

Each caller connects, says everything in one write, reads until the reply's end, closes, and begins again. One thread
plays them all by epoll. The servers are loaded in turn, in one order and then in the other.
"""

import argparse
import selectors
import socket
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import hpack
import numpy as np

from benchmarks.peers import PeerError, available
from benchmarks.seldom import as_expected
from benchmarks.serving import list_of
from benchmarks.workloads import METHOD, WORKLOADS
from mindspore_serving.bench.config import positive
from mindspore_serving.bench.inputs import random_instance
from mindspore_serving.bench.load import PREDICT
from mindspore_serving.bench.payload import Expected
from mindspore_serving.client.wire_values import request_bytes
from mindspore_serving.cluster.errors import SetupError
from mindspore_serving.cluster.settings import integer
from mindspore_serving.master.grpc_messages import PREFIX_BYTES, message_prefix
from mindspore_serving.master.http2.frames import END_HEADERS, END_STREAM, HEAD_BYTES, PREFACE, Kind, pack, unpack_head

STREAM = 1
ANSWER_SECONDS = 60.0
NAMES = ("ours lean", "original")


class Found(NamedTuple):
    """Of one server in one round."""

    calls_per_second: float
    p99_seconds: float


class Open(NamedTuple):
    """A caller that waits, and what has come."""

    connection: socket.socket
    began_at: float
    come: bytearray


class Callers:
    """So many at once. Raises PeerError where a reply is none, or another one than expected."""

    def __init__(self, port: int, message: bytes) -> None:
        fields = [(":method", "POST"), (":scheme", "http"), (":path", PREDICT), (":authority", "connections")]
        fields += [("te", "trailers"), ("content-type", "application/grpc")]
        head = pack(Kind.HEADERS, END_HEADERS, STREAM, hpack.Encoder().encode(fields))
        body = pack(Kind.DATA, END_STREAM, STREAM, message_prefix(message) + message)
        self._port = port
        self._said = PREFACE + pack(Kind.SETTINGS, 0, 0) + head + body
        self._selector = selectors.EpollSelector()
        self._waits: list[float] = []

    def call_once(self) -> bytes:
        """The reply."""
        self._begin()
        return self._finish_some()[0]

    def call(self, callers: int, seconds: float, expected: Expected) -> Found:
        """For so long."""
        self._waits.clear()
        began_at = time.perf_counter()
        for _ in range(callers):
            self._begin()
        while (now := time.perf_counter()) < began_at + seconds:
            for reply in self._finish_some():
                if fault := expected.fault(reply):
                    raise PeerError(f"a reply is wrong: {fault}")
                self._begin()
        waits = sorted(self._waits)
        for key in list(self._selector.get_map().values()):
            self._end(key.data)
        return Found(len(waits) / (now - began_at), waits[int(len(waits) * 0.99)])

    def _begin(self) -> None:
        began_at = time.perf_counter()
        connection = socket.create_connection(("127.0.0.1", self._port), ANSWER_SECONDS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(self._said)
        self._selector.register(connection, selectors.EVENT_READ, Open(connection, began_at, bytearray()))

    def _finish_some(self) -> list[bytes]:
        replies: list[bytes] = []
        while not replies:
            ready = self._selector.select(ANSWER_SECONDS)
            if not ready:
                raise PeerError(f"no reply for {ANSWER_SECONDS:g} seconds")
            for key, _ in ready:
                opened: Open = key.data
                more = opened.connection.recv(1 << 16)
                opened.come.extend(more)
                reply = reply_in(opened.come)
                if reply is not None:
                    self._waits.append(time.perf_counter() - opened.began_at)
                    replies.append(reply)
                    self._end(opened)
                elif not more:
                    raise PeerError("a server has hung up")
        return replies

    def _end(self, opened: Open) -> None:
        self._selector.unregister(opened.connection)
        opened.connection.close()


def reply_in(come: bytes | bytearray) -> bytes | None:
    """The message of a reply, if all of it has come."""
    at, message = 0, b""
    while at + HEAD_BYTES <= len(come):
        high, low, kind, flags, stream = unpack_head(come, at)
        start, at = at + HEAD_BYTES, at + HEAD_BYTES + (high << 8 | low)
        if at > len(come) or stream != STREAM:
            continue
        if kind == Kind.DATA:
            message += come[start:at]
        if kind in (Kind.DATA, Kind.HEADERS) and flags & END_STREAM:
            return message[PREFIX_BYTES:]
    return None


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.connections", description="A new connection for each call."
    )
    parser.add_argument("--original", type=Path, help="where benchmarks/original/setup.sh has installed the original")
    parser.add_argument("--workload", choices=WORKLOADS, default="add_batch")
    parser.add_argument("--callers", type=list_of(integer("--callers", 1, 512)), default=[1, 8, 64])
    parser.add_argument("--rounds", type=integer("--rounds", 1, 1000), default=6)
    parser.add_argument("--seconds", type=positive("--seconds", 3600), default=1.0, help="of a server in a round")
    try:
        arguments = parser.parse_args()
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            compare(arguments, Path(folder), stack)
    except (PeerError, SetupError, TimeoutError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def compare(arguments: argparse.Namespace, folder: Path, stack: ExitStack) -> None:
    """Prints a line for each number of callers. Raises PeerError."""
    workload = arguments.workload
    original = arguments.original and arguments.original.resolve()
    instance = random_instance(WORKLOADS[workload].inputs, np.random.default_rng(1))
    message = request_bytes(workload, METHOD, 0, [instance])
    servers: dict[str, Callers] = {}
    expected: Expected | None = None
    for peer in [one for one in available(folder, original, [workload]) if one.name in NAMES]:
        logs = folder / f"logs-{peer.name}".replace(" ", "-")
        logs.mkdir()
        running = peer.start(workload, logs)
        stack.callback(running.stop)
        servers[peer.name] = Callers(running.port, message)
        reply = servers[peer.name].call_once()
        expected = expected or as_expected(workload, reply)
    assert expected is not None
    for callers in arguments.callers:
        found: dict[str, list[Found]] = {name: [] for name in servers}
        for number in range(arguments.rounds):
            for name in servers if number % 2 == 0 else reversed(servers):
                found[name].append(servers[name].call(callers, arguments.seconds, expected))
        report(callers, found)


def report(callers: int, found: dict[str, list[Found]]) -> None:
    words = []
    for name, rounds in found.items():
        rate, slowest = (statistics.median(column) for column in zip(*rounds, strict=True))
        words.append(f"{name} {rate:.0f} calls/s (p99 {slowest * 1e3:.2f} ms)")
    if "original" in found:
        pairs = list(zip(found["ours lean"], found["original"], strict=True))
        rate = statistics.median(ours.calls_per_second / theirs.calls_per_second for ours, theirs in pairs)
        slowest = statistics.median(theirs.p99_seconds / ours.p99_seconds for ours, theirs in pairs)
        words.append(f"ours over original {rate:.2f}, p99 {slowest:.2f}")
    print(f"{callers} at once: {', '.join(words)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
