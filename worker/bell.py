"""Wakes up a thread that waits for files: once it rang, `ear` is readable."""

import contextlib
import socket


class Bell:
    """ring() from any thread; the rest in the one that is to wake up."""

    def __init__(self) -> None:
        self.ear, self._rope = socket.socketpair()
        self.ear.setblocking(False)
        self._rope.setblocking(False)

    def ring(self) -> None:
        """Who waits looks around once more."""
        with contextlib.suppress(OSError):  # full: it is being woken already; closed: nobody is left to tell
            self._rope.send(b"\0")

    def silence(self) -> None:
        """It is awake."""
        with contextlib.suppress(OSError):  # silent, or closed
            self.ear.recv(4096)

    def close(self) -> None:
        """Who waits now wakes up if it rang; from now on it wakes nobody."""
        self.ear.close()
        self._rope.close()
