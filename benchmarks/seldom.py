"""A caller who comes seldom: how long he waits for one instance, once servers and caches have gone to sleep.

    python -m benchmarks.seldom [--original DIR] [--workloads add_batch,lenet] [--rates 10,50,300,1000] ...

grpcio costs a caller a millisecond after each pause of his own, so that this one says HTTP/2 by itself: his frames are
made before the clock starts. The servers are asked in turn, in one order and then in the other.
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

import hpack
import numpy as np

from benchmarks.peers import PeerError, available
from benchmarks.serving import list_of, workload_names
from benchmarks.workloads import METHOD, WORKLOADS
from mindspore_serving.bench.inputs import random_instance
from mindspore_serving.bench.load import PREDICT
from mindspore_serving.bench.payload import Expected, decode
from mindspore_serving.client.wire_values import request_bytes

WARM_UP_CALLS = 300
DATA, HEADERS, SETTINGS, PING, WINDOW_UPDATE = 0, 1, 4, 6, 8  # frame types of RFC 9113, section 6
ACK = END_STREAM = 1
END_HEADERS = 4
FRAME_BYTES = 16384
WINDOW = 1 << 30


class Caller:
    """One connection, on which one call follows the other."""

    def __init__(self, port: int, message: bytes) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._encoder = hpack.Encoder()
        self._stream = -1
        self._come = b""
        body = b"\0" + struct.pack(">I", len(message)) + message
        self._parts = [body[at : at + FRAME_BYTES] for at in range(0, len(body), FRAME_BYTES)]
        window = struct.pack(">HI", 4, WINDOW)  # SETTINGS_INITIAL_WINDOW_SIZE
        start = frame(SETTINGS, 0, 0, window) + frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", WINDOW))
        self._socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + start)

    def call(self) -> tuple[float, bytes]:
        """Seconds until the end of the reply, and the reply."""
        self._stream += 2
        head = [(":method", "POST"), (":scheme", "http"), (":path", PREDICT), (":authority", "seldom")]
        head += [("te", "trailers"), ("content-type", "application/grpc")]
        request = frame(HEADERS, END_HEADERS, self._stream, self._encoder.encode(head))
        for number, part in enumerate(self._parts, 1):
            request += frame(DATA, END_STREAM if number == len(self._parts) else 0, self._stream, part)
        reply = b""
        began_at = time.perf_counter()
        self._socket.sendall(request)
        while True:
            kind, flags, stream, payload = self._next_frame()
            if kind in (SETTINGS, PING) and not flags & ACK:
                self._socket.sendall(frame(kind, ACK, 0, payload if kind == PING else b""))
            elif stream == self._stream and kind in (DATA, HEADERS):
                reply += payload if kind == DATA else b""
                if flags & END_STREAM:
                    return time.perf_counter() - began_at, reply[5:]

    def close(self) -> None:
        self._socket.close()

    def _next_frame(self) -> tuple[int, int, int, bytes]:
        while len(self._come) < 9 or len(self._come) < 9 + int.from_bytes(self._come[:3], "big"):
            more = self._socket.recv(1 << 16)
            if not more:
                raise PeerError("a server has hung up")
            self._come += more
        end = 9 + int.from_bytes(self._come[:3], "big")
        head, payload, self._come = self._come[:9], self._come[9:end], self._come[end:]
        return head[3], head[4], int.from_bytes(head[5:9], "big"), payload


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """RFC 9113, section 4.1."""
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.seldom", description="A caller who comes seldom.")
    parser.add_argument("--original", type=Path, help="where benchmarks/original/setup.sh has installed the original")
    workloads, rates = ["add_batch", "lenet"], [10.0, 50.0, 300.0, 1000.0]
    parser.add_argument("--workloads", type=workload_names, default=workloads, help=f"of {','.join(WORKLOADS)}")
    parser.add_argument("--rates", type=list_of(float), default=rates, help="calls a second, at most")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=1.5, help="of a server in a round")
    arguments = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as folder:
            for workload in arguments.workloads:
                compare(arguments, workload, Path(folder))
    except PeerError as error:
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
    waits = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        time.sleep(1 / rate)
        waits.append(caller.call()[0])
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
