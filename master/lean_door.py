"""The lean gRPC door: a table of service paths to handlers of raw bytes, served by HTTP/2 of our own on asyncio.

It serves what grpc_api's door serves, for a fifth of the CPU time. docs/grpc-door.md has its limits.
"""

import asyncio
import logging
import resource
import socket
import sys
from pathlib import Path
from typing import Any

from mindspore_serving.cluster.addresses import Address, Endpoint, UnixPath
from mindspore_serving.cluster.errors import SetupError
from mindspore_serving.master.free_address import check_free, share
from mindspore_serving.master.grpc_head import head_reader
from mindspore_serving.master.http2.connection import Connection
from mindspore_serving.master.http2.limits import Limits
from mindspore_serving.master.http2.openings import Openings
from mindspore_serving.master.lean_connection import LINGER_SECONDS, LeanConnection
from mindspore_serving.master.parting import close_behind_the_last, nothing_is_coming
from mindspore_serving.master.service_table import STOPPING_TEXT, RpcFault, ServiceTable, Status
from mindspore_serving.master.tls import Tls

logger = logging.getLogger("mindspore_serving.master")

MEGABYTE = 1 << 20
LAST_WORDS_SECONDS = 1.0
SWEEP_SECONDS = 1.0  # how often it is looked for what takes too long
BACKLOG = 1024
INBOX_BYTES = 256 << 10  # received at once: little enough to stay in a core's cache
MOST_CONNECTIONS = 10_000  # or what the process may open, less what it needs for itself
OWN_FILES = 100
LEAST_HELD_BYTES = 256 << 20  # of requests that are not complete or not drawn yet, of all connections; or
HELD_MESSAGES = 16  # so many of the largest


