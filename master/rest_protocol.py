"""HTTP connections with bounds that uvicorn lacks: late heads, bodies after the answer, readers that stall, floods.

A head is the request line and the headers. Its size is bounded by h11: see MOST_HEAD_BYTES.
"""

import asyncio
import resource
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

MOST_HEAD_BYTES = 16 * 1024  # of a head that is not complete
_MOST_CONNECTIONS = 4096
_LATE = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_TOO_MANY = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nretry-after: 1\r\nconnection: close\r\n\r\n"


def _connections() -> int:
    """Half of the files that this process may open: the other half is for gRPC, workers and everything else."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST_CONNECTIONS if files == resource.RLIM_INFINITY else min(_MOST_CONNECTIONS, files // 2)


@dataclass(frozen=True)
class HttpLimits:
    """What one connection, and all of them together, may take."""

    head_seconds: float = 10.0  # from the first byte (for the first request: from the connection) to the last of a head
    rest_seconds: float = 5.0  # for a body that goes on after its answer: read, so that the client sees the answer
    stalled_seconds: float = 30.0  # without a byte read by a client whose answer waits
    connections: int = 0  # at once; 0: as many as the open files of this process allow

    @property
    def most_connections(self) -> int:
        """The number that holds."""
        return self.connections or _connections()


class _Awaited(Enum):
    NOTHING = auto()
    HEAD = auto()
    REST_OF_BODY = auto()  # of a request that is answered already


class BoundedProtocol(H11Protocol):
    """One connection. uvicorn makes it; `limits` are of the class."""

    limits = HttpLimits()

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._awaited: tuple[_Awaited, object] = (_Awaited.NOTHING, None)
        self._late: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.limits.most_connections:
            self._refused = True
            self._end(_TOO_MANY)
            return
        self._watch()

    def data_received(self, data: bytes) -> None:
        if not self._refused:
            super().data_received(data)
            self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        for timer in (self._late, self._stalled):
            if timer is not None:
                timer.cancel()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_writing()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _watch(self) -> None:
        """Sets the timer for what the client has to send next; one that runs for the same thing goes on."""
        awaited = (self._what_is_awaited(), self.cycle)
        if awaited == self._awaited:
            return
        self._awaited = awaited
        if self._late is not None:
            self._late.cancel()
            self._late = None
        if awaited[0] is not _Awaited.NOTHING and not self.transport.is_closing():
            seconds = self.limits.head_seconds if awaited[0] is _Awaited.HEAD else self.limits.rest_seconds
            self._late = self.loop.call_later(seconds, self._on_late)

    def _what_is_awaited(self) -> _Awaited:
        if self.conn.their_state is h11.IDLE:
            # Between two requests nothing is awaited: uvicorn's keep-alive timer runs.
            is_first = self.cycle is None
            return _Awaited.HEAD if is_first or self.conn.trailing_data[0] else _Awaited.NOTHING
        answered = self.cycle is not None and self.cycle.response_complete
        return _Awaited.REST_OF_BODY if answered and self.conn.their_state is h11.SEND_BODY else _Awaited.NOTHING

    def _on_late(self) -> None:
        has_begun = self._awaited[0] is _Awaited.HEAD and self.conn.trailing_data[0]
        self._end(_LATE if has_begun else b"")

    def _end(self, last_words: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(last_words)
            self.transport.close()

    def _watch_writing(self) -> None:
        waiting = self.transport.get_write_buffer_size()
        self._stalled = self.loop.call_later(self.limits.stalled_seconds, self._on_stalled, waiting)

    def _on_stalled(self, waiting: int) -> None:
        if self.transport.get_write_buffer_size() >= waiting:
            self.transport.abort()
        else:
            self._watch_writing()


def protocol_with(limits: HttpLimits) -> type[BoundedProtocol]:
    """The protocol with these limits."""

    class Limited(BoundedProtocol):
        pass

    Limited.limits = limits
    return Limited
