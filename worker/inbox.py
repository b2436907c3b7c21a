"""Events that other threads leave for the link's, which is woken up for them."""

import contextlib
import queue
import socket

from mindspore_serving.cluster.session_events import Event


class Inbox:
    """post() and wake() from any thread; the rest in the link's own, which watches `alarm`."""

    def __init__(self) -> None:
        self._posted: queue.SimpleQueue[tuple[str | None, Event]] = queue.SimpleQueue()
        self.alarm, self._waker = socket.socketpair()
        self.alarm.setblocking(False)
        self._waker.setblocking(False)

    @property
    def is_empty(self) -> bool:
        """Nothing is left to take."""
        return self._posted.empty()

    def post(self, master: str | None, event: Event) -> None:
        """Of this master, or for every one."""
        self._posted.put((master, event))
        self.wake()

    def wake(self) -> None:
        """The link looks around once more."""
        with contextlib.suppress(OSError):  # full: it is being woken already; closed: nobody is left to tell
            self._waker.send(b"\0")

    def silence(self) -> None:
        """It is awake."""
        with contextlib.suppress(BlockingIOError):
            self.alarm.recv(4096)

    def take(self) -> tuple[str | None, Event]:
        """The first of what was posted."""
        return self._posted.get()

    def close(self) -> None:
        """What is posted from now on nobody takes."""
        self.alarm.close()
        self._waker.close()
