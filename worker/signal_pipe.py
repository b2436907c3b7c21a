"""SIGTERM, SIGINT and SIGHUP, and news of other threads, as bytes in a pipe that one thread waits at.

Not by handlers that interrupt the main thread: MindSpore puts SIGINT's handler back with SA_RESTART after a call, so
that a main thread which waits for a lock never gets to run it. The byte is written by Python's C handler at once.

A process that is forked off meanwhile, as multiprocessing does, shares the pipe: a signal to it would stop its parent.
So there everything is put back as it was before, and a signal that comes earlier waits until then.
"""

import contextlib
import os
import signal
import socket
import threading
import weakref
from collections.abc import Callable
from types import FrameType
from typing import Any

NEWS = 0  # what wait() returns for post(); signals have other numbers
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def stop_signals() -> tuple[signal.Signals, ...]:
    """Those that tell this process to end. SIGHUP, of a closed terminal, unless it is to outlive that (nohup)."""
    outlives = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return _SIGNALS[:2] if outlives else _SIGNALS


class SignalPipe:
    """Listens from construction to close(); both in the main thread."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._old_wakeup_fd = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._old_handlers: dict[int, Any] = {
            number: signal.signal(number, self._on_signal) for number in stop_signals()
        }
        self._is_passed_on = False
        listening = weakref.WeakMethod(self._put_back)  # what is registered there stays for ever
        _in_forked_ones(lambda: None if (put_back := listening()) is None else put_back())

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

    def pass_on(self, number: int) -> None:
        """After the last wait(), from any thread: a main thread that still runs its program gets the signal, as if
        nobody had listened.
        """
        if threading.main_thread().is_alive():  # not when it only waits for the other threads
            self._is_passed_on = True
            os.kill(os.getpid(), number)

    def close(self) -> None:
        """Puts everything back as it was."""
        self._put_back()
        self._reader.close()
        self._writer.close()

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        """Else the byte in the pipe says it all: this only keeps the signal from its default action."""
        if self._is_passed_on:
            self.close()
            signal.raise_signal(number)

    def _put_back(self) -> None:
        if not self._old_handlers:
            return
        signal.set_wakeup_fd(self._old_wakeup_fd)
        for number, handler in self._old_handlers.items():
            # None: it was not Python that had set it, and Python cannot set it again.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._old_handlers = {}


def let_forked_ones_end() -> None:
    """From now on signals end processes that are forked off here, though an event loop listens to them in this one."""

    def forget() -> None:
        signal.set_wakeup_fd(-1)
        for number in stop_signals():
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

    _in_forked_ones(forget)


def _in_forked_ones(put_back: Callable[[], None]) -> None:
    """Calls it there, before any signal is heard, whichever thread has forked."""
    masks = threading.local()

    def hold_back() -> None:
        masks.before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)

    def go_on() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, masks.before)

    def go_on_apart() -> None:
        put_back()
        go_on()

    os.register_at_fork(before=hold_back, after_in_parent=go_on, after_in_child=go_on_apart)
