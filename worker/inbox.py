"""Events that other threads leave for the link's, which is woken up for them."""

import queue
import socket

from mindspore_serving.cluster.session_events import Event
from mindspore_serving.worker.bell import Bell


class Inbox:
    """post() and wake() from any thread; the rest in the link's own, which watches `alarm`."""

    def __init__(self) -> None:
        self._posted: queue.SimpleQueue[tuple[str | None, Event]] = queue.SimpleQueue()
        self._bell = Bell()

    @property
    def alarm(self) -> socket.socket:
        """Readable when there is something to take, or another reason to look around."""
        return self._bell.ear

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
        self._bell.ring()

    def silence(self) -> None:
        """It is awake."""
        self._bell.silence()

    def take(self) -> tuple[str | None, Event]:
        """The first of what was posted."""
        return self._posted.get()

    def close(self) -> None:
        """What is posted from now on nobody takes."""
        self._bell.close()
