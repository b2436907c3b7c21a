"""Every setting of a master, read once when it starts."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from mindspore_serving.cluster.addresses import Address, Endpoint, UnixPath, is_loopback, parse_address, parse_endpoint
from mindspore_serving.cluster.dispatch_events import Limits
from mindspore_serving.cluster.errors import SetupError
from mindspore_serving.cluster.settings import LOG_LEVELS, busy_poll, choice, integer, seconds, setting, switch
from mindspore_serving.cluster.siblings import MOST_PROCESSES, control_endpoints

GRPC_ENGINES = ("lean", "grpcio")
DEFAULT_GRPC_ENGINE = "lean"


class LocalServable(NamedTuple):
    """A servable that the master runs in its own process."""

    path: Path
    device_id: int


def parse_local_servable(text: str) -> LocalServable:
    """Reads PATH[:DEVICE]. Raises SetupError."""
    path, colon, device = text.rpartition(":")
    if not colon or not device.isdigit():
        path, device = text, "0"
    if not path:
        raise SetupError(f"--servable '{text}' is not PATH[:DEVICE]")
    return LocalServable(Path(path), integer("the device of --servable", 0, 65535)(device))


def parse_awaited(text: str) -> str:
    """Reads the name of a servable. Raises SetupError for a path, or several."""
    if not text or not set(text).isdisjoint("/, "):
        raise SetupError(
            f"--wait-for '{text}' is not a servable's name: give --wait-for once for each, without a folder"
        )
    return text


def parse_memory_names(text: str) -> str:
    """Reads a name of shared memory, or a pattern of names. Raises SetupError."""
    if not text.removeprefix("/") or "/" in text.removeprefix("/"):
        raise SetupError(
            f"--shared-memory '{text}' is not a name of shared memory, nor a pattern of names such as 'app-*'"
        )
    return text


class SecuritySettings(Protocol):
    """Those of a master that say who may talk to it; `mindspore-serving up` has them too."""

    @property
    def ctrl(self) -> Endpoint | None: ...
    @property
    def curve_dir(self) -> Path | None: ...
    @property
    def insecure(self) -> bool: ...
    @property
    def tls_certificate(self) -> Path | None: ...
    @property
    def tls_key(self) -> Path | None: ...
    @property
    def tls_client_ca(self) -> Path | None: ...


def check_security(config: SecuritySettings) -> None:
    """Raises SetupError for settings that contradict each other, or would let anybody in who was not meant to."""
    if config.curve_dir is not None and config.insecure:
        raise SetupError("--curve-dir and --insecure contradict each other: leave one out")
    unguarded = config.curve_dir is None and not config.insecure
    if unguarded and config.ctrl is not None and not is_loopback(config.ctrl):
        raise SetupError(
            f"--ctrl {config.ctrl} can be reached from other machines: give --curve-dir DIR, so that only workers with "
            "a key get in (mindspore-serving keygen DIR makes it), or --insecure to let in whoever reaches it"
        )
    if (config.tls_certificate is None) != (config.tls_key is None):
        raise SetupError("--tls-certificate and --tls-key need each other")
    if config.tls_client_ca is not None and config.tls_certificate is None:
        raise SetupError("--tls-client-ca needs --tls-certificate and --tls-key")


@dataclass(frozen=True, kw_only=True)
class MasterConfig:
    """What a master is told."""

    grpc: Endpoint = setting(
        "[HOST:]PORT",
        "where clients connect by gRPC; the host defaults to 127.0.0.1; or unix:PATH",
        lambda t: parse_endpoint(t, "--grpc"),
    )
    rest: Address | None = setting(
        "[HOST:]PORT",
        "where clients connect by HTTP; the host defaults to 127.0.0.1; without it there is no RESTful server",
        lambda t: parse_address(t, "--rest"),
        None,
    )
    ctrl: Endpoint | None = setting(
        "[HOST:]PORT",
        "where workers register; the host defaults to 127.0.0.1; or unix:PATH; not needed when --servable is given",
        lambda t: parse_endpoint(t, "--ctrl"),
        None,
    )
    servable: tuple[LocalServable, ...] = setting(
        "PATH[:DEVICE]",
        "run this servable inside the master, on this device; may be repeated",
        parse_local_servable,
        (),
        True,
    )
    wait_for: tuple[str, ...] = setting(
        "SERVABLE",
        "clients may connect once this servable has a worker; until then they are refused, as if nothing ran here, and "
        "turn to another master; may be repeated (default: they may at once)",
        parse_awaited,
        (),
        True,
    )
    processes: int = setting(
        "N",
        "serve with so many processes, which share the ports for clients, so that more than one core is used; "
        "workers find all of them: they take N ports from that of --ctrl on, or unix:PATH, PATH.1, ...",
        integer("--processes", 1, MOST_PROCESSES),
        1,
    )
    grpc_engine: str = setting(
        "ENGINE",
        "lean or grpcio: what serves gRPC; lean needs a fifth of the CPU time, see docs/grpc-door.md",
        choice("--grpc-engine", *GRPC_ENGINES),
        DEFAULT_GRPC_ENGINE,
    )
    device_type: str = setting(
        "TYPE",
        "CPU, GPU or Ascend: the device type of --servable",
        choice("--device-type", "CPU", "GPU", "Ascend"),
        "CPU",
    )
    max_message_mb: int = setting(
        "MB", "largest request accepted, in megabytes, 1 to 512", integer("--max-message-mb", 1, 512), 100
    )
    shared_memory: tuple[str, ...] = setting(
        "NAMES",
        "clients on this machine may lay tensors into shared memory of such a name, instead of sending them; with * "
        "and ?, such as 'app-*'; may be repeated, see docs/doors.md (default: there is none)",
        parse_memory_names,
        (),
        True,
    )
    max_enqueued_requests: int = setting(
        "N",
        "requests that may wait or run, in each process; one more is refused at once",
        integer("--max-enqueued-requests", 1, 10**9),
        Limits().max_enqueued_requests,
    )
    lease_seconds: float = setting(
        "S",
        "a worker that was not heard of for so long is taken for lost",
        seconds("--lease-seconds"),
        Limits().lease_seconds,
    )
    default_timeout_seconds: float = setting(
        "S",
        "how long a request without a deadline of its own may wait and run",
        seconds("--default-timeout-seconds"),
        Limits().default_timeout_seconds,
    )
    hang_seconds: float = setting(
        "S",
        "a worker whose device does not get on with its work for so long is given up, and ends itself; "
        "later where batches are known to take longer",
        seconds("--hang-seconds"),
        Limits().hang_seconds,
    )
    orphan_seconds: float = setting(
        "S",
        "how long what was lost with the last worker waits for another one; 0: it is told at once that none is left",
        seconds("--orphan-seconds"),
        Limits().orphan_seconds,
    )
    lame_duck_seconds: float = setting(
        "S",
        "when told to stop, say so in health checks so long before new calls are refused; not while nobody calls",
        seconds("--lame-duck-seconds"),
        0.5,
    )
    drain_seconds: float = setting(
        "S", "when told to stop, finish what was accepted for at most so long", seconds("--drain-seconds"), 30.0
    )
    curve_dir: Path | None = setting(
        "DIR",
        "the control port's keys: the folder that `mindspore-serving keygen DIR` made; only its workers may register",
        Path,
        None,
    )
    insecure: bool = switch("let --ctrl listen beyond this machine without keys: whoever reaches it can be a worker")
    tls_certificate: Path | None = setting(
        "FILE", "both doors speak TLS, with this certificate (PEM, the chain in one file)", Path, None
    )
    tls_key: Path | None = setting("FILE", "the certificate's private key (PEM, not encrypted)", Path, None)
    tls_client_ca: Path | None = setting(
        "FILE", "clients must show a certificate too, signed by one of these (PEM)", Path, None
    )
    token_file: Path | None = setting(
        "FILE", "clients must send one of these tokens, one a line, as `authorization: Bearer TOKEN`", Path, None
    )
    busy_poll: str | None = busy_poll()
    log_level: str = setting("LEVEL", "debug, info, warning or error", choice("--log-level", *LOG_LEVELS), "info")

    def __post_init__(self) -> None:
        check_security(self)
        if self.ctrl is None and not self.servable:
            raise SetupError("give --ctrl [HOST:]PORT for workers to register at, or --servable PATH to run one here")
        own = [servable.path.resolve().name for servable in self.servable]
        never = [name for name in self.wait_for if self.ctrl is None and name not in own]
        if never:
            raise SetupError(f"--wait-for {never[0]}: no --servable is called so, and no worker comes without --ctrl")
        for name in ("lease_seconds", "default_timeout_seconds", "hang_seconds"):
            if not getattr(self, name) > 0:
                raise SetupError(f"--{name.replace('_', '-')} should be more than 0")
        if self.processes > 1:
            self._check_sharing()

    def _check_sharing(self) -> None:
        several = f"--processes {self.processes}"
        if self.servable:
            raise SetupError(f"{several} cannot have a --servable inside: serve it by a worker, or with one process")
        if isinstance(self.grpc, UnixPath):
            raise SetupError(f"{several} cannot share --grpc {self.grpc}: give --grpc [HOST:]PORT, or one process")
        taken = {"--grpc": self.grpc.port, "--rest": self.rest.port if self.rest else None}
        for control in self.control_endpoints:
            for option, port in taken.items():
                if isinstance(control, Address) and control.port == port:
                    last = self.control_endpoints[-1]
                    raise SetupError(
                        f"{several} --ctrl {self.ctrl} takes the ports up to {last}: {option} is in the way"
                    )

    @property
    def control_endpoints(self) -> tuple[Endpoint, ...]:
        """Where workers register: one for each process; none when there is no --ctrl. Raises SetupError."""
        return () if self.ctrl is None else control_endpoints(self.ctrl, self.processes)

    @property
    def limits(self) -> Limits:
        """What the dispatcher is allowed."""
        return Limits(
            lease_seconds=self.lease_seconds,
            max_enqueued_requests=self.max_enqueued_requests,
            default_timeout_seconds=self.default_timeout_seconds,
            hang_seconds=self.hang_seconds,
            orphan_seconds=self.orphan_seconds,
        )
