"""What the link's thread waits for: ZeroMQ sockets and plain ones, and what to do when one is ready."""

import socket
from collections.abc import Callable
from typing import TypeAlias

import zmq

from mindspore_serving.cluster.session_events import Event

Source: TypeAlias = "zmq.Socket[bytes] | socket.socket"
Take: TypeAlias = Callable[[], list[Event]]  # what is there


class Watches:
    """`owner` of a source is told with what it brings."""

    def __init__(self) -> None:
        self._poller = zmq.Poller()
        self._takes: dict[object, tuple[str, Take]] = {}

    def watch(self, owner: str, source: Source, take: Take, events: int = zmq.POLLIN) -> None:
        """Waits for it from now on. Once more for the same source: replaces what was to be done."""
        self._poller.register(source, events)
        self._takes[_key(source)] = owner, take

    def unwatch(self, source: Source) -> None:
        """Before it is closed."""
        self._poller.unregister(source)
        del self._takes[_key(source)]

    def wait(self, milliseconds: int) -> list[tuple[str, Take]]:
        """Those that are ready within this time. What one brings may close another: let each take look."""
        return [self._takes[key] for key, _ in self._poller.poll(milliseconds)]


def _key(source: Source) -> object:
    """As the poller names it."""
    return source if isinstance(source, zmq.Socket) else source.fileno()
