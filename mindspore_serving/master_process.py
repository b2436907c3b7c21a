"""The life of a master process: open the doors, run its own servables if asked, serve until told to stop."""

import asyncio
import os
import signal
from collections.abc import Callable

import zmq

from mindspore_serving.in_process import InProcessWorkers
from mindspore_serving.master.config import MasterConfig
from mindspore_serving.master.server import MasterServer
from mindspore_serving.worker.target import Target


def run(config: MasterConfig, notify: Callable[[str], None]) -> int:
    """Serves until a signal comes. Returns the exit code. Raises ServingError.

    `notify` tells a service manager how far we are (sd_notify's words).
    """
    return asyncio.run(_serve(config, notify))


async def _serve(config: MasterConfig, notify: Callable[[str], None]) -> int:
    loop = asyncio.get_running_loop()
    told_to_stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told_to_stop.set)
    context = zmq.Context[zmq.Socket[bytes]]()
    server = MasterServer(config.limits, context)
    workers = InProcessWorkers(context, server.inproc_endpoint)
    try:
        grpc_address = server.bind_grpc(config.grpc, config.max_message_mb, engine=config.grpc_engine)
        rest_address = server.bind_rest(config.rest, config.max_message_mb) if config.rest is not None else None
        if config.ctrl is not None:
            server.open_control(config.ctrl)
        await _load(config, workers, told_to_stop)
        await server.start_grpc(grpc_address)
        if rest_address is not None:
            await server.start_rest(rest_address)
        notify("READY=1")
        await told_to_stop.wait()
        notify("STOPPING=1")
    finally:
        await server.stop(config.drain_seconds)
        await asyncio.to_thread(workers.close)
        context.term()
    return 0


async def _load(config: MasterConfig, workers: InProcessWorkers, told_to_stop: asyncio.Event) -> None:
    """Loads the servables of this process, in a thread, so that a signal is heard meanwhile."""
    stop = asyncio.create_task(told_to_stop.wait())
    for servable in config.servable:
        target = Target(device_type=config.device_type, device_id=servable.device_id)
        loading = asyncio.create_task(asyncio.to_thread(workers.add, servable.path, version=0, target=target))
        await asyncio.wait((loading, stop), return_when=asyncio.FIRST_COMPLETED)
        if not loading.done():
            # MindSpore may be in the middle of a compilation that nothing can interrupt.
            print("Serving: stopped while loading", flush=True)
            os._exit(0)
        loading.result()
    stop.cancel()
