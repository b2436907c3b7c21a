"""Every setting of a master, read once when it starts."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mindspore_serving.cluster.addresses import Address, Endpoint, parse_address, parse_endpoint
from mindspore_serving.cluster.dispatch_events import Limits
from mindspore_serving.cluster.errors import SetupError
from mindspore_serving.cluster.settings import LOG_LEVELS, choice, integer, seconds, setting

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
    max_enqueued_requests: int = setting(
        "N",
        "requests that may wait or run; one more is refused at once",
        integer("--max-enqueued-requests", 1, 10**9),
        Limits().max_enqueued_requests,
    )
    lease_seconds: float = setting(
        "S",
        "a worker that was not heard of for so long is taken for lost",
        seconds("--lease-seconds"),
        Limits().lease_seconds,
    )
    drain_seconds: float = setting(
        "S", "when told to stop, finish what was accepted for at most so long", seconds("--drain-seconds"), 30.0
    )
    log_level: str = setting("LEVEL", "debug, info, warning or error", choice("--log-level", *LOG_LEVELS), "info")

    def __post_init__(self) -> None:
        if self.ctrl is None and not self.servable:
            raise SetupError("give --ctrl [HOST:]PORT for workers to register at, or --servable PATH to run one here")
        if not self.lease_seconds > 0:
            raise SetupError("--lease-seconds should be more than 0")

    @property
    def limits(self) -> Limits:
        """What the dispatcher is allowed."""
        return Limits(lease_seconds=self.lease_seconds, max_enqueued_requests=self.max_enqueued_requests)
