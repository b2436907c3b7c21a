"""Every setting of `bench`, read once when it starts."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mindspore_serving.bench.input_spec import InputSpec, parse_input_spec
from mindspore_serving.cluster.addresses import Endpoint, parse_endpoint
from mindspore_serving.cluster.errors import SetupError
from mindspore_serving.cluster.settings import LOG_LEVELS, argument, choice, integer, setting

MAX_CALLERS = 4096
MAX_INSTANCES = 4096


def positive(what: str, most: float) -> Callable[[str], float]:
    """Reads a number above 0 and up to `most`."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not 0 < value <= most:
            raise SetupError(f"{what} '{text}' is not a number above 0 and up to {most:g}")
        return value

    return read


@dataclass(frozen=True, kw_only=True)
class BenchConfig:
    """What `bench` is told."""

    address: Endpoint = argument(
        "ADDRESS",
        "the server: [HOST:]PORT, the host defaults to 127.0.0.1; or unix:PATH",
        lambda t: parse_endpoint(t, "ADDRESS"),
    )
    servable: str = argument("SERVABLE", "the servable's name", str)
    method: str = argument("METHOD", "the method's name", str)
    version: int = setting("N", "the servable's version; 0 is the newest", integer("--version", 0, 2**63 - 1), 0)
    input: tuple[InputSpec, ...] = setting(
        "NAME=DTYPE[SHAPE]",
        "an input with random values, for example x1=float32[2,2], n=int32[], image=bytes[600]; may be repeated",
        parse_input_spec,
        (),
        True,
    )
    inputs: Path | None = setting(
        "FILE",
        "inputs by name: .npz has one instance, .json one (an object) or several (a list of objects)",
        Path,
        None,
    )
    expect: Path | None = setting(
        "FILE",
        "outputs by name that every reply should have, in the form of --inputs (default: the first reply)",
        Path,
        None,
    )
    instances: int = setting("K", "instances in a request", integer("--instances", 1, MAX_INSTANCES), 1)
    callers: int | None = setting(
        "N",
        "closed loop: so many callers, each waits for its reply before it calls again (default: 1, without --rate)",
        integer("--callers", 1, MAX_CALLERS),
        None,
    )
    rate: float | None = setting(
        "R",
        "open loop: so many calls a second, sent on time however late the replies are",
        positive("--rate", 1e6),
        None,
    )
    arrivals: str = setting(
        "HOW",
        "poisson or fixed: the gaps between the calls of --rate",
        choice("--arrivals", "poisson", "fixed"),
        "poisson",
    )
    seconds: float = setting("S", "how long to measure", positive("--seconds", 86400), 10.0)
    warm_up_seconds: float = setting("S", "how long to call before", positive("--warm-up-seconds", 3600), 1.0)
    timeout_seconds: float = setting(
        "S", "a call without a reply for so long is an error", positive("--timeout-seconds", 3600), 10.0
    )
    engine: str = setting(
        "NAME",
        "what sends: grpcio checks every reply; h2load (of nghttp2) costs less and knows only the closed loop; "
        "auto takes h2load where it is installed and can do it",
        choice("--engine", "auto", "grpcio", "h2load"),
        "auto",
    )
    processes: int = setting("N", "processes that send with grpcio", integer("--processes", 1, 64), 2)
    seed: int = setting("N", "of the random inputs and gaps", integer("--seed", 0, 2**31 - 1), 1)
    json: Path | None = setting("FILE", "write the findings there too", Path, None)
    log_level: str = setting("LEVEL", "debug, info, warning or error", choice("--log-level", *LOG_LEVELS), "warning")

    def __post_init__(self) -> None:
        if self.rate is not None and self.callers is not None:
            raise SetupError("give --rate for an open loop or --callers for a closed one, not both")
        if self.rate is not None and self.engine == "h2load":
            raise SetupError("--engine h2load knows only the closed loop: give --callers instead of --rate")
        if bool(self.input) == (self.inputs is not None):
            raise SetupError("give the method's inputs: --input NAME=DTYPE[SHAPE] for each, or --inputs FILE")
        names = [spec.name for spec in self.input]
        if len(set(names)) < len(names):
            raise SetupError(f"--input names should not be repeated: {', '.join(names)}")

    @property
    def closed_callers(self) -> int | None:
        """Callers of the closed loop; None: the loop is open."""
        return None if self.rate is not None else self.callers or 1
