"""One of several master processes, as its parent sees it: forked, heard, ended, reaped.

Forked, not started anew: the parent is small and has one thread, so that a copy of it is a clean start, and settings
and shared memory are there already.
"""

import contextlib
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable

from mindspore_serving.cluster.errors import ServingError
from mindspore_serving.worker.signal_pipe import stop_signals

_LONGEST_WORD = 65536


class Voice:
    """How a child tells its parent how far it is, in sd_notify's words. Can be read when the parent has gone."""

    def __init__(self, channel: socket.socket, watchdog_seconds: float | None) -> None:
        self._channel = channel
        self.watchdog_seconds = watchdog_seconds

    def __call__(self, state: str) -> None:
        """Says one state. A parent that does not listen is not waited for."""
        with contextlib.suppress(OSError):
            self._channel.send(state.encode(errors="replace"), socket.MSG_DONTWAIT)

    def fileno(self) -> int:
        return self._channel.fileno()


class MasterChild:
    """Runs from construction on. Its words can be read from `channel`, its end from `exit_fd`.

    life: what the child does; returns its exit code. forget: closes in the child what is the parent's alone. Raises
    OSError where there is no room for one.
    """

    def __init__(
        self,
        slot: int,
        watchdog_seconds: float | None,
        life: Callable[[Voice], int],
        forget: Callable[[], None],
    ) -> None:
        self.slot = slot
        self.ready = False
        self.status = ""
        self.beats = 0  # words of its watchdog
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sys.stdout.flush()
        sys.stderr.flush()
        # A signal that comes before the child has its own handlers should end it, not be taken for the parent's.
        numbers = stop_signals()
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
        try:
            self.pid = os.fork()
            if self.pid == 0:
                self.channel.close()
                _live(Voice(theirs, watchdog_seconds), life, forget, numbers)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            theirs.close()
        self.channel.setblocking(False)
        self.exit_fd = os.pidfd_open(self.pid)

    def __str__(self) -> str:
        return f"process {self.slot + 1}, pid {self.pid}"

    def read(self) -> None:
        """Takes in what it has said since."""
        with contextlib.suppress(BlockingIOError):
            while word := self.channel.recv(_LONGEST_WORD).decode(errors="replace"):
                self.ready = self.ready or word == "READY=1"
                self.beats += word == "WATCHDOG=1"
                if word.startswith("STATUS="):
                    self.status = word.removeprefix("STATUS=")

    def send(self, number: int) -> None:
        """Sends a signal."""
        os.kill(self.pid, number)  # not reaped yet: the pid is its own

    def reap(self) -> int:
        """After it has ended: its exit code, negative for a signal. Lets everything go."""
        self.read()
        _, status = os.waitpid(self.pid, 0)
        os.close(self.exit_fd)
        self.channel.close()
        return os.waitstatus_to_exitcode(status)


def _live(
    voice: Voice, life: Callable[[Voice], int], forget: Callable[[], None], numbers: tuple[signal.Signals, ...]
) -> None:
    """The child, from the fork to its end."""
    code = 1
    try:
        forget()
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)
        code = life(voice)
    except ServingError as error:
        voice(f"STATUS={error}")
    except BaseException:  # whatever it is: the frames below are the parent's, and nobody's here
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):  # whoever read the output has gone
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
