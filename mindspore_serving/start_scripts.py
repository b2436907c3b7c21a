"""The start calls of MindSpore Serving 1.2: each returns when it is done, and the process lives until it is signalled.

`mindspore_serving.master` and `mindspore_serving.worker` offer these names. They are calls without an object, so the
process's one deployment is kept here; nothing else in the project has such a state.
"""

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import zmq

from mindspore_serving.cluster.addresses import LOOPBACK, Address, from_zeromq
from mindspore_serving.cluster.arguments import check_int, check_str
from mindspore_serving.cluster.errors import AlreadyRunning, NoSuchVersion, SetupError
from mindspore_serving.master_thread import DRAIN_SECONDS, MasterThread
from mindspore_serving.script_keys import script_worker_keys
from mindspore_serving.serving_error import as_serving_error
from mindspore_serving.telling import tell
from mindspore_serving.worker.rewritten_file import remove_copies
from mindspore_serving.worker.signal_pipe import NEWS, SignalPipe
from mindspore_serving.worker.target import Target, read_device_type
from mindspore_serving.worker.work_thread import WorkThread
from mindspore_serving.worker.worker import Worker

logger = logging.getLogger("mindspore_serving")

REGISTER_SECONDS = 120.0  # how long start_servable looks for its master, as in 1.2: 60 times two seconds


class _ScriptWorker:
    """A servable of this process, registered at a master elsewhere."""

    def __init__(self, directory: Path, name: str, version: int, target: Target) -> None:
        self._keys = script_worker_keys()
        self._models = WorkThread("MindSpore")
        self._worker = Worker(directory, name, self._models, version=version, target=target)
        self._context = zmq.Context[zmq.Socket[bytes]]()
        self._settled = threading.Event()

    def connect(self, master: Address) -> None:
        def registered(endpoint: str) -> None:
            tell(f"Serving: Worker registered at {from_zeromq(endpoint)}, {self._worker}")
            self._settled.set()

        def closed() -> None:
            if self._worker.refusal is not None:
                logger.error("the master at %s refused this worker: %s", master, self._worker.refusal)
            self._settled.set()

        self._worker.connect(self._context, [f"tcp://{master}"], registered, closed, keys=self._keys)

    def wait_registered(self, master: Address) -> None:
        """Returns when clients can call the servable, or the process was told to stop. Raises SetupError."""
        tell(f"Serving: Worker connects to the master at {master}")
        if not self._settled.wait(REGISTER_SECONDS):
            raise SetupError(f"Register TimeOut: no master answered at {master} in {REGISTER_SECONDS:.0f} seconds")
        if self._worker.refusal is not None:
            raise SetupError(f"the master at {master} refused this worker: {self._worker.refusal}")

    def stop(self) -> None:
        self._worker.drain(DRAIN_SECONDS)
        self._worker.close()
        self._models.close()
        self._context.term()


