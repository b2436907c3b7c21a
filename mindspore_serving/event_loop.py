"""Runs a process's life in an event loop: as asyncio.run(), with the loop's way to wait for us to choose."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from mindspore_serving.cluster.patience import Patience
from mindspore_serving.master.outlook import Outlook
from mindspore_serving.master.patient_selector import ExactSelector, PatientSelector

T = TypeVar("T")


class _Loop(asyncio.SelectorEventLoop):
    """asyncio's, whose clock is asked several times for each request: without a call of Python in between."""

    time = staticmethod(time.monotonic)


def run(life: Coroutine[Any, Any, T], outlook: Outlook | None) -> T:
    """Returns what it returns, when it and all its tasks are over.

    outlook: a core may be used to wait, and the life tells there when that is of no use yet. None: the loop sleeps.
    """
    selector = ExactSelector() if outlook is None else PatientSelector(Patience(), outlook)
    loop = _Loop(selector)
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(life)
    finally:
        try:
            loop.run_until_complete(_end_all())
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            asyncio.set_event_loop(None)
            loop.close()


async def _end_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
