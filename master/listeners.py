"""Where a door listens, and who comes in: the sockets of its address, and the connections that they accept.

What a plain socket accepts is there at once, where asyncio makes a task of it and takes three turns of the loop.
"""

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

from mindspore_serving.cluster.addresses import Address, Endpoint, UnixPath
from mindspore_serving.master.free_address import share
from mindspore_serving.master.secure_transport import SecureTransport
from mindspore_serving.master.socket_transport import Owner, SocketTransport

logger = logging.getLogger("mindspore_serving.master")

BACKLOG = 1024
ACCEPTED_AT_ONCE = 64  # then those have a turn who are here
OUT_OF_FILES_SECONDS = 1.0  # until it is tried again
INBOX_BYTES = 64 << 10  # received at once by TLS
_OUT_OF_FILES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Listeners:
    """Everywhere that one address names. Made and used inside a running event loop."""

    def __init__(self, address: Endpoint, *, is_shared: bool) -> None:
        """Takes the address; nobody is accepted before start(). Raises OSError.

        `is_shared`: other processes of this user may listen there too.
        """
        self._loop = asyncio.get_running_loop()
        self._path: Path | None = None
        if isinstance(address, UnixPath):
            self._path = Path(address.path)
            self._sockets = [_listen_at(self._path)]
            self.address: Endpoint = address
        else:
            self._sockets = _listen(address, is_shared)
            self.address = Address(address.host, self._sockets[0].getsockname()[1])
        self._is_started = False
        self._is_open = True
        self._make_owner: Callable[[], Owner]
        self._has_room: Callable[[int], bool]
        self._tls: ssl.SSLContext | None = None
        self._handshake_seconds = 0.0
        self._inbox = memoryview(b"")
        self._handshakes: set[SecureTransport] = set()

    def start(
        self,
        make_owner: Callable[[], Owner],
        has_room: Callable[[int], bool],
        tls: ssl.SSLContext | None,
        handshake_seconds: float,
    ) -> None:
        """Each connection gets an owner: with `tls`, when it is secure.

        `has_room`: whether one more may come, beside so many that are not secure yet. Who may not is turned away.
        """
        self._make_owner, self._has_room = make_owner, has_room
        self._tls, self._handshake_seconds = tls, handshake_seconds
        if tls is not None:
            self._inbox = memoryview(bytearray(INBOX_BYTES))
        self._is_started = True
        for listener in self._sockets:
            self._watch(listener)

    def stop(self) -> None:
        """Nobody new gets in. Whoever has connected by now does."""
        if not self._is_open:
            return
        for listener in self._sockets:
            self._loop.remove_reader(listener.fileno())
            while self._is_started and self._accept(listener):
                pass
        self._is_open = False
        for listener in self._sockets:
            listener.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Who is not secure yet does not get in either."""
        self.stop()
        for handshake in self._handshakes:
            handshake.abort()

    def _watch(self, listener: socket.socket) -> None:
        if self._is_open:
            self._loop.add_reader(listener.fileno(), self._accept, listener)

    def _accept(self, listener: socket.socket) -> bool:
        """Whether there may be more."""
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                connected = listener.accept()[0]
            except (BlockingIOError, InterruptedError):
                return False
            except OSError as error:
                if error.errno not in _OUT_OF_FILES:  # it has left, or something on the way is wrong
                    logger.info("a client could not connect: %s", error.strerror)
                    continue
                logger.warning("clients wait to connect: %s", error.strerror)
                self._loop.remove_reader(listener.fileno())
                self._loop.call_later(OUT_OF_FILES_SECONDS, self._watch, listener)
                return False
            if self._has_room(len(self._handshakes)):
                connected.setblocking(False)
                self._welcome(connected)
            else:
                connected.close()
        return True

    def _welcome(self, connected: socket.socket) -> None:
        owner = self._make_owner() if self._tls is None else self._secure(self._tls)
        SocketTransport(self._loop, connected, owner).start()

    def _secure(self, tls: ssl.SSLContext) -> SecureTransport:
        handshakes = self._handshakes
        limits = (self._handshake_seconds, handshakes.discard)
        handshake = SecureTransport(self._loop, tls, self._inbox, self._make_owner, *limits)
        handshakes.add(handshake)
        return handshake


def _listen(address: Address, is_shared: bool) -> list[socket.socket]:
    """Sockets at every address that the host has, all with one port. Raises OSError."""
    found = dict.fromkeys(socket.getaddrinfo(*address, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE))
    listeners: list[socket.socket] = []
    lacking: OSError | None = None
    port = address.port
    try:
        for family, kind, protocol, _, resolved in found:
            try:
                listener = socket.socket(family, kind, protocol)
            except OSError as error:  # a machine without IPv6
                lacking = error
                continue
            listeners.append(listener)
            listener.setblocking(False)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # and on all that it accepts
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if is_shared:
                share(listener)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(len(found) > 1))
            listener.bind((resolved[0], port, *resolved[2:]))
            listener.listen(BACKLOG)
            port = listener.getsockname()[1]
    except OSError:
        for listener in listeners:
            listener.close()
        raise
    if not listeners and lacking is not None:
        raise lacking
    return listeners


def _listen_at(path: Path) -> socket.socket:
    if path.is_socket():
        path.unlink()  # of a process that was killed: see check_free
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.setblocking(False)
        listener.bind(str(path))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener
