"""The lean gRPC door: a table of service paths to handlers of raw bytes, served by HTTP/2 of our own on asyncio.

It serves what grpc_api's door serves, for a fifth of the CPU time. docs/grpc-door.md has its limits.
"""

import asyncio
import logging

from mindspore_serving.cluster.addresses import Endpoint
from mindspore_serving.cluster.errors import SetupError
from mindspore_serving.master.free_address import check_free
from mindspore_serving.master.grpc_head import head_reader
from mindspore_serving.master.http2.connection import Connection
from mindspore_serving.master.http2.limits import Limits
from mindspore_serving.master.http2.openings import Openings
from mindspore_serving.master.lean_connection import LINGER_SECONDS, LeanConnection
from mindspore_serving.master.listeners import Listeners
from mindspore_serving.master.open_files import share_of_a_door
from mindspore_serving.master.parting import nothing_is_coming
from mindspore_serving.master.service_table import STOPPING_TEXT, RpcFault, ServiceTable, Status
from mindspore_serving.master.tls import Tls

logger = logging.getLogger("mindspore_serving.master")

MEGABYTE = 1 << 20
LAST_WORDS_SECONDS = 1.0
SWEEP_SECONDS = 1.0  # how often it is looked for what takes too long
INBOX_BYTES = 256 << 10  # received at once: little enough to stay in a core's cache
MOST_CONNECTIONS = 10_000  # or the door's share of the files that this process may open
PARTING_SHARE = 10  # so many of them are kept for those who say their last words
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
        self.most_connections = min(MOST_CONNECTIONS, share_of_a_door())
        self._read_head = head_reader(table)
        self._openings = Openings()
        self._most_held = max(LEAST_HELD_BYTES, HELD_MESSAGES * self.largest_message)
        self._held = 0
        self._is_shared = is_shared
        self._is_parting = False
        self._is_stopped = False
        self._connections: dict[LeanConnection, None] = {}
        self._listeners: Listeners | None = None
        self._tls: Tls | None = None
        self._sweeper: asyncio.TimerHandle | None = None

    def bind(self, address: Endpoint, tls: Tls | None = None) -> Endpoint:
        """Takes the port; nobody is served before start(). Returns the real address. Raises SetupError."""
        try:
            if not self._is_shared:
                check_free(address)
            self._listeners = Listeners(address, is_shared=self._is_shared)
        except OSError as error:
            raise SetupError(
                f"Serving gRPC server start failed, create server failed, address {address}: {error.strerror or error}"
            ) from error
        self._tls = tls
        return self._listeners.address

    async def start(self) -> None:
        """Serves clients."""
        assert self._listeners is not None
        tls = None if self._tls is None else self._tls.http2_context
        self._listeners.start(lambda: LeanConnection(self), self._has_room, tls, self.limits.preface_seconds)
        self._sweeper = self.loop.call_later(SWEEP_SECONDS, self._sweep)

    def refuse_new_calls(self) -> None:
        """From now on a new call gets UNAVAILABLE, which a client may safely send to another master."""
        self.draining = True

    async def part(self) -> None:
        """Nobody new gets in, and clients are told to go elsewhere. Calls that come until they know that are served."""
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
        if self._listeners is not None:
            self._listeners.close()
        if self._sweeper is not None:
            self._sweeper.cancel()

    def _begin_to_part(self) -> None:
        if self._is_parting:
            return
        if self._listeners is not None:
            self._listeners.stop()
        self._is_parting = True
        for connection in list(self._connections):
            connection.announce_end()

    def _has_room(self, not_secure: int) -> bool:
        """Whether one more may come. Where room is scarce, the one leaves that has been idle for the longest time."""
        count, most = len(self._connections) + not_secure, self.most_connections
        if count >= most:
            logger.warning("a gRPC client was turned away: there are %s connections", count)
            return False
        if count >= most - max(1, most // PARTING_SHARE):
            idle = [(since, other) for other in self._connections if (since := other.idle_since) is not None]
            if idle:
                min(idle, key=lambda pair: pair[0])[1].end("too many connections")
        return True

    # What connections ask.

    def make_http2(self) -> Connection:
        """The state machine of a new connection."""
        return Connection(self._read_head, self.limits, self.loop.time(), self._openings)

    def admit(self, connection: LeanConnection) -> bool:
        """A new connection: whether it may stay."""
        if self._is_stopped:  # it has become secure since
            return False
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
