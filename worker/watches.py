"""What the link's thread waits for: ZeroMQ sockets and plain ones, and what to do when one is ready.

Not a zmq.Poller: that asks each of its ZeroMQ sockets twice a turn, by system calls, though nothing comes by them where
the master is on the same machine. Their FDs are waited for like others, by the rule of zmq_getsockopt(3), ZMQ_FD: one
tells only of changes, so the socket is asked itself after each look, and after each send, until it has nothing.
"""

import select
import socket
from collections.abc import Callable
from typing import TypeAlias, cast

import zmq

from mindspore_serving.cluster.session_events import Event

Source: TypeAlias = "zmq.Socket[bytes] | socket.socket"
Take: TypeAlias = Callable[[], list[Event]]  # what is there

READABLE, WRITABLE, NOTHING = select.EPOLLIN, select.EPOLLOUT, 0  # an end or an error is told in each case

_EVENTS, _POLLIN = int(zmq.EVENTS), int(zmq.POLLIN)


class Watches:
    """`owner` of a source is told with what it brings."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._takes: dict[int, tuple[str, Take]] = {}
        self._zeromq: dict[int, zmq.Socket[bytes]] = {}
        self._to_ask: set[int] = set()  # of those: they may have something

    def watch(self, owner: str, source: Source, take: Take, events: int = READABLE) -> None:
        """Waits for it from now on. Once more for the same source: replaces what was to be done."""
        number = source.fileno()
        if number in self._takes:
            self._epoll.modify(number, events)
        else:
            self._epoll.register(number, events)
        self._takes[number] = owner, take
        if isinstance(source, zmq.Socket):
            self._zeromq[number] = source
            self._to_ask.add(number)

    def unwatch(self, source: Source) -> None:
        """Before it is closed."""
        number = source.fileno()
        self._epoll.unregister(number)
        del self._takes[number]
        self._zeromq.pop(number, None)
        self._to_ask.discard(number)

    def ask_again(self, source: "zmq.Socket[bytes]") -> None:
        """It was used, which may have swallowed the news of something to read."""
        self._to_ask.add(source.fileno())

    def wait(self, seconds: float) -> list[tuple[str, Take]]:
        """Those that are ready within this time. What one brings may close another: let each take look."""
        ready = self._asked()
        for number, _ in self._epoll.poll(0 if ready else seconds):
            if number in self._zeromq:
                self._to_ask.add(number)
            else:
                ready.append(number)
        if self._to_ask:
            ready = list(dict.fromkeys([*ready, *self._asked()]))
        found = [self._takes.get(number) for number in ready]  # another thread may have closed it since
        return [take for take in found if take is not None]

    def close(self) -> None:
        """All sources are unwatched."""
        self._epoll.close()

    def _asked(self) -> list[int]:
        """The ZeroMQ sockets that have something; the others need not be asked again."""
        for number in list(self._to_ask):
            if not cast(int, self._zeromq[number].getsockopt(_EVENTS)) & _POLLIN:
                self._to_ask.discard(number)
        return list(self._to_ask)
