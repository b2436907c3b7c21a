"""A promise's listener hears where it is kept, and once; who awaits it is served as by a future."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from mindspore_serving.master.promise import Promise, kept

ENDS: dict[str, Callable[[Promise[int]], Any]] = {
    "kept": lambda promise: promise.keep(1),
    "broken": lambda promise: promise.break_(ValueError("no")),
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("is_early", [False, True])
def test_its_listener_hears_at_once(end: str, is_early: bool) -> None:
    promise: Promise[int] = Promise()
    heard: list[object] = []
    if is_early:
        ENDS[end](promise)
        promise.when_done(heard.append)
    else:
        promise.when_done(heard.append)
        ENDS[end](promise)
    assert heard == [promise] and promise.is_done


def test_one_that_is_broken_raises_why() -> None:
    promise: Promise[int] = Promise()
    promise.break_(ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        promise.result()


def test_nobody_hears_of_one_that_is_cancelled() -> None:
    promise: Promise[int] = Promise()
    heard: list[object] = []
    promise.when_done(heard.append)
    promise.cancel()
    promise.cancel()
    assert promise.is_done and not heard


def test_who_awaits_it_gets_the_result_or_what_broke_it() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        assert await kept(2) == 2
        promise: Promise[int] = Promise()
        loop.call_soon(promise.keep, 3)
        assert await promise == 3
        broken: Promise[int] = Promise()
        loop.call_soon(broken.break_, ValueError("no"))
        with pytest.raises(ValueError, match="no"):
            await broken

    asyncio.run(scenario())


def test_to_cancel_who_awaits_it_cancels_it() -> None:
    async def scenario() -> None:
        promise: Promise[int] = Promise()
        future = promise.future(asyncio.get_running_loop())
        assert future.cancel() and not promise.is_done
        await asyncio.sleep(0)
        assert promise.is_done
        # What was kept in the same turn of the loop comes too late for one who has left.
        other: Promise[int] = Promise()
        future = other.future(asyncio.get_running_loop())
        future.cancel()
        other.keep(1)
        await asyncio.sleep(0)
        assert future.cancelled() and other.result() == 1

    asyncio.run(scenario())
