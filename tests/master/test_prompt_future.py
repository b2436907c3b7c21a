"""A prompt future's listener hears where the result is set, and once."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from mindspore_serving.master.prompt_future import PromptFuture

ENDS: dict[str, Callable[[PromptFuture[int]], Any]] = {
    "result": lambda future: future.set_result(1),
    "exception": lambda future: future.set_exception(ValueError("no")),
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("is_early", [False, True])
def test_its_listener_hears_at_once(end: str, is_early: bool) -> None:
    async def scenario() -> None:
        future: PromptFuture[int] = PromptFuture(asyncio.get_running_loop())
        heard: list[object] = []
        if is_early:
            ENDS[end](future)
            future.when_done(heard.append)
        else:
            future.when_done(heard.append)
            ENDS[end](future)
        assert heard == [future]
        future.exception()
        await asyncio.sleep(0)
        assert heard == [future]

    asyncio.run(scenario())


def test_a_cancelled_one_is_heard_of_later() -> None:
    async def scenario() -> None:
        future: PromptFuture[int] = PromptFuture(asyncio.get_running_loop())
        heard: list[object] = []
        future.when_done(heard.append)
        assert future.cancel() and not heard
        await asyncio.sleep(0)
        assert heard == [future]
        assert not future.cancel()

    asyncio.run(scenario())


def test_who_awaits_it_gets_the_result_too() -> None:
    async def scenario() -> None:
        future: PromptFuture[int] = PromptFuture(asyncio.get_running_loop())
        future.when_done(lambda _: None)
        asyncio.get_running_loop().call_soon(future.set_result, 3)
        assert await future == 3

    asyncio.run(scenario())