class _Deployment:
    """What the start calls of this process have started so far."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._master: MasterThread | None = None
        self._worker: _ScriptWorker | None = None
        self._has_servable = False
        self._is_loading = False  # in the master's process
        self._pipe: SignalPipe | None = None

    def master(self) -> MasterThread:
        with self._lock:
            self._listen_to_signals()
            if self._master is None:
                self._master = MasterThread(daemon=False)
                tell("Serving master: wait for Ctrl+C to exit ------------------------------------")
            return self._master

    def load_in_master(self, path: Path, version: int, target: Target) -> None:
        master = self.master()
        self._is_loading = True
        try:
            master.add_servable(path, version, target)
        finally:
            self._is_loading = False

    def claim_servable(self) -> None:
        with self._lock:
            if self._has_servable:
                raise SetupError("A servable has been started, only one servable can run in a process currently.")
            self._has_servable = True

    def release_servable(self) -> None:
        self._has_servable = False

    def start_worker(self, worker: _ScriptWorker, master: Address) -> None:
        with self._lock:
            self._listen_to_signals()
            self._worker = worker
            worker.connect(master)

    def stop_worker(self) -> None:
        with self._lock:
            worker, self._worker = self._worker, None
            if worker is not None:
                worker.stop()
                self._has_servable = False
            self._forget_signals()

    def stop_master(self) -> None:
        with self._lock:
            master, self._master = self._master, None
            if master is not None:
                master.stop()
                if self._worker is None:
                    self._has_servable = False
            self._forget_signals()

    def _listen_to_signals(self) -> None:
        if self._pipe is None and threading.current_thread() is threading.main_thread():
            self._pipe = SignalPipe()
            threading.Thread(target=self._stop_on_signal, args=(self._pipe,), name="signals", daemon=True).start()

    def _forget_signals(self) -> None:
        running = self._master is not None or self._worker is not None
        if self._pipe is not None and not running and threading.current_thread() is threading.main_thread():
            pipe, self._pipe = self._pipe, None
            pipe.post()
            pipe.close()

    def _stop_on_signal(self, pipe: SignalPipe) -> None:
        number = pipe.wait()
        if number in (None, NEWS):
            return
        if self._is_loading:
            # MindSpore may be in the middle of a compilation that nothing can interrupt.
            remove_copies()
            tell("Serving: stopped while loading")
            os._exit(0)
        self.stop_worker()
        self.stop_master()
        self._pipe = None
        pipe.pass_on(number)


_deployment = _Deployment()


def start_grpc_server(ip: str = "0.0.0.0", grpc_port: int = 5500, max_msg_mb_size: int = 100) -> None:
    """Serves clients at ip:grpc_port. `max_msg_mb_size`: largest request in megabytes. Raises RuntimeError."""
    check_str("ip", ip)
    check_int("grpc_port", grpc_port, 1, 65535)
    check_int("max_msg_mb_size", max_msg_mb_size, 1, 512)
    with as_serving_error(), _opening():
        _deployment.master().open_grpc(Address(ip, grpc_port), max_msg_mb_size)


def start_restful_server(ip: str = "0.0.0.0", restful_port: int = 5900, max_msg_mb_size: int = 100) -> None:
    """Serves HTTP clients at ip:restful_port. `max_msg_mb_size`: largest body in megabytes. Raises RuntimeError."""
    check_str("ip", ip)
    check_int("restful_port", restful_port, 1, 65535)
    check_int("max_msg_mb_size", max_msg_mb_size, 1, 512)
    with as_serving_error():
        try:
            with _opening():
                _deployment.master().open_rest(Address(ip, restful_port), max_msg_mb_size, collapses=False)
        except SetupError as error:
            if isinstance(error.__cause__, OSError):
                reason = error.__cause__.strerror or error.__cause__
                text = f"RESTful server start failed, create http listener failed, port {restful_port}: {reason}"
                raise SetupError(text) from error
            raise


def start_master_server(ip: str = "127.0.0.1", master_port: int = 6100) -> None:
    """Lets workers register at ip:master_port. Raises RuntimeError."""
    check_str("ip", ip)
    check_int("master_port", master_port, 1, 65535)
    with as_serving_error(), _opening():
        _deployment.master().open_control(Address(ip, master_port))


def stop_master() -> None:
    """Answers what was accepted, then stops whatever was started for a master. May be called again."""
    _deployment.stop_master()


def start_servable(
    servable_directory: str,
    servable_name: str,
    version_number: int = 0,
    device_type: str | None = None,
    device_id: int = 0,
    master_ip: str = "0.0.0.0",
    master_port: int = 6100,
    worker_ip: str = "0.0.0.0",
    worker_port: int = 6200,
) -> None:
    """Loads a servable in this process and registers it at the master, trying for two minutes until that is there.

    worker_ip and worker_port are checked and not used: a worker connects to its master, and listens nowhere.
    Raises RuntimeError.
    """
    target = _check_servable(servable_directory, servable_name, version_number, device_type, device_id)
    check_str("master_ip", master_ip)
    check_int("master_port", master_port, 1, 65535)
    check_str("worker_ip", worker_ip)
    check_int("worker_port", worker_port, 1, 65535)
    _deployment.claim_servable()
    try:
        with _version_told(version_number):
            worker = _ScriptWorker(Path(servable_directory), servable_name, version_number, target)
    except BaseException:
        _deployment.release_servable()
        raise
    # "Any address", the old default, is for listening; what listens there is reached at the loopback address.
    host = LOOPBACK if master_ip == "0.0.0.0" else master_ip
    master = Address(host, master_port)
    _deployment.start_worker(worker, master)
    try:
        worker.wait_registered(master)
    except BaseException:
        _deployment.stop_worker()
        raise


def start_servable_in_master(
    servable_directory: str,
    servable_name: str,
    version_number: int = 0,
    device_type: str | None = None,
    device_id: int = 0,
) -> None:
    """Loads a servable in the master's own process. Returns when it can be called. Raises RuntimeError."""
    target = _check_servable(servable_directory, servable_name, version_number, device_type, device_id)
    _deployment.claim_servable()
    try:
        with _version_told(version_number):
            _deployment.load_in_master(Path(servable_directory) / servable_name, version_number, target)
    except BaseException:
        _deployment.release_servable()
        _deployment.stop_master()
        raise


def stop_worker() -> None:
    """Finishes what is open, then leaves the master. May be called again."""
    _deployment.stop_worker()


@contextmanager
def _opening() -> Iterator[None]:
    """As in 1.2, an address that cannot be had stops the master: it would keep a process alive whose script has ended.

    What runs already goes on.
    """
    try:
        yield
    except AlreadyRunning:
        raise
    except SetupError:
        _deployment.stop_master()
        raise


@contextmanager
def _version_told(version: int) -> Iterator[None]:
    """A version that is not there is told as 1.2 told it."""
    try:
        yield
    except NoSuchVersion as error:
        what = "Start servable failed, there is no servable of the specified version number"
        raise NoSuchVersion(f"{what}, specified version number: {version}. {error}") from error


def _check_servable(directory: Any, name: Any, version: Any, device_type: Any, device_id: Any) -> Target:
    check_str("servable_directory", directory)
    check_str("servable_name", name)
    check_int("version_number", version)
    check_int("device_id", device_id)
    return Target(device_type=read_device_type(device_type), device_id=device_id)
