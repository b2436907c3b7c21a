"""`mindspore-serving up`: a master and workers on this machine, kept running until this command is told to stop."""

import asyncio
import logging
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import zmq

from mindspore_serving import event_loop
from mindspore_serving.cluster.addresses import UnixPath
from mindspore_serving.cluster.errors import SetupError
from mindspore_serving.master.client_memory import client_memory
from mindspore_serving.master.open_files import allow_many
from mindspore_serving.master.outlook import Outlook
from mindspore_serving.master.security import read_security
from mindspore_serving.master.server import MasterServer
from mindspore_serving.operator.config import UpConfig
from mindspore_serving.spare_cores import may_poll
from mindspore_serving.supervisor import Supervisor
from mindspore_serving.telling import tell
from mindspore_serving.worker.config_module import CONFIG_FILE
from mindspore_serving.worker.signal_pipe import stop_signals
from mindspore_serving.worker.target import Target
from mindspore_serving.worker_process import WorkerSpec

logger = logging.getLogger("mindspore_serving.up")


def run(config: UpConfig, notify: Callable[[str], None]) -> int:
    """Serves until a signal comes. Returns the exit code. Raises ServingError."""
    allow_many()
    specs = worker_specs(config)
    folder = _make_folders(config.logs)
    try:
        outlook = Outlook() if may_poll(config.busy_poll) else None
        return event_loop.run(_serve(config, specs, folder, notify, outlook), outlook)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _make_folders(logs: Path | None) -> Path:
    """That of the logs, if there is one, and one for sockets, which is returned. Raises SetupError."""
    try:
        if logs is not None:
            logs.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(f"--logs '{logs}' cannot be made: {error.strerror}") from error
    try:
        return Path(tempfile.mkdtemp(prefix="mindspore-serving-"))  # for this user alone
    except OSError as error:
        raise SetupError(f"there is no place for sockets, $TMPDIR may name one: {error.strerror}") from error


def worker_specs(config: UpConfig) -> list[WorkerSpec]:
    """A worker for each device of each servable. Raises SetupError for a path that is no servable."""
    specs: list[WorkerSpec] = []
    for path, devices in config.servables:
        folder = path.resolve()
        if not (folder / CONFIG_FILE).is_file():
            raise SetupError(f"'{folder}' is not a servable: it has no {CONFIG_FILE}")
        for device in devices:
            target = Target(device_type=config.device_type, device_id=device)
            specs.append(
                WorkerSpec(
                    slot=len(specs),
                    directory=folder.parent,
                    name=folder.name,
                    version=0,
                    target=target,
                    busy_poll=config.busy_poll,
                    log_level=config.log_level,
                )
            )
    return specs


async def _serve(
    config: UpConfig, specs: list[WorkerSpec], folder: Path, notify: Callable[[str], None], outlook: Outlook | None
) -> int:
    loop = asyncio.get_running_loop()
    told_to_stop = asyncio.Event()
    for number in stop_signals():
        loop.add_signal_handler(number, told_to_stop.set)

    def all_gone() -> None:
        loop.call_soon_threadsafe(told_to_stop.set)

    control = UnixPath(str(folder / "control"))
    master_config = config.master(config.ctrl or control)
    security = read_security(master_config)
    context = zmq.Context[zmq.Socket[bytes]]()
    memory = client_memory(master_config)
    server = MasterServer(master_config.limits, context, security.tokens, outlook=outlook, memory=memory)
    supervisor = Supervisor(
        specs,
        control,
        folder,
        log_folder=config.logs,
        only_after_an_answer=False,
        tell=_Progress(len(specs)).tell,
        on_gone=all_gone,
    )
    try:
        grpc_address = server.bind_grpc(config.grpc, config.max_message_mb, security.tls, config.grpc_engine)
        rest_address = None
        if config.rest is not None:
            rest_address = server.bind_rest(config.rest, config.max_message_mb, security.tls)
        server.open_to_own_workers(control)
        if config.ctrl is not None:
            server.open_control(config.ctrl, security.keys)
        supervisor.start()
        await server.start_grpc(grpc_address)
        if rest_address is not None:
            await server.start_rest(rest_address)
        notify("READY=1")
        await told_to_stop.wait()
        notify("STOPPING=1")
    finally:
        await server.stop(config.drain_seconds, config.lame_duck_seconds)  # needs the workers
        if supervisor.ident is not None:
            await asyncio.to_thread(supervisor.stop, config.drain_seconds)
        context.term()
    return 0


class _Progress:
    """Prints what happens to each worker, and when all are ready for the first time. Used in one thread."""

    def __init__(self, workers: int) -> None:
        self._missing = workers
        self._ready: set[int] = set()
        self._started_at = time.monotonic()

    def tell(self, spec: WorkerSpec, text: str) -> None:
        tell(f"{spec.name} on {spec.target}: {text}")
        if text.startswith("ready") and spec.slot not in self._ready:
            self._ready.add(spec.slot)
            if len(self._ready) == self._missing:
                seconds = time.monotonic() - self._started_at
                tell(f"all {self._missing} workers are ready after {seconds:.1f} s, Ctrl-C ends them")
