"""`python -m master` is killed and started again while clients call: no caller sees it, whatever a call's size."""

import asyncio
import itertools
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import zmq

from mindspore_serving.client import AsyncClient, Client
from tests.client.echo_worker import echo_worker
from tests.processes import Process, Processes, free_port, until

SIZES = (1_000, 300_000, 8_000_000)


class Master:
    """`python -m master` at ports of its own, and a worker that comes back to it."""

    def __init__(self, run: Processes) -> None:
        self._run = run
        self.grpc, self.ctrl = free_port(), free_port()
        self._process: Process

    def start(self) -> None:
        self._process = self._run.start("-m", "master", "--grpc", str(self.grpc), "--ctrl", str(self.ctrl))

    def wait(self) -> None:
        self._process.wait_for("Serving gRPC start success")

    def kill(self) -> None:
        self._process.kill()


@contextmanager
def masters(run: Processes, count: int) -> Iterator[list[Master]]:
    """Running masters with a worker each."""
    context = zmq.Context[zmq.Socket[bytes]]()
    started = [Master(run) for _ in range(count)]
    try:
        with ExitStack() as stack:
            for master in started:
                master.start()
            for index, master in enumerate(started):
                master.wait()
                stack.enter_context(echo_worker(context, master.ctrl, f"echo-{index}"))
            yield started
    finally:
        context.term()


class Load:
    """Callers, one for each size and one that uses asyncio and no deadline; each answer is compared with its call."""

    def __init__(self, address: str, **options: Any) -> None:
        self._address = address
        self._options = options
        self._is_over = threading.Event()
        self.wrong: list[Any] = []
        self.right = dict.fromkeys((*SIZES, 0), 0)
        self._threads = [threading.Thread(target=self._call, args=(size,)) for size in SIZES]
        self._threads.append(threading.Thread(target=lambda: asyncio.run(self._call_async())))

    def __enter__(self) -> "Load":
        for size in SIZES:  # workers need a moment to register; from then on nothing may fail
            with Client(self._address, "add", "echo") as client:
                until(lambda: isinstance(client.infer({"x": np.zeros(size, np.uint8)}), list), "the first answer")  # noqa: B023
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def wait_for_more(self) -> None:
        """Until every caller has had some answers to calls that began after this."""
        before = dict(self.right)
        until(lambda: all(self.right[size] > before[size] + 2 for size in before), "more answers")

    def _call(self, size: int) -> None:
        with Client(self._address, "add", "echo", timeout=30.0, **self._options) as client:
            for number in itertools.count():
                if self._is_over.is_set():
                    return
                self._check(size, number, client.infer({"x": np.full(size, number % 251, np.uint8)}))

    async def _call_async(self) -> None:
        async with AsyncClient(self._address, "add", "echo", **self._options) as client:
            for number in itertools.count():
                if self._is_over.is_set():
                    return
                self._check(0, number, await client.infer({"x": np.full(64, number % 251, np.uint8)}))

    def _check(self, size: int, number: int, result: Any) -> None:
        if isinstance(result, list) and "x" not in result[0] and bool((result[0]["y"] == number % 251).all()):
            self.right[size] += 1
        else:
            self.wrong.append(result)


def test_a_master_that_is_killed_and_started_again_costs_no_call(run: Processes) -> None:
    with masters(run, 1) as (master,), Load(f"127.0.0.1:{master.grpc}") as load:
        load.wait_for_more()
        master.kill()
        master.start()
        master.wait()
        load.wait_for_more()
    assert load.wrong == []


def test_two_masters_that_die_in_turn_cost_no_call(run: Processes) -> None:
    with masters(run, 2) as pair:
        with Load(",".join(f"127.0.0.1:{master.grpc}" for master in pair)) as load:
            for master in pair:
                load.wait_for_more()
                master.kill()
                load.wait_for_more()  # from the other one
                master.start()
                master.wait()
            load.wait_for_more()
        assert load.wrong == []
