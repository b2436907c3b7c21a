"""The start calls of MindSpore Serving 2.x: a master in this process, workers as its children.

They are calls without an object, so the process's one deployment is kept here.
"""

import atexit
import logging
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mindspore_serving.cluster.addresses import Address, Endpoint, UnixPath
from mindspore_serving.cluster.arguments import check_bool, check_int
from mindspore_serving.cluster.errors import SetupError
from mindspore_serving.master.tls import Tls
from mindspore_serving.master_thread import DRAIN_SECONDS, MasterThread
from mindspore_serving.server.door_address import SOCKET_FOLDER, read_grpc_address, read_rest_address
from mindspore_serving.server.ssl_config import SSLConfig, check_ssl_config, read_ssl_config
from mindspore_serving.server.start_config import ServableStartConfig, worker_specs
from mindspore_serving.serving_error import as_serving_error
from mindspore_serving.supervisor import Supervisor
from mindspore_serving.telling import tell
from mindspore_serving.worker.signal_pipe import NEWS, SignalPipe
from mindspore_serving.worker_process import WorkerSpec

logger = logging.getLogger("mindspore_serving")

LOG_FOLDER = "serving_logs"  # in the current folder


class _Deployment:
    """What the start calls of this process have started so far."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._master: MasterThread | None = None
        self._has_grpc = False
        self._has_rest = False
        self._folder: Path | None = None
        self._supervisors: list[Supervisor] = []
        self._starting: Supervisor | None = None
        self._signal_lock = threading.Lock()  # of _starting, as a signal finds it
        self._pipe: SignalPipe | None = None

    def open_grpc(self, address: Endpoint, max_message_mb: int, tls: Tls | None) -> None:
        with self._lock:
            if self._has_grpc:
                raise SetupError("Serving Error: Serving gRPC server is already running")
            if isinstance(address, UnixPath) and Path(address.path).parent == SOCKET_FOLDER:
                SOCKET_FOLDER.mkdir(exist_ok=True)
            with self._all_or_nothing():
                self._get_master().open_grpc(address, max_message_mb, tls)
            self._has_grpc = True
        tell(f"Serving: Serving gRPC server start success, listening on {address}")
        logger.info("gRPC server listens on %s", address)

    def open_rest(self, address: Address, max_message_mb: int, tls: Tls | None) -> None:
        with self._lock:
            if self._has_rest:
                raise SetupError("Serving Error: RESTful server is already running")
            with self._all_or_nothing():
                self._get_master().open_rest(address, max_message_mb, tls)
            self._has_rest = True

    def start_workers(self, specs: list[WorkerSpec]) -> None:
        with self._lock:
            self._listen_to_signals()
            master = self._get_master()
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="mindspore-serving-"))  # for this user alone
                master.open_control(UnixPath(str(self._folder / "control")))
            folder = Path(tempfile.mkdtemp(dir=self._folder))
            supervisor = Supervisor(
                specs,
                UnixPath(str(self._folder / "control")),
                folder,
                log_folder=Path(LOG_FOLDER).absolute(),  # scripts may go elsewhere, and workers start again
                only_after_an_answer=True,
                tell=lambda spec, text: logger.info("worker {%s}: %s", spec, text),
                on_gone=lambda: self._on_gone(supervisor),
            )
            self._starting = supervisor
            self._supervisors.append(supervisor)
            supervisor.start()
        with self._all_or_nothing():
            try:
                supervisor.wait_ready()
            finally:
                with self._signal_lock:
                    self._starting = None
            supervisor.check_not_interrupted()

    def stop(self) -> None:
        """Answers what was accepted, then ends the workers, then forgets everything: the process can start again."""
        with self._lock:
            master, self._master = self._master, None
            supervisors, self._supervisors = self._supervisors, []
            folder, self._folder = self._folder, None
            self._has_grpc = self._has_rest = False
            if master is not None:
                master.stop()
            for supervisor in supervisors:
                supervisor.stop(DRAIN_SECONDS)
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
            self._forget_signals()

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """As in 2.x, a start that fails stops everything: a script that ends with it must not leave workers behind."""
        try:
            yield
        except BaseException:
            self.stop()
            raise

    def _get_master(self) -> MasterThread:
        if self._master is None:
            # A daemon: a process that only opens doors ends with its script. The supervisor keeps it alive.
            self._master = MasterThread(daemon=True)
        return self._master

    def _on_gone(self, supervisor: Supervisor) -> None:
        """The last worker of a supervisor has gone by itself, in its thread."""
        if supervisor.failed_to_start:
            return  # start_workers() sees it, and clears up; the script may have started others since
        if any(each.is_alive() for each in self._supervisors if each is not supervisor):
            return
        logger.error("all workers have gone: the server ends")
        # In a thread of its own: this one ends, and stop() waits for it.
        threading.Thread(target=self.stop, name="stop").start()

    def _listen_to_signals(self) -> None:
        if self._pipe is None and threading.current_thread() is threading.main_thread():
            self._pipe = SignalPipe()
            threading.Thread(target=self._stop_on_signal, args=(self._pipe,), name="signals", daemon=True).start()

    def _forget_signals(self) -> None:
        if self._pipe is not None and threading.current_thread() is threading.main_thread():
            pipe, self._pipe = self._pipe, None
            pipe.post()
            pipe.close()

    def _stop_on_signal(self, pipe: SignalPipe) -> None:
        number = pipe.wait()
        if number in (None, NEWS):
            return
        with self._signal_lock:
            starting = self._starting
            if starting is not None:
                starting.interrupt()
        if starting is None:
            self.stop()
            self._pipe = None
            pipe.pass_on(number)


_deployment = _Deployment()
atexit.register(_deployment.stop)


def start_servables(
    servable_configs: ServableStartConfig | list[ServableStartConfig] | tuple[ServableStartConfig, ...],
    enable_lite: bool = False,
) -> None:
    """Starts a worker process for each device of each config, and returns when every one of them is ready.

    From then on the process lives until it is signalled, or its last worker has gone. Their output goes to files in
    serving_logs/. enable_lite is checked and not used: models run through MindSpore.

    Raises RuntimeError with the first worker's reason; everything that was started is stopped then.
    """
    check_bool("enable_lite", enable_lite)
    configs = servable_configs if isinstance(servable_configs, list | tuple) else (servable_configs,)
    if not configs:
        raise SetupError("Parameter 'servable_configs' should not be empty")
    for config in configs:
        if not isinstance(config, ServableStartConfig):
            raise SetupError(
                "Parameter 'servable_configs' should be ServableStartConfig or tuple/list of it, "
                f"but actually {type(config)}"
            )
    _deployment.start_workers(worker_specs(configs))


def start_grpc_server(address: str, max_msg_mb_size: int = 100, ssl_config: SSLConfig | None = None) -> None:
    """Serves clients at ip:port or unix:path. `max_msg_mb_size`: largest request in megabytes, 1 to 512.

    May be called before or after start_servables. Raises RuntimeError.
    """
    endpoint = read_grpc_address(address)
    check_int("max_msg_mb_size", max_msg_mb_size, 1, 512)
    check_ssl_config(ssl_config, "type")
    with _told(f"Serving gRPC server start failed, create server failed, address {address}: "):
        tls = read_ssl_config(ssl_config)
    with _told():
        _deployment.open_grpc(endpoint, max_msg_mb_size, tls)


def start_restful_server(address: str, max_msg_mb_size: int = 100, ssl_config: SSLConfig | None = None) -> None:
    """Serves clients by HTTP at ip:port. `max_msg_mb_size`: largest request in megabytes, 1 to 512.

    May be called before or after start_servables. Raises RuntimeError.
    """
    endpoint = read_rest_address(address)
    check_int("max_msg_mb_size", max_msg_mb_size, 1, 512)
    check_ssl_config(ssl_config, "class")
    with _told():
        _deployment.open_rest(endpoint, max_msg_mb_size, read_ssl_config(ssl_config))


def stop() -> None:
    """Answers what was accepted, then stops everything. May be called again, and the process can start again."""
    _deployment.stop()


@contextmanager
def _told(what: str = "") -> Iterator[None]:
    """What went wrong is logged and raised."""
    try:
        with as_serving_error(what):
            yield
    except SetupError as error:
        logger.error("%s", error)
        raise
