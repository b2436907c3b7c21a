"""A process's life in an event loop ends like that of asyncio.run(), whichever way the loop waits."""

import asyncio
import contextlib
import socket

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


def test_readers_and_writers_are_called_as_asyncio_does(polls: bool) -> None:
    ours, peer = socket.socketpair()
    ours.setblocking(False)

    async def life() -> asyncio.AbstractEventLoop:
        loop = asyncio.get_running_loop()
        heard: asyncio.Queue[bytes] = asyncio.Queue()
        loop.add_reader(ours, lambda: heard.put_nowait(ours.recv(9)))
        assert ours.fileno() not in loop._selector.get_map(), "asyncio has it"  # type: ignore[attr-defined]
        peer.send(b"x")
        assert await heard.get() == b"x"
        assert loop.remove_reader(ours.fileno())
        assert not loop.remove_reader(ours)
        written = asyncio.Event()
        loop.add_writer(ours.fileno(), asyncio.Event.set, written)
        await written.wait()
        assert loop.remove_writer(ours)
        await loop.sock_sendall(ours, b"y")  # asyncio's own way
        assert peer.recv(9) == b"y"
        fault: asyncio.Future[Exception] = loop.create_future()
        loop.set_exception_handler(lambda _, context: fault.set_result(context["exception"]))
        loop.add_reader(ours, lambda: int(ours.recv(9)))
        peer.send(b"z")
        assert isinstance(await fault, ValueError)
        return loop

    with ours, peer:
        loop = event_loop.run(life(), Outlook() if polls else None)
        assert not loop.remove_reader(ours)
        assert not loop.remove_writer(ours)
