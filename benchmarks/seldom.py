"""A caller who comes seldom: how long he waits for one instance, once servers and caches have gone to sleep.

    python -m benchmarks.seldom [--original DIR] [--workloads add_batch,lenet] [--rates 10,50,300,1000] ...

grpcio costs a caller a millisecond after each pause of his own. This one speaks HTTP/2 by h2, which has no sockets: a
request is made before the clock starts, and a reply is read after it has stopped. The servers are asked in turn,
in one order and then in the other.
"""

import argparse
import socket
import statistics
import struct
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, Event, StreamEnded, StreamReset
from h2.settings import SettingCodes

from benchmarks.peers import PeerError, available
from benchmarks.serving import list_of, workload_names
from benchmarks.workloads import METHOD, WORKLOADS
from mindspore_serving.bench.config import positive
from mindspore_serving.bench.inputs import random_instance
from mindspore_serving.bench.load import PREDICT
from mindspore_serving.bench.payload import Expected, decode
from mindspore_serving.client.wire_values import request_bytes
from mindspore_serving.cluster.errors import SetupError
from mindspore_serving.cluster.settings import integer

WARM_UP_CALLS = 300
ANSWER_SECONDS = 60.0
WINDOW = 1 << 30


class Caller:
    """One connection, on which one call follows the other."""

    def __init__(self, port: int, message: bytes) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), ANSWER_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._body = b"\0" + struct.pack(">I", len(message)) + message
        self._answered_at = 0.0
        self._connection = H2Connection()
        self._connection.initiate_connection()
        self._connection.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: WINDOW})
        self._connection.increment_flow_control_window(WINDOW)
        self._socket.sendall(self._connection.data_to_send())
        self._take(self._socket.recv(1 << 16))  # the server's settings: how much it takes at once

    def call(self, pause_seconds: float = 0.0) -> tuple[float, bytes]:
        """Seconds until the end of the reply, and the reply. Raises PeerError where there is none.

        pause_seconds: since the last reply, what it takes to make the request included.
        """
        stream = self._connection.get_next_available_stream_id()
        head = [(":method", "POST"), (":scheme", "http"), (":path", PREDICT), (":authority", "seldom")]
        self._connection.send_headers(stream, [*head, ("te", "trailers"), ("content-type", "application/grpc")])
        left, reply, is_over = self._put(stream, self._body), b"", False
        request = self._connection.data_to_send()
        time.sleep(max(0.0, self._answered_at + pause_seconds - time.perf_counter()))
        began_at = come_at = time.perf_counter()
        self._socket.sendall(request)
        while not is_over:
            come = self._socket.recv(1 << 16)
            come_at = time.perf_counter()
            for event in self._take(come):
                reply += event.data if isinstance(event, DataReceived) else b""
                is_over = is_over or isinstance(event, StreamEnded)
            if left and not is_over:
                left = self._put(stream, left)
            self._socket.sendall(self._connection.data_to_send())
        self._answered_at = come_at
        return come_at - began_at, reply[5:]

    def close(self) -> None:
        self._socket.close()

    def _put(self, stream: int, body: bytes) -> bytes:
        """As much of it as the server takes now goes on its way with what is sent next. Returns the rest."""
        while body and (room := self._room(stream)):
            part, body = body[:room], body[room:]
            self._connection.send_data(stream, part, end_stream=not body)
        return body

    def _room(self, stream: int) -> int:
        return min(self._connection.local_flow_control_window(stream), self._connection.max_outbound_frame_size)

    def _take(self, come: bytes) -> list[Event]:
        events = self._connection.receive_data(come)
        for event in events:
            if isinstance(event, StreamReset | ConnectionTerminated):
                raise PeerError(f"a server refuses a call: {event}")
            if isinstance(event, DataReceived) and event.flow_controlled_length:
                self._connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        if not come:
            raise PeerError("a server has hung up")
        return events


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.seldom", description="A caller who comes seldom.")
    parser.add_argument("--original", type=Path, help="where benchmarks/original/setup.sh has installed the original")
    workloads, rates = ["add_batch", "lenet"], [10.0, 50.0, 300.0, 1000.0]
    parser.add_argument("--workloads", type=workload_names, default=workloads, help=f"of {','.join(WORKLOADS)}")
    parser.add_argument(
        "--rates", type=list_of(positive("--rates", 1e6)), default=rates, help="calls a second, at most"
    )
    parser.add_argument("--rounds", type=integer("--rounds", 1, 1000), default=6)
    parser.add_argument("--seconds", type=positive("--seconds", 3600), default=1.5, help="of a server in a round")
    try:
        arguments = parser.parse_args()
        with tempfile.TemporaryDirectory() as folder:
            for workload in arguments.workloads:
                compare(arguments, workload, Path(folder))
    except (PeerError, SetupError, TimeoutError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def compare(arguments: argparse.Namespace, workload: str, folder: Path) -> None:
    """Prints a line for each rate. Raises PeerError."""
    original = arguments.original and arguments.original.resolve()
    peers = [one for one in available(folder, original, [workload]) if one.name in ("ours lean", "original")]
    message = request_bytes(
        workload, METHOD, 0, [random_instance(WORKLOADS[workload].inputs, np.random.default_rng(1))]
    )
    with ExitStack() as stack:
        callers: dict[str, Caller] = {}
        expected: Expected | None = None
        for peer in peers:
            logs = folder / f"{workload}-{peer.name}".replace(" ", "-")
            logs.mkdir()
            running = peer.start(workload, logs)
            stack.callback(running.stop)
            callers[peer.name] = Caller(running.port, message)
            stack.callback(callers[peer.name].close)
            for _ in range(WARM_UP_CALLS):
                _, reply = callers[peer.name].call()
            expected = expected or as_expected(workload, reply)
            if fault := expected.fault(reply):
                raise PeerError(f"{peer.name} and {peers[0].name} disagree about {workload}: {fault}")
        for rate in arguments.rates:
            waits: dict[str, list[float]] = {name: [] for name in callers}
            for number in range(arguments.rounds):
                for name in callers if number % 2 == 0 else reversed(callers):
                    waits[name] += calls_at(callers[name], rate, arguments.seconds)
            report(workload, rate, waits)


def as_expected(workload: str, reply: bytes) -> Expected:
    values = decode(reply)
    if isinstance(values, str):
        raise PeerError(f"{workload} is answered with an error: {values}")
    return Expected(b"", tuple(values))


def calls_at(caller: Caller, rate: float, seconds: float) -> list[float]:
    """One call after the other, each after a pause; the first, right behind another server's, does not count."""
    caller.call()
    waits = list[float]()
    until = time.perf_counter() + seconds
    while len(waits) < 2 or time.perf_counter() < until:  # two make a spread
        waits.append(caller.call(1 / rate)[0])
    return waits


def report(workload: str, rate: float, waits: dict[str, list[float]]) -> None:
    medians = {name: statistics.median(found) * 1e6 for name, found in waits.items()}
    words = [
        f"{name} {medians[name]:.0f} us (p95 {statistics.quantiles(found, n=20)[-1] * 1e6:.0f})"
        for name, found in waits.items()
    ]
    if "original" in medians:
        words.append(f"original over ours {medians['original'] / medians['ours lean']:.2f}")
    print(f"{workload}, {rate:g} calls a second: {', '.join(words)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
