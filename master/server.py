"""The life of a master: open the doors, serve, drain, stop. One event loop, no threads of its own."""

import asyncio
import logging
import uuid
from collections.abc import Iterable
from typing import TYPE_CHECKING

import zmq

from mindspore_serving.cluster.addresses import Address, Endpoint, UnixPath
from mindspore_serving.cluster.dispatch_events import Limits
from mindspore_serving.cluster.errors import AlreadyRunning
from mindspore_serving.cluster.messages import FromMaster
from mindspore_serving.cluster.siblings import Sibling
from mindspore_serving.master.client_memory import ClientMemory
from mindspore_serving.master.config import DEFAULT_GRPC_ENGINE
from mindspore_serving.master.curve import MasterKeys
from mindspore_serving.master.front_desk import FrontDesk
from mindspore_serving.master.lean_door import LeanDoor
from mindspore_serving.master.outlook import Outlook
from mindspore_serving.master.rest_api import RestDoor
from mindspore_serving.master.services import services
from mindspore_serving.master.tls import Tls
from mindspore_serving.master.tokens import Tokens, guarded
from mindspore_serving.master.worker_socket import WorkerSocket
from mindspore_serving.master.zap import ZapHandler
from mindspore_serving.telling import tell

if TYPE_CHECKING:
    from mindspore_serving.master.grpc_api import GrpcDoor

logger = logging.getLogger("mindspore_serving.master")

_NOBODY_CALLS_SECONDS = 5.0  # after so long without a call there is nobody to warn


class MasterServer:
    """Made and used inside a running event loop. The doors are opened one by one, in any order.

    `siblings`: the other processes of this master, with which it shares its ports for clients. `outlook`: for who waits
    for what comes in here. `memory`: what clients may share; without it, none.
    """

    def __init__(
        self,
        limits: Limits,
        context: "zmq.Context[zmq.Socket[bytes]]",
        tokens: Tokens | None = None,
        siblings: tuple[Sibling, ...] = (),
        outlook: Outlook | None = None,
        memory: ClientMemory | None = None,
    ) -> None:
        self._memory = memory or ClientMemory()
        self._context = context
        self._is_shared = bool(siblings)
        self._tokens = tokens  # what a call has to bring along, at either door
        self.inproc_endpoint = f"inproc://mindspore-serving-{uuid.uuid4().hex}"  # for workers of this process
        self._desk = FrontDesk(limits, self._send, siblings, outlook)
        desk = self._desk
        self._workers = WorkerSocket(context, desk.receive, desk.connection_dropped, desk.worker_gone, desk.nonsense)
        self._workers.bind_inproc(self.inproc_endpoint)
        self._zap: ZapHandler | None = None
        self._control_is_open = False
        self._grpc_door: GrpcDoor | LeanDoor | None = None
        self._rest_door: RestDoor | None = None

    def open_to_own_workers(self, path: UnixPath) -> None:
        """Workers that this process starts register here: who may reach the path needs no key. Raises SetupError."""
        self._workers.bind(path)

    def open_control(self, address: Endpoint, keys: MasterKeys | None = None) -> Endpoint:
        """Workers may register at this address; if there are keys, only those admitted. Returns the real one.

        Raises SetupError.
        """
        if self._control_is_open:
            raise AlreadyRunning("Serving Error: Master server is already running")
        if keys is not None:
            self._zap = ZapHandler(self._context, keys.admitted)
        real = self._workers.bind(address, None if keys is None else keys.pair)
        self._control_is_open = True
        tell(f"Serving: Master server start success, listening on {real}")
        return real

    def bind_grpc(
        self, address: Endpoint, max_message_mb: int, tls: Tls | None = None, engine: str = DEFAULT_GRPC_ENGINE
    ) -> Endpoint:
        """Takes the port, so that a busy one is found early; start_grpc() serves clients. Raises SetupError.

        `engine`: one of config.GRPC_ENGINES.
        """
        if self._grpc_door is not None:
            raise AlreadyRunning("Serving Error: Serving gRPC server is already running")
        table = guarded(services(self._desk, self._memory), self._tokens)
        door = _grpc_door(engine)(table, max_message_mb, is_shared=self._is_shared)
        real = door.bind(address, tls)
        self._grpc_door = door
        return real

    async def start_grpc(self, real: Endpoint) -> None:
        """Clients are served from now on."""
        assert self._grpc_door is not None
        await self._grpc_door.start()
        tell(f"Serving gRPC start success, listening on {real}")

    def bind_rest(
        self, address: Address, max_message_mb: int, tls: Tls | None = None, collapses: bool = True
    ) -> Address:
        """Takes the port, so that a busy one is found early; start_rest() serves clients. Raises SetupError.

        `collapses`: see predict.Call.
        """
        if self._rest_door is not None:
            raise AlreadyRunning("Serving Error: RESTful server is already running")
        door = RestDoor(
            self._desk,
            max_message_mb,
            tls,
            tokens=self._tokens,
            memory=self._memory,
            is_shared=self._is_shared,
            collapses=collapses,
        )
        real = door.bind(address)
        self._rest_door = door
        return real

    async def start_rest(self, real: Address) -> None:
        """Clients are served from now on."""
        assert self._rest_door is not None
        await self._rest_door.start()
        tell(f"Serving: Serving RESTful server start success, listening on {real}")

    def set_max_enqueued_requests(self, count: int) -> None:
        """From now on, so many requests may wait or run."""
        self._desk.set_max_enqueued_requests(count)

    @property
    def worker_count(self) -> int:
        """Workers that are registered."""
        return self._desk.worker_count

    def lacking(self, servables: Iterable[str]) -> list[str]:
        """Those of them that cannot be called."""
        return [name for name in servables if not any(route.ready for route in self._desk.versions(name).values())]

    async def workers_change(self) -> None:
        """Returns when worker_count may be another one than at the time of this call."""
        await self._desk.health_change()

    async def stop(self, drain_seconds: float, lame_duck_seconds: float = 0.0) -> None:
        """Answers what was asked, then closes. In this order, so that no accepted request is dropped."""
        self._desk.leave()  # health checks say so,
        if self._rest_door is not None:
            self._rest_door.end_connections()
        if self._desk.seconds_since_last_call < _NOBODY_CALLS_SECONDS:
            await asyncio.sleep(lame_duck_seconds)  # and whoever reads them turns to another master, before
        doors = [door for door in (self._grpc_door, self._rest_door) if door is not None]
        await asyncio.gather(*(door.part() for door in doors))  # all others are sent there; what was on its way came,
        for door in doors:
            door.refuse_new_calls()  # and nothing new is taken ...
        if not await self._desk.drain(drain_seconds):  # ... while the accepted ones are finished,
            logger.warning("requests were still open after %s s: they are dropped", drain_seconds)
        await asyncio.gather(*(door.stop() for door in doors))  # their replies leave,
        self._desk.close()
        self._memory.close()
        self._workers.close()  # and only then the workers lose us.
        if self._zap is not None:
            self._zap.close()

    def _send(self, worker_id: str, message: FromMaster) -> bool:
        return self._workers.send(worker_id, message)


def _grpc_door(engine: str) -> "type[GrpcDoor] | type[LeanDoor]":
    if engine == "lean":
        return LeanDoor
    # Imported where it is chosen: grpcio would take a tenth of the start.
    from mindspore_serving.master.grpc_api import GrpcDoor

    return GrpcDoor
