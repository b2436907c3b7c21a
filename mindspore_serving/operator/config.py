"""Every setting of the commands, read once when they start."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mindspore_serving.cluster.addresses import LOOPBACK, Address, Endpoint
from mindspore_serving.cluster.errors import SetupError
from mindspore_serving.cluster.key_files import check_worker_name
from mindspore_serving.cluster.settings import argument, integer, same_as, setting, switch
from mindspore_serving.master.config import MasterConfig, check_security
from mindspore_serving.worker.config import WorkerConfig, read_key, read_tuning
from mindspore_serving.worker.target import Target


@dataclass(frozen=True, kw_only=True)
class CheckConfig:
    """What `check` is told."""

    path: Path = argument("DIR[/NAME]", "a servable's folder, or a folder of servables", Path)
    version: int = same_as(WorkerConfig, "version")
    device: int = same_as(WorkerConfig, "device")
    device_type: str = same_as(WorkerConfig, "device_type")
    dec_key_file: Path | None = same_as(WorkerConfig, "dec_key_file")
    dec_mode: str = same_as(WorkerConfig, "dec_mode")
    tune: str | None = same_as(WorkerConfig, "tune")
    log_level: str = same_as(WorkerConfig, "log_level", "warning")

    def tuning(self) -> str:
        """How to tune. Raises SetupError when the environment says something else."""
        return read_tuning(self.tune)

    def target(self) -> Target:
        """The device, and the key if there is one. Raises SetupError."""
        key = None if self.dec_key_file is None else read_key(self.dec_key_file)
        return Target(device_type=self.device_type, device_id=self.device, dec_key=key, dec_mode=self.dec_mode)


@dataclass(frozen=True, kw_only=True)
class NewConfig:
    """What `new` is told."""

    name: str = argument("NAME", "the servable's name, which becomes its folder's", str)
    model: Path = setting("FILE.mindir", "the model, exported by MindSpore", Path)
    directory: Path = setting("DIR", "where to make the servable's folder", Path, Path())
    batch: bool = switch("the first dimension of every input counts instances (a dynamic one does anyway)")
    log_level: str = same_as(WorkerConfig, "log_level", "warning")

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise SetupError(f"NAME '{self.name}' should be letters, digits and _, as a Python module's name is")


@dataclass(frozen=True, kw_only=True)
class KeygenConfig:
    """What `keygen` is told."""

    folder: Path = argument("DIR", "the master's folder of keys, made when it is not there", Path)
    worker: tuple[str, ...] = setting(
        "NAME",
        "make the keys of a worker of this name; may be repeated (default for a new DIR: worker)",
        check_worker_name,
        (),
        True,
    )
    log_level: str = same_as(MasterConfig, "log_level", "warning")


class ServableOnDevices(NamedTuple):
    """A servable's folder and the devices that serve it."""

    path: Path
    devices: tuple[int, ...]


def read_servable_on_devices(text: str) -> ServableOnDevices:
    """Reads DIR/NAME[:DEVICES], with DEVICES such as 0 or 0,1. Raises SetupError."""
    path, colon, devices = text.rpartition(":")
    if not colon or "/" in devices:
        path, devices = text, "0"
    if not path:
        raise SetupError(f"'{text}' is not DIR/NAME[:DEVICES]")
    read = integer(f"the device of '{text}'", 0, 65535)
    ids = tuple(read(device) for device in devices.split(","))
    if len(set(ids)) != len(ids):
        raise SetupError(f"the devices of '{text}' should not be repeated")
    return ServableOnDevices(Path(path), ids)


@dataclass(frozen=True, kw_only=True)
class UpConfig:
    """What `up` is told."""

    servables: tuple[ServableOnDevices, ...] = argument(
        "DIR/NAME[:DEVICES]",
        "a servable's folder and its device ids, such as ./add:0,1",
        read_servable_on_devices,
        True,
    )
    grpc: Endpoint = same_as(MasterConfig, "grpc", Address(LOOPBACK, 5500))
    rest: Address | None = same_as(MasterConfig, "rest")
    ctrl: Endpoint | None = setting(
        "[HOST:]PORT",
        "where workers of other machines may register too (default: nowhere)",
        MasterConfig.__dataclass_fields__["ctrl"].metadata["setting"].read,
        None,
    )
    grpc_engine: str = same_as(MasterConfig, "grpc_engine")
    device_type: str = same_as(WorkerConfig, "device_type")
    max_message_mb: int = same_as(MasterConfig, "max_message_mb")
    shared_memory: tuple[str, ...] = same_as(MasterConfig, "shared_memory")
    max_enqueued_requests: int = same_as(MasterConfig, "max_enqueued_requests")
    lease_seconds: float = same_as(MasterConfig, "lease_seconds")
    default_timeout_seconds: float = same_as(MasterConfig, "default_timeout_seconds")
    hang_seconds: float = same_as(MasterConfig, "hang_seconds")
    orphan_seconds: float = same_as(MasterConfig, "orphan_seconds")
    lame_duck_seconds: float = same_as(MasterConfig, "lame_duck_seconds")
    drain_seconds: float = same_as(MasterConfig, "drain_seconds")
    curve_dir: Path | None = same_as(MasterConfig, "curve_dir")
    insecure: bool = same_as(MasterConfig, "insecure")
    tls_certificate: Path | None = same_as(MasterConfig, "tls_certificate")
    tls_key: Path | None = same_as(MasterConfig, "tls_key")
    tls_client_ca: Path | None = same_as(MasterConfig, "tls_client_ca")
    token_file: Path | None = same_as(MasterConfig, "token_file")
    busy_poll: str | None = same_as(MasterConfig, "busy_poll")
    logs: Path | None = setting("DIR", "write each worker's output to a file there (default: show it here)", Path, None)
    log_level: str = same_as(MasterConfig, "log_level")

    def __post_init__(self) -> None:
        check_security(self)
        names = [servable.path.resolve() for servable in self.servables]
        for path in names:
            if names.count(path) > 1:
                raise SetupError(f"'{path}' is given twice: name its devices together, such as {path.name}:0,1")

    def master(self, ctrl: Endpoint) -> MasterConfig:
        """The same as a master is told it. Raises SetupError."""
        return MasterConfig(
            grpc=self.grpc,
            rest=self.rest,
            ctrl=ctrl,
            grpc_engine=self.grpc_engine,
            max_message_mb=self.max_message_mb,
            shared_memory=self.shared_memory,
            max_enqueued_requests=self.max_enqueued_requests,
            lease_seconds=self.lease_seconds,
            default_timeout_seconds=self.default_timeout_seconds,
            hang_seconds=self.hang_seconds,
            orphan_seconds=self.orphan_seconds,
            lame_duck_seconds=self.lame_duck_seconds,
            drain_seconds=self.drain_seconds,
            curve_dir=self.curve_dir,
            insecure=self.insecure,
            tls_certificate=self.tls_certificate,
            tls_key=self.tls_key,
            tls_client_ca=self.tls_client_ca,
            token_file=self.token_file,
            busy_poll=self.busy_poll,
            log_level=self.log_level,
        )
