"""A future whose one listener hears at once, not at the next turn of the event loop."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class PromptFuture(asyncio.Future[T]):
    """For who made it to set where a callback may run: it runs there."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self._hear: Callable[[Any], None] | None = None

    def when_done(self, hear: Callable[[Any], None]) -> None:
        """`hear` gets this future when it is done; a turn of the loop later if it is cancelled."""
        self._hear = hear
        if self.done():
            hear(self)

    def set_result(self, result: T) -> None:
        super().set_result(result)
        if self._hear is not None:
            self._hear(self)

    def set_exception(self, exception: type | BaseException) -> None:
        super().set_exception(exception)
        if self._hear is not None:
            self._hear(self)

    def cancel(self, msg: object = None) -> bool:
        cancelled = super().cancel(msg)
        if cancelled and self._hear is not None:
            self.get_loop().call_soon(self._hear, self)
        return cancelled
