"""What a request costs the core as workers and servables grow in number, and a storm of registrations.

    python -m benchmarks.scale [--quick]

The table: CPU microseconds a request in the dispatcher (arrival, batch, reply, answer) with fake workers, spread
over some servables. Requests come one by one and go round the servables: nothing is batched, the dearest case.
The storm: 1,000 fake workers in one process, each with a socket of its own, connect and register at a real master.
"""

import argparse
import asyncio
import gc
import resource
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import zmq

from mindspore_serving.cluster.addresses import Address
from mindspore_serving.cluster.codec import decode, encode
from mindspore_serving.cluster.dispatch_events import (
    Answer,
    Arrival,
    ConnectionDropped,
    Event,
    Limits,
    MessageReceived,
    RequestsArrived,
    Send,
    Tick,
)
from mindspore_serving.cluster.dispatcher import Dispatcher
from mindspore_serving.cluster.messages import BatchDone, Goodbye, Leaving, MethodSpec, Register, Registered, RunBatch
from mindspore_serving.cluster.tensors import Stacked
from mindspore_serving.master.server import MasterServer

WORKERS = (1, 10, 100, 1000, 10_000)
SERVABLES = (1, 10, 100)
ROUNDS, REQUESTS = 5, 300
STORM_WORKERS = 1000
METHOD = MethodSpec("add", ("x",), ("y",), 16)
COLUMNS = (Stacked("<f4", (1, 2), bytes(8)),)
_ENOUGH_SECONDS = 20.0  # a cell that takes longer to set up is left out, and so are larger ones


@dataclass(frozen=True, slots=True)
class Cell:
    """CPU microseconds: of a request, and of what happens to one of the workers."""

    request: float
    register: float
    drop: float  # its connection, the first of a burst
    drop_more: float  # another of the same burst
    drain: float
    lose: float


def register(number: int, servables: int) -> Register:
    return Register(1, f"s{number % servables}", 1, (METHOD,), "CPU:0", "here", number)


def fill(dispatcher: Dispatcher, workers: int, servables: int) -> float | None:
    """Registers the workers. Returns the CPU microseconds of each of the last ones; None: it took too long."""
    start = time.thread_time()
    times = []
    for number in range(workers):
        before = time.thread_time()
        dispatcher.handle(MessageReceived(f"w{number}", register(number, servables)), 0.0)
        times.append(time.thread_time() - before)
        if before - start > _ENOUGH_SECONDS:
            return None
    return statistics.median(times[-100:]) * 1e6


def request_microseconds(dispatcher: Dispatcher, servables: int, numbers: Iterator[int]) -> float:
    """Of one request, from its arrival to its answer."""
    start = time.thread_time()
    for _ in range(REQUESTS):
        number = next(numbers)
        route, method = dispatcher.resolve(f"s{number % servables}", 0, "add")
        arrival = Arrival(number, 0, route, method, 1, COLUMNS, 100, None)
        (sent,) = dispatcher.handle(RequestsArrived([arrival]), 0.0)
        assert isinstance(sent, Send) and isinstance(sent.message, RunBatch)
        done = BatchDone(sent.message.batch_id, sent.message.columns)
        (answer,) = dispatcher.handle(MessageReceived(sent.worker_id, done), 0.0)
        assert isinstance(answer, Answer) and not isinstance(answer.results, Exception)
        dispatcher.next_wakeup()
    return (time.thread_time() - start) / REQUESTS * 1e6


def measure(workers: int, servables: int) -> Cell | None:
    """One cell of the table; None: it takes too long to set up."""
    dispatcher = Dispatcher(Limits())
    gc.collect()
    registering = fill(dispatcher, workers, servables)
    if registering is None:
        return None
    numbers = iter(range(10**9))
    request = min(request_microseconds(dispatcher, servables, numbers) for _ in range(ROUNDS))
    start = time.thread_time()
    dispatcher.handle(ConnectionDropped(), 0.0)
    dispatcher.handle(Tick(), 0.0)
    drop = (time.thread_time() - start) * 1e6
    leavers = [f"w{number}" for number in range(min(workers, 100))]
    drop_more = each(dispatcher, [ConnectionDropped()] * 100)
    drain = each(dispatcher, [MessageReceived(name, Leaving()) for name in leavers[::2]])
    lose = each(dispatcher, [MessageReceived(name, Goodbye()) for name in leavers[1::2] or leavers])
    return Cell(request, registering, drop, drop_more, drain, lose)


