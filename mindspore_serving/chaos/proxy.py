"""The control connection of one worker to one master, by way of a TCP proxy: a network that can be made bad."""

import asyncio
import contextlib

from mindspore_serving.cluster.addresses import LOOPBACK, Address

_CHUNK_BYTES = 1 << 18


class _Pipe:
    """One connection: the worker's end and the master's."""

    def __init__(self, proxy: "Proxy", worker: asyncio.StreamWriter, master: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self.worker = worker
        self.master = master
        self._is_half_open = False

    async def copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Until either end closes; then both do, but for a half-open connection, whose other end learns nothing."""
        with contextlib.suppress(OSError):
            while piece := await reader.read(_CHUNK_BYTES):
                await self._proxy.travel()
                if not self._is_half_open:
                    writer.write(piece)
                    await writer.drain()
        if not self._is_half_open:
            self.close()

    def half_close(self, keep_worker: bool) -> None:
        """One end is closed. What the other one says from now on is lost."""
        self._is_half_open = True
        (self.master if keep_worker else self.worker).transport.abort()

    def close(self) -> None:
        for writer in (self.worker, self.master):
            writer.transport.abort()


class Proxy:
    """Listens on a free port from start() on. Each fault is of all connections that are open."""

    def __init__(self, target: Address) -> None:
        self._target = target
        self._pipes: set[_Pipe] = set()
        self._delay_seconds = 0.0
        self._flows = asyncio.Event()
        self._flows.set()
        self._server: asyncio.Server | None = None

    async def start(self) -> Address:
        """Returns where workers connect."""
        self._server = await asyncio.start_server(self._serve, LOOPBACK, 0)
        return Address(LOOPBACK, int(self._server.sockets[0].getsockname()[1]))

    def cut(self) -> None:
        """Both ends are closed; a new connection works."""
        for pipe in self._pipes:
            pipe.close()

    def half_open(self, keep_worker: bool) -> None:
        """One end is closed and the other one learns nothing; a new connection works."""
        for pipe in self._pipes:
            pipe.half_close(keep_worker)

    def set_delay(self, seconds: float) -> None:
        """Each piece, 256 KiB at most, arrives so much later."""
        self._delay_seconds = seconds

    def stall(self) -> None:
        """Nothing arrives until heal(), and nothing is lost: what TCP makes of a network that is away for a while."""
        self._flows.clear()

    def heal(self) -> None:
        """As if nothing had been."""
        self._delay_seconds = 0.0
        self._flows.set()

    async def travel(self) -> None:
        """The way through the network."""
        if self._delay_seconds:
            await asyncio.sleep(self._delay_seconds)
        await self._flows.wait()

    async def close(self) -> None:
        self.heal()
        if self._server is not None:
            self._server.close()
            self.cut()
            await self._server.wait_closed()

    async def _serve(self, from_worker: asyncio.StreamReader, to_worker: asyncio.StreamWriter) -> None:
        try:
            from_master, to_master = await asyncio.open_connection(*self._target)
        except OSError:
            to_worker.transport.abort()
            return
        pipe = _Pipe(self, to_worker, to_master)
        self._pipes.add(pipe)
        try:
            await asyncio.gather(pipe.copy(from_worker, to_master), pipe.copy(from_master, to_worker))
        finally:
            pipe.close()
            self._pipes.discard(pipe)
