"""Every setting of `mindspore-serving chaos` and of the soak, read once when they start."""

from dataclasses import dataclass
from pathlib import Path

from mindspore_serving.chaos.faults import POISON_DEATHS, Fault, read_faults
from mindspore_serving.cluster.errors import SetupError
from mindspore_serving.cluster.settings import integer, same_as, setting
from mindspore_serving.cluster.settings import seconds as read_seconds
from mindspore_serving.master.config import MasterConfig

LARGEST_SEED = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class ChaosConfig:
    """What `chaos` is told."""

    seconds: float = setting(
        "S", "go on for so long, and until each kind of fault has come once", read_seconds("--seconds"), 60.0
    )
    faults: frozenset[Fault] | None = setting(
        "LIST",
        f"the kinds of faults, separated by commas: {','.join(fault.value for fault in Fault)} (default: all)",
        read_faults,
        None,
    )
    seed: int | None = setting(
        "N", "the same seed gives the same faults and calls (default: another one each time)",
        integer("--seed", 0, LARGEST_SEED), None,
    )  # fmt: skip
    interval_seconds: float = setting(
        "S", "from one fault to the next, on average", read_seconds("--interval-seconds"), 1.0
    )
    workers: int = setting("N", "worker processes", integer("--workers", 2, 64), POISON_DEATHS + 1)
    masters: int = setting("N", "master processes", integer("--masters", 1, 8), 1)
    rate: int = setting("N", "calls a second, of all clients together", integer("--rate", 1, 10000), 50)
    clients: int = setting("N", "client processes, of 8 threads each", integer("--clients", 1, 16), 2)
    deadline_seconds: float = setting(
        "S", "how long a patient caller waits before a call counts as lost", read_seconds("--deadline-seconds"), 30.0
    )
    lease_seconds: float = same_as(MasterConfig, "lease_seconds", 1.0)
    hang_seconds: float = same_as(MasterConfig, "hang_seconds", 3.0)
    json: Path | None = setting("FILE", "write all figures there", Path, None)
    logs: Path | None = setting(
        "DIR", "keep the output of every process there (default: keep it when the run fails)", Path, None
    )
    log_level: str = same_as(MasterConfig, "log_level", "warning")

    @property
    def kinds(self) -> frozenset[Fault]:
        """The kinds of faults that may come."""
        return frozenset(Fault) if self.faults is None else self.faults

    def __post_init__(self) -> None:
        for name in ("lease_seconds", "hang_seconds", "interval_seconds", "deadline_seconds"):
            if not getattr(self, name) > 0:
                raise SetupError(f"--{name.replace('_', '-')} should be more than 0")
        if Fault.POISON in self.kinds and self.workers <= POISON_DEATHS:
            raise SetupError(
                f"--workers {self.workers}: a poison instance may cost {POISON_DEATHS} workers, and one has to live; "
                f"give {POISON_DEATHS + 1} or more, or leave poison out of --faults"
            )


@dataclass(frozen=True, kw_only=True)
class SoakConfig:
    """What the soak is told."""

    seconds: float = setting("S", "go on for so long", read_seconds("--seconds"), 300.0)
    workers: int = setting("N", "worker processes", integer("--workers", 1, 64), 2)
    masters: int = same_as(ChaosConfig, "masters")
    rate: int = same_as(ChaosConfig, "rate")
    deadline_seconds: float = same_as(ChaosConfig, "deadline_seconds")
    lease_seconds: float = same_as(MasterConfig, "lease_seconds")
    log_level: str = same_as(MasterConfig, "log_level", "warning")

    def __post_init__(self) -> None:
        if self.seconds < 12:
            raise SetupError("--seconds should be 12 or more: fewer samples have no trend")
