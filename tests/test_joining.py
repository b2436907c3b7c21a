"""How one of several processes takes its place: what it waits for, and what it complains of."""

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from typing import Any, cast

import pytest
import zmq

from mindspore_serving.cluster.addresses import Address
from mindspore_serving.cluster.dispatch_events import Limits
from mindspore_serving.joining import compare, until_servables_are_here, until_workers_are_here
from mindspore_serving.master.server import MasterServer
from mindspore_serving.siblings import Place, Tally

LONG_SECONDS = 60.0


class Told(logging.Handler):
    """Hears what is logged."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said = asyncio.Event()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())
        self.said.set()


def place() -> Place:
    """Of the first of two processes; the other one has a worker."""
    tally = Tally(2)
    tally.put(1, 1)
    return Place(0, (Address("host", 6500), Address("host", 6501)), tally, lifeline=-1, regions=None)


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, LONG_SECONDS))


async def opened(context: "zmq.Context[zmq.Socket[bytes]]") -> MasterServer:
    """A master without a worker."""
    return MasterServer(Limits(), context)


def test_it_waits_while_another_process_has_more_workers() -> None:
    async def scenario() -> None:
        with zmq.Context[zmq.Socket[bytes]]() as context:
            server, here, never = await opened(context), place(), asyncio.Event()
            waiting = asyncio.create_task(until_workers_are_here(server, here, LONG_SECONDS, never))
            await asyncio.wait((waiting,), timeout=0.1)
            assert not waiting.done()
            here.tally.put(1, 0)  # the worker has gone
            await waiting
            await server.stop(1.0)

    run(scenario())


@pytest.mark.parametrize("told", [True, False])
def test_it_waits_no_longer_than_it_may(told: bool) -> None:
    async def scenario() -> None:
        with zmq.Context[zmq.Socket[bytes]]() as context:
            server, stop = await opened(context), asyncio.Event()
            if told:
                stop.set()
            await until_workers_are_here(server, place(), 2 * LONG_SECONDS if told else 0.05, stop)
            await server.stop(1.0)

    run(scenario())


def test_workers_that_reach_only_other_processes_are_told_of_once() -> None:
    async def scenario() -> None:
        with zmq.Context[zmq.Socket[bytes]]() as context:
            server = await opened(context)
            comparing = asyncio.create_task(compare(server, place(), seconds=0.001))
            await told.said.wait()
            await asyncio.wait((comparing,), timeout=0.1)  # it would have said it again
            comparing.cancel()
            await server.stop(1.0)

    told = Told()
    logger = logging.getLogger("mindspore_serving.master")
    logger.addHandler(told)
    try:
        run(scenario())
    finally:
        logger.removeHandler(told)
    text = "0 workers are registered here, 1 at another process: workers have to reach host:6500 too"
    assert told.texts == [text]


class LateServer:
    """Gets its servable in the turn of the loop in which it is asked for the first time. Tells of a change once."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._is_here = False
        self._change = self._loop.create_future()

    def lacking(self, servables: Sequence[str]) -> list[str]:
        if not self._is_here:
            self._loop.call_soon(self._come)
        return [] if self._is_here else list(servables)

    async def workers_change(self) -> None:
        await self._change

    def _come(self) -> None:
        self._is_here = True
        self._change.set_result(None)
        self._change = self._loop.create_future()


def test_a_servable_that_comes_at_once_is_not_missed() -> None:
    async def scenario() -> None:
        server = cast(MasterServer, LateServer())
        await until_servables_are_here(server, ["add"], asyncio.Event())

    run(scenario())


def test_each_process_tells_its_workers_of_the_others() -> None:
    assert place().siblings == (6501,) and place().endpoint == Address("host", 6500)