class LeanDoor:
    """One listening gRPC port, which serves a table of services. Made and used inside a running event loop.

    `is_shared`: other processes of this user may listen at the port too.
    """

    def __init__(
        self, table: ServiceTable, max_message_mb: int, limits: Limits | None = None, *, is_shared: bool = False
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.limits = limits or Limits()
        self.largest_message = max_message_mb * MEGABYTE
        self.draining = False
        self.inbox = memoryview(bytearray(INBOX_BYTES))
        self.most_connections = min(MOST_CONNECTIONS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - OWN_FILES)
        self._read_head = head_reader(table)
        self._openings = Openings()
        self._most_held = max(LEAST_HELD_BYTES, HELD_MESSAGES * self.largest_message)
        self._held = 0
        self._is_shared = is_shared
        self._is_parting = False
        self._is_stopped = False
        self._connections: dict[LeanConnection, None] = {}
        self._listeners: list[socket.socket] = []
        self._path: Path | None = None  # of a unix socket
        self._tls: Tls | None = None
        self._servers: list[asyncio.Server] = []
        self._sweeper: asyncio.TimerHandle | None = None

    def bind(self, address: Endpoint, tls: Tls | None = None) -> Endpoint:
        """Takes the port; nobody is served before start(). Returns the real address. Raises SetupError."""
        try:
            if not self._is_shared:
                check_free(address)
            if isinstance(address, UnixPath):
                self._path = Path(address.path)
                self._listeners = [_listen_at(self._path)]
            else:
                self._listeners = _listen(address, self._is_shared)
        except OSError as error:
            raise SetupError(
                f"Serving gRPC server start failed, create server failed, address {address}: {error.strerror or error}"
            ) from error
        self._tls = tls
        if isinstance(address, UnixPath):
            return address
        return Address(address.host, self._listeners[0].getsockname()[1])

    async def start(self) -> None:
        """Serves clients."""
        tls_limits: dict[str, Any] = {}
        if self._tls is not None:
            tls_limits["ssl_handshake_timeout"] = self.limits.preface_seconds
            if sys.version_info >= (3, 11):  # before, asyncio waits for no peer's goodbye
                tls_limits["ssl_shutdown_timeout"] = LINGER_SECONDS
        for listener in self._listeners:
            server = await self.loop.create_server(
                lambda: LeanConnection(self),
                sock=listener,
                backlog=BACKLOG,
                ssl=None if self._tls is None else self._tls.http2_context,
                **tls_limits,
            )
            self._servers.append(server)
        self._sweeper = self.loop.call_later(SWEEP_SECONDS, self._sweep)

    def refuse_new_calls(self) -> None:
        """From now on a new call gets UNAVAILABLE, which a client may safely send to another master."""
        self.draining = True

    async def part(self) -> None:
        """Nobody new gets in, and clients are told to go elsewhere. Calls that come until they know that are served."""
        await close_behind_the_last(self._servers)
        self._begin_to_part()
        await nothing_is_coming(lambda: not all(connection.knows_end for connection in self._connections))

    async def stop(self) -> None:
        """Stops listening; calls in progress have a moment to end."""
        self.draining = self._is_stopped = True
        self._begin_to_part()
        open_calls = [c.without_calls for c in self._connections if c.without_calls and not c.without_calls.done()]
        if open_calls:
            await asyncio.wait(open_calls, timeout=LAST_WORDS_SECONDS)
        for connection in list(self._connections):
            connection.end(STOPPING_TEXT)
        if self._connections:
            await asyncio.wait([connection.closed for connection in self._connections], timeout=LINGER_SECONDS)
        while self._connections:
            connection = next(iter(self._connections))
            connection.abort()
            await connection.closed
        if self._sweeper is not None:
            self._sweeper.cancel()

    def _begin_to_part(self) -> None:
        if self._is_parting:
            return
        self._is_parting = True
        for server in self._servers:
            server.close()
        for listener in self._listeners:
            listener.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)
        for connection in list(self._connections):
            connection.announce_end()

    # What connections ask.

    def make_http2(self) -> Connection:
        """The state machine of a new connection."""
        return Connection(self._read_head, self.limits, self.loop.time(), self._openings)

    def admit(self, connection: LeanConnection) -> bool:
        """A new connection may stay, if need be in place of the one that has been idle for the longest time."""
        if self._is_stopped:  # it was accepted in the same turn of the loop
            return False
        if len(self._connections) >= self.most_connections:
            idle = [(since, other) for other in self._connections if (since := other.idle_since) is not None]
            if not idle:
                logger.warning("a gRPC client was turned away: all %s connections are busy", self.most_connections)
                return False
            min(idle, key=lambda pair: pair[0])[1].end("too many connections")
        self._connections[connection] = None
        if self._is_parting:
            connection.announce_end()
        return True

    def leave(self, connection: LeanConnection) -> None:
        """A connection is closed."""
        self._connections.pop(connection, None)

    def hold_bytes(self, change: int) -> None:
        """So many bytes more, or less, of requests wait to be complete or drawn. Raises RpcFault when too many do."""
        self._held += change
        if change > 0 and self._held > self._most_held:
            raise RpcFault(Status.RESOURCE_EXHAUSTED, "too many bytes of unfinished requests: try again later")

    def _sweep(self) -> None:
        now = self.loop.time()
        for connection in list(self._connections):
            connection.tick(now)
        self._sweeper = self.loop.call_later(SWEEP_SECONDS, self._sweep)


def _listen(address: Address, is_shared: bool) -> list[socket.socket]:
    """Listeners at every address that the host has, all with one port. Raises OSError."""
    found = dict.fromkeys(socket.getaddrinfo(*address, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE))
    listeners: list[socket.socket] = []
    lacking: OSError | None = None
    port = address.port
    try:
        for family, kind, protocol, _, resolved in found:
            # With the protocol named: asyncio sets TCP_NODELAY on no other.
            try:
                listener = socket.socket(family, kind, protocol)
            except OSError as error:  # a machine without IPv6
                lacking = error
                continue
            listeners.append(listener)
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
        listener.bind(str(path))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener
