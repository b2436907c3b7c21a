"""When a master listens to clients: one of several processes when it has the others' workers, any as it was told.

So a client whose connection comes to a process that has just been started again finds there what it would elsewhere.
"""

import asyncio
import logging
from collections.abc import Sequence

from mindspore_serving.master.server import MasterServer
from mindspore_serving.siblings import Place
from mindspore_serving.telling import tell

logger = logging.getLogger("mindspore_serving.master")

LOOK_SECONDS = 0.02  # memory that others write tells nobody of a change
LACKING_SECONDS = 10.0  # a process that lacks workers for so long says so


def follow(server: MasterServer, place: Place, told_to_stop: asyncio.Event) -> "list[asyncio.Task[None]]":
    """What goes on as long as the process: it counts its workers, compares, and stops when its parent has gone."""
    loop = asyncio.get_running_loop()

    def orphaned() -> None:
        loop.remove_reader(place.lifeline)
        told_to_stop.set()

    loop.add_reader(place.lifeline, orphaned)
    return [asyncio.create_task(_count(server, place)), asyncio.create_task(compare(server, place))]


async def until_workers_are_here(
    server: MasterServer, place: Place, seconds: float, told_to_stop: asyncio.Event
) -> None:
    """Returns when no other process has more workers; or after so long, or when told to stop."""
    stop = asyncio.create_task(told_to_stop.wait())
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while server.worker_count < place.tally.most() and loop.time() < deadline and not stop.done():
        await asyncio.wait((stop,), timeout=LOOK_SECONDS)
    stop.cancel()


async def until_servables_are_here(server: MasterServer, servables: Sequence[str], told_to_stop: asyncio.Event) -> None:
    """Returns when each of them can be called, or when told to stop."""
    tasks = [asyncio.create_task(work) for work in (_none_is_lacking(server, servables), told_to_stop.wait())]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()


async def _none_is_lacking(server: MasterServer, servables: Sequence[str]) -> None:
    told: list[str] = []
    while lacking := server.lacking(servables):
        if lacking != told:
            told = lacking
            tell(f"Serving: clients may connect when there are workers of {', '.join(lacking)}")
        await server.workers_change()


async def _count(server: MasterServer, place: Place) -> None:
    while True:
        place.tally.put(place.slot, server.worker_count)
        await server.workers_change()


async def compare(server: MasterServer, place: Place, seconds: float = LACKING_SECONDS) -> None:
    """A worker that reaches one process and not another leaves that one's clients without answers: it says so, once."""
    times = 0
    while True:
        await asyncio.sleep(seconds)
        here, most = server.worker_count, place.tally.most()
        times = times + 1 if here < most else 0
        if times == 2:
            text = "%s workers are registered here, %s at another process: workers have to reach %s too"
            logger.warning(text, here, most, place.endpoint)
