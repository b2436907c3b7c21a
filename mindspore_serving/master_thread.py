"""A master in a thread of a user's script, for the start calls of both generations."""

import asyncio
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import zmq

from mindspore_serving import context, log
from mindspore_serving.cluster.addresses import Address, Endpoint
from mindspore_serving.cluster.dispatch_events import Limits
from mindspore_serving.event_loop import new_loop
from mindspore_serving.garbage import keep_what_is_here
from mindspore_serving.in_process import InProcessWorkers
from mindspore_serving.master.server import MasterServer
from mindspore_serving.master.tls import Tls
from mindspore_serving.script_keys import script_master_keys
from mindspore_serving.worker.target import Target

T = TypeVar("T")

DRAIN_SECONDS = 30.0


class MasterThread(threading.Thread):
    """An event loop with a master in it. Unless it is a daemon, the process lives on after its script has ended."""

    def __init__(self, *, daemon: bool) -> None:
        super().__init__(name="master", daemon=daemon)
        log.set_up()  # a script has no --log-level; its environment has GLOG_v
        self._loop = new_loop()
        self._context = zmq.Context[zmq.Socket[bytes]]()
        self.start()
        self._server = self._await(self._make())
        self._workers = InProcessWorkers(self._context, self._server.inproc_endpoint)

    def run(self) -> None:
        self._loop.run_forever()
        self._loop.close()

    def open_control(self, address: Endpoint) -> None:
        """Lets workers register there. Raises SetupError."""
        self._await(self._open_control(address))

    def open_grpc(self, address: Endpoint, max_message_mb: int, tls: Tls | None = None) -> None:
        """Serves clients there. Raises SetupError."""
        self._await(self._open_grpc(address, max_message_mb, tls))
        keep_what_is_here()

    def open_rest(self, address: Address, max_message_mb: int, tls: Tls | None = None, collapses: bool = True) -> None:
        """Serves clients there by HTTP. `collapses`: see predict.Call. Raises SetupError."""
        self._await(self._open_rest(address, max_message_mb, tls, collapses))
        keep_what_is_here()

    def set_max_enqueued_requests(self, count: int) -> None:
        """From now on, so many requests may wait or run."""
        self._loop.call_soon_threadsafe(self._server.set_max_enqueued_requests, count)

    def add_servable(self, path: Path, version: int, target: Target) -> None:
        """Loads a servable in this process. Raises ServingError."""
        self._workers.add(path, version=version, target=target)
        keep_what_is_here()

    def stop(self) -> None:
        """Answers what was accepted, then ends the thread."""
        self._await(self._server.stop(DRAIN_SECONDS))
        self._workers.close()
        context.forget(self)
        self._context.term()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self.join()

    def _await(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _make(self) -> MasterServer:
        server = MasterServer(Limits(), self._context)
        server.set_max_enqueued_requests(context.watch(self))
        return server

    async def _open_control(self, address: Endpoint) -> None:
        self._server.open_control(address, script_master_keys(address))

    async def _open_grpc(self, address: Endpoint, max_message_mb: int, tls: Tls | None) -> None:
        await self._server.start_grpc(self._server.bind_grpc(address, max_message_mb, tls))

    async def _open_rest(self, address: Address, max_message_mb: int, tls: Tls | None, collapses: bool) -> None:
        await self._server.start_rest(self._server.bind_rest(address, max_message_mb, tls, collapses))
