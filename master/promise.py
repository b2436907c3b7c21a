"""A result that comes later, and one listener who hears of it at once, not at the next turn of the event loop.

One is made for every call, so it is less than a future: it can be awaited, but knows no event loop until it is.
"""

import asyncio
from collections.abc import Callable, Generator
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")


class Promise(Generic[T]):
    """For who made it to keep where the listener may run: it runs there."""

    def __init__(self) -> None:
        self.is_done = False  # kept, broken or cancelled
        self.error: BaseException | None = None  # why it was broken
        self._result: T | None = None
        self._hear: Callable[[Promise[T]], None] | None = None

    def when_done(self, hear: "Callable[[Promise[T]], None]") -> None:
        """`hear` gets this promise when it is kept or broken. Who cancels it knows."""
        if self.is_done:
            hear(self)
        else:
            self._hear = hear

    def keep(self, result: T) -> None:
        """Here it is. Once, and not after break_()."""
        self._result = result
        self._tell()

    def break_(self, error: BaseException) -> None:
        """There will be none."""
        self.error = error
        self._tell()

    def result(self) -> T:
        """Of one that is done. Raises what broke it."""
        if self.error is not None:
            raise self.error
        return cast(T, self._result)  # T may include None

    def cancel(self) -> None:
        """Nobody waits for it any more; what is kept after that nobody hears."""
        if not self.is_done:
            self.is_done = True
            self._hear = None
            self.error = asyncio.CancelledError()

    def __await__(self) -> Generator[Any, None, T]:
        return self.future(asyncio.get_running_loop()).__await__()

    def future(self, loop: asyncio.AbstractEventLoop) -> "asyncio.Future[T]":
        """The same for who awaits it; to cancel it cancels this."""
        future = loop.create_future()

        def pass_on(_: Promise[T]) -> None:
            if future.done():
                return
            if self.error is None:
                future.set_result(self._result)
            else:
                future.set_exception(self.error)

        def cancel(_: "asyncio.Future[T]") -> None:
            if future.cancelled():
                self.cancel()

        self.when_done(pass_on)
        future.add_done_callback(cancel)
        return future

    def _tell(self) -> None:
        self.is_done = True
        hear, self._hear = self._hear, None
        if hear is not None:
            hear(self)


def kept(result: T) -> Promise[T]:
    """One whose result is here."""
    promise: Promise[T] = Promise()
    promise.keep(result)
    return promise
