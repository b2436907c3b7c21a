"""The way to a worker on the same machine and back: past ZeroMQ, and through it. Microseconds a round trip, alone.

    python -m benchmarks.transports

A master's WorkerSocket in this process sends a batch, a worker's Line in another process hands it back; there is no
model. Rounds of each transport alternate; CPU is that of both processes.
"""

import asyncio
import multiprocessing
import os
import statistics
import time

import zmq

from mindspore_serving.cluster.addresses import Address
from mindspore_serving.cluster.messages import BatchDone, FromWorker, MethodSpec, Register, Registered, RunBatch
from mindspore_serving.cluster.session_events import LinkMade, MessageArrived
from mindspore_serving.cluster.tensors import Stacked
from mindspore_serving.master.worker_socket import WorkerSocket
from mindspore_serving.worker.line import Line
from mindspore_serving.worker.watches import Watches

ROUNDS, TRIPS = 7, 200
SIZES = (16, 16 * 1024, 600 * 1024)  # bytes of a batch
NAMES = {"zeromq": False, "direct": True}


def echo(port: int, name: str, direct: bool) -> None:
    """A worker without a model, until it is killed."""
    watches = Watches()
    line = Line(zmq.Context(), f"tcp://127.0.0.1:{port}", None, name, watches, direct)
    register = Register(1, "echo", 1, (MethodSpec("m", ("x",), ("y",), 1),), "CPU:0", "here", os.getpid())
    while True:
        for _, take in watches.wait(1.0):
            for event in take():
                match event:
                    case LinkMade():
                        line.send(register)
                    case MessageArrived(RunBatch(batch_id=batch_id, columns=columns)):
                        line.send(BatchDone(batch_id, columns))


class Master:
    """Sends to one worker at a time, and waits for its answer."""

    def __init__(self) -> None:
        self._said: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._socket = WorkerSocket(zmq.Context(), self._hear, lambda: None, lambda _: None, lambda _: None)
        address = self._socket.bind(Address("127.0.0.1", 0))
        assert isinstance(address, Address)
        self.port = address.port

    def _hear(self, worker_id: str, message: FromWorker) -> None:
        if isinstance(message, Register):
            self._socket.send(worker_id, Registered(60.0, message.registration))
        if not self._said.done():
            self._said.set_result(None)

    async def hear(self) -> None:
        await self._said
        self._said = asyncio.get_running_loop().create_future()

    async def trips(self, name: str, batch: RunBatch) -> None:
        for _ in range(TRIPS):
            self._socket.send(name, batch)
            await self.hear()


def cpu_seconds(pid: int | None) -> float:
    times = os.times()
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return times.user + times.system + (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def main() -> None:
    master = Master()
    context = multiprocessing.get_context("spawn")
    workers = {}
    for name, direct in NAMES.items():
        workers[name] = context.Process(target=echo, args=(master.port, name, direct), daemon=True)
        workers[name].start()
        await master.hear()
    print("bytes    transport  us a round trip (from-to)    CPU us    ratio to zeromq")
    for size in SIZES:
        batch = RunBatch(1, "m", 1, (Stacked("|u1", (1, size), bytes(size)),))
        wall: dict[str, list[float]] = {name: [] for name in NAMES}
        cpu: dict[str, list[float]] = {name: [] for name in NAMES}
        for _ in range(ROUNDS):
            for name, worker in workers.items():
                spent, start = cpu_seconds(worker.pid), time.perf_counter()
                await master.trips(name, batch)
                wall[name].append((time.perf_counter() - start) / TRIPS * 1e6)
                cpu[name].append((cpu_seconds(worker.pid) - spent) / TRIPS * 1e6)
        for name in NAMES:
            ratio = statistics.median(one / other for one, other in zip(wall[name], wall["zeromq"], strict=True))
            trip, slowest = statistics.median(wall[name]), max(wall[name])
            print(
                f"{size:6}   {name:8}  {trip:8.0f} ({min(wall[name]):.0f}-{slowest:.0f})"
                f"  {statistics.median(cpu[name]):14.0f}  {ratio:8.2f}"
            )


if __name__ == "__main__":
    asyncio.run(main())