def each(dispatcher: Dispatcher, events: Sequence[Event]) -> float:
    """CPU microseconds of one of them."""
    start = time.thread_time()
    for event in events:
        dispatcher.handle(event, 0.0)
    return (time.thread_time() - start) / len(events) * 1e6


def print_table(quick: bool) -> None:
    print("CPU microseconds in the core, best of some rounds\n")
    print(
        "| workers | servables | a request | to register one more | a dropped connection | one more of a burst ", end=""
    )
    print("| to drain one | to lose one |\n|---|---|---|---|---|---|---|---|")
    for servables in SERVABLES:
        for workers in WORKERS[:-1] if quick else WORKERS:
            if workers < servables:
                continue
            cell = measure(workers, servables)
            if cell is None:
                print(f"| {workers:,} | {servables} | registering takes more than {_ENOUGH_SECONDS:.0f} s |")
                continue
            print(
                f"| {workers:,} | {servables} | {cell.request:.1f} | {cell.register:.1f} | {cell.drop:.1f} "
                f"| {cell.drop_more:.1f} | {cell.drain:.1f} | {cell.lose:.1f} |",
                flush=True,
            )


class Storm:
    """A real master in an event loop of its own, and fake workers that are hardly more than their sockets."""

    def __init__(self) -> None:
        self.context = zmq.Context[zmq.Socket[bytes]]()
        self.context.set(zmq.MAX_SOCKETS, 4 * STORM_WORKERS)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def run(self, servables: int) -> float:
        """Seconds from the first worker's first step until the master has accepted all."""
        self._thread.start()
        server, address = asyncio.run_coroutine_threadsafe(self._open(), self._loop).result()
        context = zmq.Context[zmq.Socket[bytes]]()
        context.set(zmq.MAX_SOCKETS, 2 * STORM_WORKERS)
        poller, sockets = zmq.Poller(), []
        start = time.monotonic()
        for number in range(STORM_WORKERS):
            socket = context.socket(zmq.DEALER)
            socket.setsockopt(zmq.LINGER, 0)
            socket.setsockopt(zmq.ROUTING_ID, f"w{number}".encode())
            socket.connect(f"tcp://{address}")
            socket.send_multipart(encode(register(number, servables)))
            poller.register(socket, zmq.POLLIN)
            sockets.append(socket)
        self._hear_all(poller, len(sockets))
        seconds = time.monotonic() - start
        for socket in sockets:
            socket.close()
        context.term()
        asyncio.run_coroutine_threadsafe(server.stop(1.0), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self.context.term()
        return seconds

    async def _open(self) -> tuple[MasterServer, Address]:
        server = MasterServer(Limits(lease_seconds=600.0), self.context)  # they do not beat
        address = server.open_control(Address("127.0.0.1", 0))
        assert isinstance(address, Address)
        return server, address

    def _hear_all(self, poller: zmq.Poller, missing: int) -> None:
        while missing:
            for socket, _ in poller.poll(60_000):
                message = decode(socket.recv_multipart())
                assert isinstance(message, Registered), message
                missing -= 1


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost in the core against the number of workers and servables.")
    parser.add_argument("--quick", action="store_true", help="without the largest number of workers")
    arguments = parser.parse_args()
    print_table(arguments.quick)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # both ends of every connection are in this process
    print(f"\na storm of {STORM_WORKERS} workers over real sockets: seconds until all are registered")
    for servables in (1, 100):
        print(f"{servables:4} servables  {Storm().run(servables):6.2f}")


if __name__ == "__main__":
    main()
