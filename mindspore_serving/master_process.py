"""The life of a master process: open the doors, run its own servables if asked, serve until told to stop."""

import asyncio
import os
from typing import TYPE_CHECKING, NamedTuple

import zmq

from mindspore_serving import event_loop
from mindspore_serving.allocator import keep_free_memory
from mindspore_serving.cluster.addresses import Address, Endpoint
from mindspore_serving.cluster.errors import SetupError
from mindspore_serving.garbage import keep_what_is_here
from mindspore_serving.joining import follow, until_servables_are_here, until_workers_are_here
from mindspore_serving.master.client_memory import client_memory
from mindspore_serving.master.config import MasterConfig
from mindspore_serving.master.free_address import check_free
from mindspore_serving.master.open_files import allow_many
from mindspore_serving.master.outlook import Outlook
from mindspore_serving.master.security import Security, read_security
from mindspore_serving.master.server import MasterServer
from mindspore_serving.master_child import Voice
from mindspore_serving.siblings import Place
from mindspore_serving.systemd import ServiceManager
from mindspore_serving.telling import tell, tell_reason
from mindspore_serving.worker.signal_pipe import stop_signals

if TYPE_CHECKING:
    from mindspore_serving.in_process import InProcessWorkers


def run(config: MasterConfig, notify: ServiceManager | Voice, place: Place | None = None, *, polls: bool) -> int:
    """Serves until a signal comes. Returns the exit code. Raises ServingError.

    `notify` tells a service manager how far we are (sd_notify's words). place: of one of several processes.
    `polls`: a core may be used to wait.
    """
    keep_free_memory()
    allow_many()
    outlook = Outlook() if polls else None
    return event_loop.run(_serve(config, notify, place, outlook), outlook)


async def _serve(
    config: MasterConfig, notify: ServiceManager | Voice, place: Place | None, outlook: Outlook | None
) -> int:
    loop = asyncio.get_running_loop()
    told_to_stop = asyncio.Event()
    for number in stop_signals():
        loop.add_signal_handler(number, told_to_stop.set)
    context = zmq.Context[zmq.Socket[bytes]]()
    security = read_security(config)
    siblings = () if place is None else place.siblings
    memory = client_memory(config, None if place is None else place.regions)
    server = MasterServer(config.limits, context, security.tokens, siblings, outlook, memory)
    workers = _own_workers(context, server) if config.servable else None
    tasks = [asyncio.create_task(_feed_watchdog(notify))]
    try:
        doors: _Doors | None = None
        if place is not None:
            server.open_control(place.endpoint, security.keys)
            tasks += follow(server, place, told_to_stop)
            await until_workers_are_here(server, place, config.lease_seconds, told_to_stop)
        else:
            if config.wait_for:
                _check_ports(config)
            else:
                doors = _bind(config, server, security)  # a busy port is found before anything is loaded
            if config.ctrl is not None:
                server.open_control(config.ctrl, security.keys)
            if workers is not None:
                await _load(config, workers, told_to_stop)
        if config.wait_for:
            notify("READY=1")  # for workers: a service manager may start them after it
            await until_servables_are_here(server, config.wait_for, told_to_stop)
        if told_to_stop.is_set():
            return 0
        doors = doors or _bind(config, server, security)
        await server.start_grpc(doors.grpc)
        if doors.rest is not None:
            await server.start_rest(doors.rest)
        keep_what_is_here()
        notify("READY=1")
        await told_to_stop.wait()
        notify("STOPPING=1")
    finally:
        end = loop.time() + config.lame_duck_seconds + config.drain_seconds
        await server.stop(config.drain_seconds, config.lame_duck_seconds)
        if workers is not None:
            await _close(workers, end - loop.time(), told_to_stop)
        context.term()
        for task in tasks:
            task.cancel()
    return 0


class _Doors(NamedTuple):
    """The real addresses."""

    grpc: Endpoint
    rest: Address | None


def _bind(config: MasterConfig, server: MasterServer, security: Security) -> _Doors:
    grpc = server.bind_grpc(config.grpc, config.max_message_mb, security.tls, config.grpc_engine)
    if config.rest is None:
        return _Doors(grpc, None)
    return _Doors(grpc, server.bind_rest(config.rest, config.max_message_mb, security.tls))


def _check_ports(config: MasterConfig) -> None:
    """Raises SetupError for one that cannot be had now: it will be wanted later."""
    for option, address in (("--grpc", config.grpc), ("--rest", config.rest)):
        try:
            if address is not None:
                check_free(address)
        except OSError as error:
            raise SetupError(f"{option} {address} cannot be listened at: {error.strerror or error}") from error


async def _feed_watchdog(notify: ServiceManager | Voice) -> None:
    """Tells the service manager that the loop turns, also while servables load and requests drain."""
    seconds = notify.watchdog_seconds
    while seconds is not None:
        notify("WATCHDOG=1")
        await asyncio.sleep(seconds / 2)


def _own_workers(context: "zmq.Context[zmq.Socket[bytes]]", server: MasterServer) -> "InProcessWorkers":
    # Imported where it is needed: a quarter of a master's start would be the worker's side.
    from mindspore_serving.in_process import InProcessWorkers
    from mindspore_serving.worker.signal_pipe import let_forked_ones_end

    let_forked_ones_end()  # by functions of a servable
    return InProcessWorkers(context, server.inproc_endpoint)


async def _load(config: MasterConfig, workers: "InProcessWorkers", told_to_stop: asyncio.Event) -> None:
    """Loads the servables of this process, in a thread, so that a signal is heard meanwhile."""
    from mindspore_serving.worker.rewritten_file import remove_copies
    from mindspore_serving.worker.target import Target

    stop = asyncio.create_task(told_to_stop.wait())
    for servable in config.servable:
        target = Target(device_type=config.device_type, device_id=servable.device_id)
        loading = asyncio.create_task(asyncio.to_thread(workers.add, servable.path, version=0, target=target))
        await asyncio.wait((loading, stop), return_when=asyncio.FIRST_COMPLETED)
        if not loading.done():
            # MindSpore may be in the middle of a compilation that nothing can interrupt.
            remove_copies()
            tell("Serving: stopped while loading")
            os._exit(0)
        loading.result()
    stop.cancel()


async def _close(workers: "InProcessWorkers", seconds: float, told_to_stop: asyncio.Event) -> None:
    """Ends them. What hangs in a function or a model does not keep this process, nor does it when it is told again."""
    from mindspore_serving.worker.process import HUNG_EXIT_CODE, LEAST_SECONDS_TO_END

    told_to_stop.clear()
    closing = asyncio.create_task(asyncio.to_thread(workers.close, max(LEAST_SECONDS_TO_END, seconds)))
    again = asyncio.create_task(told_to_stop.wait())
    await asyncio.wait((closing, again), return_when=asyncio.FIRST_COMPLETED)
    if not closing.done() or not closing.result():
        why = "the time to drain is over" if closing.done() else "this master was told to end once more"
        tell_reason(f"{why}, and a function or a model still runs: this process ends all the same")
        os._exit(HUNG_EXIT_CODE)
    again.cancel()
