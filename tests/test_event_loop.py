"""A process's life in an event loop ends like that of asyncio.run(), whichever way the loop waits."""

import asyncio
import contextlib

import pytest

from mindspore_serving import event_loop
from mindspore_serving.master.outlook import Outlook


@pytest.fixture(params=[True, False], ids=["looking", "sleeping"])
def polls(request: pytest.FixtureRequest) -> bool:
    found: bool = request.param
    return found


def test_it_gives_what_the_life_gives_and_raises_what_it_raises(polls: bool) -> None:
    async def life() -> int:
        await asyncio.sleep(0.001)
        return await asyncio.to_thread(lambda: 7)

    async def failing() -> None:
        raise OSError("the port is gone")

    assert event_loop.run(life(), Outlook() if polls else None) == 7
    with pytest.raises(OSError, match="the port is gone"):
        event_loop.run(failing(), Outlook() if polls else None)


def test_tasks_that_are_left_are_ended(polls: bool) -> None:
    ended: list[str] = []
    left: list[asyncio.Task[None]] = []

    async def other() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
        ended.append("cancelled")

    async def life() -> asyncio.AbstractEventLoop:
        left.append(asyncio.create_task(other()))
        await asyncio.sleep(0)
        return asyncio.get_running_loop()

    loop = event_loop.run(life(), Outlook() if polls else None)
    assert ended == ["cancelled"]
    assert loop.is_closed()
