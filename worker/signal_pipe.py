"""SIGTERM and SIGINT, and news of other threads, as bytes in a pipe that one thread waits at.

Not by handlers that interrupt the main thread: MindSpore puts SIGINT's handler back with SA_RESTART after a call, so
that a main thread which waits for a lock never gets to run it. The byte is written by Python's C handler at once.
"""

import contextlib
import signal
import socket
from types import FrameType
from typing import Any

NEWS = 0  # what wait() returns for post(); signals have other numbers
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class SignalPipe:
    """Listens from construction to close(); both in the main thread."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._old_wakeup_fd = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._old_handlers: dict[int, Any] = {number: signal.signal(number, _ignore) for number in _SIGNALS}

    def fileno(self) -> int:
        """For a selector: it can be read when wait() has something to return."""
        return self._reader.fileno()

    def post(self) -> None:
        """Wakes the waiting thread. From any thread."""
        with contextlib.suppress(OSError):  # full: it is being woken; closed: nobody waits any more
            self._writer.send(bytes([NEWS]))

    def wait(self, seconds: float | None = None) -> int | None:
        """Blocks until something comes: NEWS, or the number of a signal. None: nothing came for so long."""
        self._reader.settimeout(seconds)
        try:
            return self._reader.recv(1)[0]
        except TimeoutError:
            return None

    def close(self) -> None:
        """Puts everything back as it was."""
        signal.set_wakeup_fd(self._old_wakeup_fd)
        for number, handler in self._old_handlers.items():
            signal.signal(number, handler)
        self._reader.close()
        self._writer.close()


def _ignore(_signal: int, _frame: FrameType | None) -> None:
    """The byte in the pipe says it all; this only keeps the signal from its default action."""
