"""What a worker adds to its model: CPU and latency of a batch, from its frames in to its answer out, over a floor.

    python -m benchmarks.worker_path

A bare ROUTER socket sends prepared frames to a real worker process and to worker_floor.py, in turn, several times over;
medians are printed. CPU is that of the whole process, all its threads. `in flight` 1 is one lone caller.
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
from benchmarks.worker_floor import FLOOR
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

    def __init__(self, endpoint: str) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._router = self._context.socket(zmq.ROUTER)
        self._router.bind(endpoint)
        self.pids: dict[bytes, int] = {}

    @property
    def endpoint(self) -> str:
        return self._router.getsockopt_string(zmq.LAST_ENDPOINT)

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


def compare(desk: Desk, worker: bytes, name: str, count: int, in_flight: int, rounds: int, seconds: float) -> None:
    """Prints a line: medians of the rounds, and of their ratios."""
    prepared = batches(name, count, in_flight)
    answers = []
    for who in (FLOOR, worker):
        desk.ask(who, prepared[0])
        answers.append(desk.answer(who))
    if not same(*answers):
        raise SystemExit(f"{name}, {count} instances: the worker's numbers are not the floor's")
    calls = max(10, int(seconds / (desk.measure(worker, prepared, 20).wall * 1e-6)))
    found = [(desk.measure(FLOOR, prepared, calls), desk.measure(worker, prepared, calls)) for _ in range(rounds)]
    floor, ours = ([spent.cpu for spent in side] for side in zip(*found, strict=True))
    floor_wall, ours_wall = ([spent.wall for spent in side] for side in zip(*found, strict=True))
    print(
        f"{name:10} {count:9} {in_flight:9} {_both(floor, ours)}  {_both(floor_wall, ours_wall)}",
        flush=True,
    )


def _both(floor: Sequence[float], ours: Sequence[float]) -> str:
    ratio = statistics.median(one / other for one, other in zip(ours, floor, strict=True))
    return f"{statistics.median(floor):9.0f} {statistics.median(ours):9.0f} {ratio:6.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description="CPU and latency of a batch in a worker, over a floor.")
    parser.add_argument("--workloads", nargs="+", choices=INSTANCES, default=list(INSTANCES))
    parser.add_argument("--transport", choices=("ipc", "tcp"), default="ipc")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.3, help="of each round and side")
    chosen = parser.parse_args()
    print("workload   instances in flight  CPU us: floor, worker, ratio  wall us: floor, worker, ratio")
    with tempfile.TemporaryDirectory() as folder:
        exporter = str(ROOT / "benchmarks" / "export_models.py")
        command = [sys.executable, exporter, folder, "0", *chosen.workloads]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        for name in chosen.workloads:
            with ExitStack() as opened:
                desk = Desk("tcp://127.0.0.1:*" if chosen.transport == "tcp" else f"ipc://{folder}/{name}.socket")
                opened.callback(desk.close)
                model = f"{folder}/{name}/1/model.mindir"
                batched = "single" if name == "add" else "batched"
                floor = running("-m", "benchmarks.worker_floor", model, desk.endpoint, batched)
                desk.welcome(opened.enter_context(floor))
                master = desk.endpoint.replace("tcp://", "").replace("ipc://", "unix:")
                place = ("--servable", name, "--directory", folder, "--tune", "off", "--log-level", "error")
                worker = desk.welcome(opened.enter_context(running("-m", "worker", *place, "--master", master)))
                for count in INSTANCES[name]:
                    for in_flight in (1, 2):
                        compare(desk, worker, name, count, in_flight, chosen.rounds, chosen.seconds)


if __name__ == "__main__":
    main()
