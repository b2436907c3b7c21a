"""Waits that end early: when time is up, or when the client has gone. What is done for it is cancelled then.

No task is made for them, which costs more than what most of these waits are for.
"""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TypeVar

from starlette.requests import ClientDisconnect
from starlette.types import Receive

T = TypeVar("T")

UNWATCHED_SECONDS = 0.02  # most answers are there by then, and to watch a client costs more than to finish for it


async def within(seconds: float, work: Awaitable[T]) -> T:
    """The result of `work`. Raises asyncio.TimeoutError when it takes longer than that."""
    with _Alarm(asyncio.TimeoutError) as alarm:
        alarm.after(seconds, alarm.ring)
        return await work


async def unless_gone(work: Awaitable[T], receive: Receive) -> T:
    """The result of `work`. Raises ClientDisconnect when the client closes its connection before."""
    watchers: list[asyncio.Task[None]] = []

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        alarm.ring()

    with _Alarm(ClientDisconnect) as alarm:
        alarm.after(UNWATCHED_SECONDS, lambda: watchers.append(asyncio.ensure_future(watch())))
        try:
            return await work
        finally:
            for watcher in watchers:
                watcher.cancel()


class _Alarm:
    """Cancels what the task that it was made in waits for, and is the reason that is told."""

    def __init__(self, reason: type[Exception]) -> None:
        self._reason = reason
        self._task = asyncio.current_task()
        self._timer: asyncio.TimerHandle | None = None
        self._has_rung = False

    def __enter__(self) -> "_Alarm":
        return self

    def __exit__(self, _: object, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._has_rung and isinstance(error, asyncio.CancelledError):
            raise self._reason from None

    def after(self, seconds: float, do: Callable[[], None]) -> None:
        """Once, if the wait lasts so long."""
        self._timer = asyncio.get_running_loop().call_later(seconds, do)

    def ring(self) -> None:
        """The wait is over."""
        self._has_rung = True
        if self._task is not None:
            self._task.cancel()
