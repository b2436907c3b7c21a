"""Connections that are held for nothing: by a client who asks nothing more, or who does not read its answers."""

import asyncio
from collections.abc import Callable


class IdleWatch:
    """Ends what nobody has used for so many seconds. One timer serves many short waits."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, seconds: float, is_idle: Callable[[], bool], end: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._seconds = seconds
        self._is_idle = is_idle
        self._end = end
        self._since = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """It is idle from now on."""
        self._since = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_later(self._seconds, self._look)

    def close(self) -> None:
        """It has ended, and is let go: it would stay until Python looks for garbage."""
        if self._timer is not None:
            self._timer.cancel()
        self._is_idle, self._end = _never, _nothing

    def _look(self) -> None:
        self._timer = None
        if self._is_idle():  # else begin() comes again
            left = self._since + self._seconds - self._loop.time()
            if left > 0:
                self._timer = self._loop.call_later(left, self._look)
            else:
                self._end()


def _never() -> bool:
    return False


def _nothing() -> None:
    pass


class StallWatch:
    """Aborts a connection when, for so many seconds, nothing is read of what waits to be sent."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, transport: asyncio.Transport) -> None:
        self._loop = loop
        self._seconds = seconds
        self._transport = transport
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: int | None = None  # bytes, when the timer began; None: more has come to them

    def begin(self) -> None:
        """Something was written, and may wait."""
        if self._timer is None:
            self._measure()
        else:
            self._waiting = None

    def close(self) -> None:
        """The connection has ended."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _measure(self) -> None:
        self._waiting = self._transport.get_write_buffer_size()
        if self._waiting:
            self._timer = self._loop.call_later(self._seconds, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._waiting is not None and self._transport.get_write_buffer_size() >= self._waiting:
            self._transport.abort()
        else:
            self._measure()
