"""What can be done to a cluster, and a schedule of it from a seed. Pure: the same seed gives the same schedule."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from mindspore_serving.cluster.errors import SetupError

POISON_DEATHS = 3  # workers that one deadly instance may cost, at most


class Fault(Enum):
    """The kinds, by the names that --faults takes."""

    KILL_WORKER = "kill-worker"  # SIGKILL
    STOP_WORKER = "stop-worker"  # SIGSTOP, and SIGCONT before its lease runs out
    FREEZE_WORKER = "freeze-worker"  # SIGSTOP, and SIGCONT when others have its work already
    DRAIN_WORKER = "drain-worker"  # SIGTERM, and a new one
    OUT_OF_MEMORY = "out-of-memory"  # an instance fills the worker's memory, once: the worker is killed
    POISON = "poison"  # an instance ends each worker that runs it; its batch mates should have their answers
    HANG = "hang"  # an instance never returns, once: its worker is given up and ends itself
    SLOW_CALL = "slow-call"  # an instance takes a second
    CUT_NETWORK = "cut-network"  # a worker's control connection is closed at both ends
    HALF_OPEN = "half-open"  # it is closed at one end; the other one learns nothing
    DELAY_NETWORK = "delay-network"  # each piece of it arrives late
    PARTITION = "partition"  # nothing arrives, until long after the lease; then all of it at once
    KILL_MASTER = "kill-master"  # SIGKILL, and a new one at the same ports
    RESTART_MASTER = "restart-master"  # SIGTERM, and a new one at the same ports


OF_MASTERS = frozenset({Fault.KILL_MASTER, Fault.RESTART_MASTER})
OF_NETWORKS = frozenset({Fault.CUT_NETWORK, Fault.HALF_OPEN, Fault.DELAY_NETWORK, Fault.PARTITION})
# Replicas that may be away because of one fault.
_REPLICAS_LOST = {Fault.POISON: POISON_DEATHS, Fault.SLOW_CALL: 0, Fault.KILL_MASTER: 0, Fault.RESTART_MASTER: 0}
# How long a fault lasts, in leases; those without last no time at all.
_LEASES = {
    Fault.STOP_WORKER: (0.1, 0.4),
    Fault.FREEZE_WORKER: (1.5, 2.5),
    Fault.DELAY_NETWORK: (0.5, 2.0),
    Fault.PARTITION: (1.5, 2.5),
}


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """at_seconds: not before this moment of the run. target: a worker's or master's number, or the next that can be."""

    at_seconds: float
    fault: Fault
    target: int
    lasts_seconds: float

    @property
    def replicas_lost(self) -> int:
        """How many replicas may be away because of it, at most."""
        return _REPLICAS_LOST.get(self.fault, 1)


def read_faults(text: str) -> frozenset[Fault]:
    """Reads names of faults, separated by commas. Raises SetupError."""
    known = {fault.value: fault for fault in Fault}
    for name in text.split(","):
        if name not in known:
            raise SetupError(f"--faults '{name}' is not one of {', '.join(known)}")
    return frozenset(known[name] for name in text.split(","))


def schedule(
    seed: int, kinds: frozenset[Fault], *, seconds: float, interval_seconds: float, replicas: int, lease_seconds: float
) -> Sequence[PlannedFault]:
    """Faults over so many seconds, on average one an interval. Each kind comes once before any comes again.

    A short time still has each kind once: it takes longer then.
    """
    chance = random.Random(seed)
    planned: list[PlannedFault] = []
    round_left: list[Fault] = []
    at = 0.0
    while True:
        at += interval_seconds * chance.uniform(0.5, 1.5)
        if at >= seconds and len(planned) >= len(kinds):
            return planned
        if not round_left:
            round_left = sorted(kinds, key=lambda fault: fault.value)
            chance.shuffle(round_left)
        fault = round_left.pop()
        lasts = lease_seconds * chance.uniform(*_LEASES[fault]) if fault in _LEASES else 0.0
        planned.append(PlannedFault(at, fault, chance.randrange(replicas), lasts))
