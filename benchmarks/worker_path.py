"""What a worker adds to its model: CPU and latency of a batch, from its frames in to its answer out, over a floor.

    python -m benchmarks.worker_path
    python -m benchmarks.worker_path --transports

A bare ROUTER socket sends prepared frames to a real worker process and to worker_floor.py, in turn, several times over;
medians are printed. CPU is that of the whole process, all its threads. `in flight` 1 is one lone caller.
--transports: instead of the floor, the same worker once over TCP and once over a unix socket.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
import zmq

from benchmarks.peers import ROOT
from benchmarks.workloads import METHOD, WORKLOADS
from mindspore_serving.cluster.codec import decode, encode
from mindspore_serving.cluster.messages import BatchDone, Register, Registered, RunBatch
from mindspore_serving.cluster.tensors import Buffer, Column, Stacked

READY_SECONDS, REPLY_SECONDS = 120, 60
INSTANCES = {"add": (1, 16), "add_batch": (1, 16, 32), "mlp": (1, 16), "image": (1, 8), "lenet": (1, 16)}
_WORD = "<f4"


@dataclass(frozen=True, slots=True)
class Spent:
    """Microseconds a batch: of CPU in the process, and from one batch to the next as seen from outside."""

    cpu: float
    wall: float


class Desk:
    """A ROUTER socket that plays the master: takes registrations, sends frames, waits for answers."""

    def __init__(self, folder: str) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._router = self._context.socket(zmq.ROUTER)
        self._router.bind("tcp://127.0.0.1:*")
        self.tcp = self._router.getsockopt_string(zmq.LAST_ENDPOINT)
        self.ipc = f"ipc://{folder}/control"
        self._router.bind(self.ipc)
        self.pids: dict[bytes, int] = {}

    def welcome(self, pid: int) -> bytes:
        """Waits for a process of ours to register. Returns who it is."""
        self._router.setsockopt(zmq.RCVTIMEO, READY_SECONDS * 1000)
        while True:
            who, *frames = self._router.recv_multipart()
            message = decode(frames)
            if isinstance(message, Register):
                self._router.send_multipart([who, *encode(Registered(READY_SECONDS, message.registration))])
                self._router.setsockopt(zmq.RCVTIMEO, REPLY_SECONDS * 1000)
                self.pids[who] = pid
                return who

    def ask(self, who: bytes, frames: Sequence[Buffer]) -> None:
        self._router.send_multipart([who, *frames], copy=False)

    def answer(self, who: bytes) -> list[Buffer]:
        """The next answer to a batch; heartbeats are none."""
        while True:
            sender, *frames = self._router.recv_multipart(copy=False)
            if sender.bytes == who and frames[0].buffer[2] == 3:  # [protocol version, kind, ...]
                return [frame.buffer for frame in frames]

    def measure(self, who: bytes, batches: Sequence[Sequence[Buffer]], calls: int) -> Spent:
        """Keeps as many batches in flight as there are given, of different ids."""
        clock = ~self.pids[who] << 3 | 2  # CPU time of that process: MAKE_PROCESS_CPUCLOCK of Linux
        cpu, start = time.clock_gettime(clock), time.perf_counter()
        for frames in batches[1:]:
            self.ask(who, frames)
        for number in range(calls):
            self.ask(who, batches[number % len(batches)])
            self.answer(who)
        for _ in batches[1:]:
            self.answer(who)
        done = calls + len(batches) - 1
        wall = time.perf_counter() - start
        return Spent((time.clock_gettime(clock) - cpu) / done * 1e6, wall / done * 1e6)

    def close(self) -> None:
        self._context.destroy(0)


def batches(name: str, count: int, in_flight: int) -> list[list[Buffer]]:
    """Prepared frames."""
    rng = np.random.default_rng(count)
    arrays = [rng.standard_normal((count, *spec.shape)).astype(np.float32) for spec in WORKLOADS[name].inputs]
    columns: tuple[Column, ...] = tuple(Stacked(_WORD, array.shape, array.tobytes()) for array in arrays)
    return [encode(RunBatch(number, METHOD, count, columns)) for number in range(in_flight)]


@contextmanager
def running(*arguments: str) -> Iterator[int]:
    """A Python process, ended at the end. Gives its pid."""
    process = subprocess.Popen([sys.executable, *arguments], cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


def same(one: Sequence[Buffer], other: Sequence[Buffer]) -> bool:
    """Whether two answers hold the same numbers."""
    messages = decode(one), decode(other)
    found = []
    for message in messages:
        if not isinstance(message, BatchDone) or message.failures or not isinstance(message.columns[0], Stacked):
            return False
        found.append(np.frombuffer(message.columns[0].data, _WORD))
    return bool(np.allclose(found[0], found[1], rtol=1e-4, atol=1e-5))


@dataclass(frozen=True, slots=True)
class Pace:
    """Rounds, and the seconds of each round and side."""

    rounds: int
    seconds: float


def compare(desk: Desk, one: bytes, other: bytes, name: str, count: int, in_flight: int, pace: Pace) -> None:
    """Prints a line: medians of the rounds, and of their ratios."""
    prepared = batches(name, count, in_flight)
    answers = []
    for who in (one, other):
        desk.ask(who, prepared[0])
        answers.append(desk.answer(who))
    if not same(*answers):
        raise SystemExit(f"{name}, {count} instances: the answers differ")
    calls = max(10, int(pace.seconds / (desk.measure(other, prepared, 20).wall * 1e-6)))
    rounds = [(desk.measure(one, prepared, calls), desk.measure(other, prepared, calls)) for _ in range(pace.rounds)]
    ones, others = zip(*rounds, strict=True)
    cpu = _both([spent.cpu for spent in ones], [spent.cpu for spent in others])
    wall = _both([spent.wall for spent in ones], [spent.wall for spent in others])
    size = sum(memoryview(frame).nbytes for frame in prepared[0]) / 1024
    print(f"{name:10} {count:9} {size:9.1f} {in_flight:9} {cpu}  {wall}", flush=True)


def _both(ones: Sequence[float], others: Sequence[float]) -> str:
    ratio = statistics.median(other / one for one, other in zip(ones, others, strict=True))
    return f"{statistics.median(ones):9.0f} {statistics.median(others):9.0f} {ratio:6.2f}"


def measure_servable(name: str, folder: str, transports: bool, pace: Pace) -> None:
    with ExitStack() as opened:
        desk = Desk(opened.enter_context(tempfile.TemporaryDirectory()))
        opened.callback(desk.close)

        def worker(endpoint: str) -> bytes:
            master = endpoint.replace("tcp://", "").replace("ipc://", "unix:")
            place = ("--servable", name, "--directory", folder, "--tune", "off", "--log-level", "error")
            return desk.welcome(opened.enter_context(running("-m", "worker", *place, "--master", master)))

        if transports:
            one = worker(desk.tcp)
        else:
            model = f"{folder}/{name}/1/model.mindir"
            form = "single" if name == "add" else "batched"
            floor = running("-m", "benchmarks.worker_floor", model, desk.ipc, form)
            one = desk.welcome(opened.enter_context(floor))
        other = worker(desk.ipc)
        for count in INSTANCES[name]:
            for in_flight in (1, 2):
                compare(desk, one, other, name, count, in_flight, pace)


def main() -> None:
    parser = argparse.ArgumentParser(description="CPU and latency of a batch in a worker, over a floor.")
    parser.add_argument("--workloads", nargs="+", choices=INSTANCES, default=list(INSTANCES))
    parser.add_argument("--transports", action="store_true", help="compare TCP and a unix socket instead")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.1, help="of each round and side")
    chosen = parser.parse_args()
    sides = "tcp, ipc" if chosen.transports else "floor, worker"
    print(f"workload   instances       KiB in flight  CPU us: {sides}, ratio  wall us: {sides}, ratio")
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.export_models", folder, "0", *chosen.workloads]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for name in chosen.workloads:
            measure_servable(name, folder, chosen.transports, Pace(chosen.rounds, chosen.seconds))


if __name__ == "__main__":
    main()
