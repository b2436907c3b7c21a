"""A plain connection without asyncio's transport: this does the same in less time, as it can be compiled."""

import asyncio
import contextlib
import logging
import socket
from typing import Any, Protocol

logger = logging.getLogger("mindspore_serving.master")

_USUAL_HIGH = 64 << 10


class Owner(Protocol):
    """Whose connection it is: an asyncio.BufferedProtocol, or what looks like one."""

    def connection_made(self, transport: Any) -> None:
        """There it is. Called first."""

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to receive."""

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes are there."""

    def pause_writing(self) -> None:
        """More waits to be sent than should."""

    def resume_writing(self) -> None:
        """No longer."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Closed. Once, and the last that is told."""


class SocketTransport:
    """Of asyncio.Transport, what the connections of both doors need."""

    def __init__(self, loop: asyncio.AbstractEventLoop, connected: socket.socket, owner: Owner) -> None:
        self._loop = loop
        self._socket = connected
        self._owner: Owner | None = owner  # until it has lost us: they would stay until Python looks for garbage
        self._high = _USUAL_HIGH
        self._unsent = bytearray()
        self._is_full = False  # as the owner has been told
        self._is_reading = False
        self._is_closing = False
        self._ends_writing = False

    def start(self) -> None:
        """The owner gets to know it, and what comes."""
        assert self._owner is not None
        self._owner.connection_made(self)
        self.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`socket`: the connected one, to ask."""
        return self._socket if name == "socket" else default

    def get_write_buffer_size(self) -> int:
        """So many bytes are unsent."""
        return len(self._unsent)

    def set_write_buffer_limits(self, high: int) -> None:
        """The owner is told when more than that is unsent, and when a quarter of it is."""
        self._high = high

    def resume_reading(self) -> None:
        """From now on the owner gets what comes."""
        if not self._is_reading and not self._is_closing:
            self._is_reading = True
            self._loop.add_reader(self._socket.fileno(), self._receive)

    def pause_reading(self) -> None:
        """Until resume_reading() it does not."""
        if self._is_reading:
            self._is_reading = False
            self._loop.remove_reader(self._socket.fileno())

    def write(self, data: bytes) -> None:
        """Sends this, now or as soon as the peer takes it."""
        if self._is_closing:
            return
        if self._unsent:
            self._unsent += data
        else:
            try:
                sent = self._socket.send(data)
            except (BlockingIOError, InterruptedError):
                sent = 0
            except OSError as error:
                self._break(error)
                return
            if sent == len(data):
                return
            self._unsent += memoryview(data)[sent:]
            self._loop.add_writer(self._socket.fileno(), self._send)
        if len(self._unsent) > self._high and not self._is_full and self._owner is not None:
            self._is_full = True
            self._owner.pause_writing()

    def can_write_eof(self) -> bool:
        """That of TLS cannot."""
        return True

    def write_eof(self) -> None:
        """The peer sees the end when it has read all. Raises OSError."""
        if self._unsent:
            self._ends_writing = True
        else:
            self._socket.shutdown(socket.SHUT_WR)

    def is_closing(self) -> bool:
        """Whether it is closed, or will be."""
        return self._is_closing

    def close(self) -> None:
        """Closes when all is sent."""
        if not self._is_closing:
            self.pause_reading()
            self._is_closing = True
            if not self._unsent:
                self._loop.call_soon(self._leave, None)

    def abort(self) -> None:
        """Closes at once."""
        self._break(None)

    def hand_over(self, count: int) -> None:
        """The owner gets so many bytes. A fault of its own ends the connection."""
        if self._owner is None:
            return
        try:
            self._owner.buffer_updated(count)
        except Exception as error:
            logger.exception("a fault of the master's own: a connection is closed")
            self._break(error)

    def _receive(self) -> None:
        owner = self._owner
        assert owner is not None
        try:
            count = self._socket.recv_into(owner.get_buffer(-1))
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._break(error)
            return
        if not count:
            self.close()
            return
        self.hand_over(count)

    def _send(self) -> None:
        try:
            sent = self._socket.send(self._unsent)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._break(error)
            return
        del self._unsent[:sent]
        if not self._unsent:
            self._loop.remove_writer(self._socket.fileno())
            if self._is_closing:
                self._leave(None)
                return
            if self._ends_writing:
                self._ends_writing = False
                with contextlib.suppress(OSError):  # the peer is gone already
                    self._socket.shutdown(socket.SHUT_WR)
        if self._is_full and len(self._unsent) <= self._high // 4 and self._owner is not None:
            self._is_full = False
            self._owner.resume_writing()

    def _break(self, error: Exception | None) -> None:
        """What is unsent is lost."""
        if self._unsent:
            self._loop.remove_writer(self._socket.fileno())
            self._unsent.clear()
        elif self._is_closing:
            return  # it leaves in this turn
        self.pause_reading()
        self._is_closing = True
        self._loop.call_soon(self._leave, error)

    def _leave(self, error: Exception | None) -> None:
        owner, self._owner = self._owner, None
        if owner is not None:
            owner.connection_lost(error)
            self._socket.close()
