"""Servables, their versions, and the replicas that serve them.

replica: READY --drain--> DRAINING --release--> GONE      READY, DRAINING --lose--> GONE
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from mindspore_serving.cluster.errors import Code, NotServed, RequestRefused
from mindspore_serving.cluster.messages import MethodSpec, Register
from mindspore_serving.cluster.pace import Pace

if TYPE_CHECKING:
    from mindspore_serving.cluster.batcher import Batch


class ReplicaState(Enum):
    READY = auto()
    DRAINING = auto()
    GONE = auto()


_MOVES = {
    (ReplicaState.READY, "drain"): ReplicaState.DRAINING,
    (ReplicaState.DRAINING, "drain"): ReplicaState.DRAINING,
    (ReplicaState.READY, "lose"): ReplicaState.GONE,
    (ReplicaState.DRAINING, "lose"): ReplicaState.GONE,
    (ReplicaState.DRAINING, "release"): ReplicaState.GONE,
}


class Replica:
    """A worker as the master sees it, with the batches it has been sent and has not answered (oldest first)."""

    def __init__(self, worker_id: str, register: Register, route: "Route") -> None:
        self.id = worker_id
        self.register = register
        self.route = route
        self.state = ReplicaState.READY
        self.credit = register.credit  # batches that it may have open
        self.credit_is_kept = True  # and the worker knows that
        self.open: dict[int, Batch] = {}
        self.running_since = 0.0  # when the oldest of them came to be that
        self.pace = Pace()
        self.begun: int | None = None  # the one of them that runs alone, if it was told to begin
        self.stalled = ""  # why it gets nothing new, when it does not get on

    @property
    def answer_at(self) -> float:
        """When the oldest of its batches will be answered, as far as foretold; -inf where it is not."""
        batches = list(self.open.values())
        if not self.pace.is_known or not all(batch.device_seconds for batch in batches):
            return -math.inf
        return self.pace.heard_at - sum(batch.device_seconds for batch in batches[1:])

    def move(self, by: str) -> None:
        self.state = _MOVES[self.state, by]

    def __str__(self) -> str:
        return f"{self.id} ({self.register.device}, host {self.register.host}, pid {self.register.pid})"


@dataclass(frozen=True, slots=True)
class RouteHealth:
    """How one version of one servable stands. `reason` says why it is not ready, in a line; empty when it is."""

    servable: str
    version: int
    methods: tuple[MethodSpec, ...]
    ready_replicas: int
    reason: str
    quarantined: tuple[str, ...] = ()  # methods that are shut off for a while, since their workers died

    @property
    def ready(self) -> bool:
        """Whether new requests are taken."""
        return not self.reason


class Route:
    """One version of one servable: its methods and replicas. Outlives them, to be told from an unknown one."""

    def __init__(self, servable: str, version: int) -> None:
        self.servable = servable
        self.version = version
        self.methods: Mapping[str, MethodSpec] = {}
        self.replicas: dict[str, Replica] = {}
        self.draining: dict[str, Replica] = {}  # those of them that want to leave
        self.shut: set[str] = set()  # methods that are in quarantine
        self._ready = 0

    @property
    def ready(self) -> bool:
        """Whether new requests may come this way."""
        return self._ready > 0

    def add(self, replica: Replica) -> None:
        self.replicas[replica.id] = replica
        self._ready += 1
        self._follow_newest()

    def move(self, replica: Replica, by: str) -> None:
        was_ready = replica.state is ReplicaState.READY
        replica.move(by)
        self._ready += (replica.state is ReplicaState.READY) - was_ready
        if replica.state is ReplicaState.DRAINING:
            self.draining[replica.id] = replica
        elif replica.state is ReplicaState.GONE:
            del self.replicas[replica.id]
            self.draining.pop(replica.id, None)
            self._follow_newest()

    def health(self) -> RouteHealth:
        """How it stands now."""
        reason = ""
        if not self.ready:
            reason = "its last worker is leaving" if self.replicas else "it has no live worker"
        elif all(replica.stalled for replica in self.replicas.values()):
            reason = "all its workers are stalled"
        elif self.shut and self.shut >= set(self.methods):
            reason = "the workers of its methods died one after the other"
        return RouteHealth(
            self.servable, self.version, tuple(self.methods.values()), self._ready, reason, tuple(self.shut)
        )

    def _follow_newest(self) -> None:
        """Workers that are restarted one by one may bring other batch sizes: what the last one says counts for all."""
        if self.replicas:
            newest = next(reversed(self.replicas.values()))
            self.methods = {method.name: method for method in newest.register.methods}

    def __str__(self) -> str:
        return f"servable {self.servable} version {self.version}"


class Registry:
    """Who serves what. Looking up costs the same for any number of replicas and servables."""

    def __init__(self) -> None:
        self._versions: defaultdict[str, dict[int, Route]] = defaultdict(dict)
        self._newest: dict[str, Route] = {}  # version 0: the newest one that is ready
        self._replicas: dict[str, Replica] = {}
        self.health_version = 0  # another number: health() may say something else now

    def __len__(self) -> int:
        return len(self._replicas)

    def __iter__(self) -> Iterator[Replica]:
        return iter(tuple(self._replicas.values()))

    def health(self) -> list[RouteHealth]:
        """Every version that was ever served here, by servable and version."""
        return [
            route.health() for _, versions in sorted(self._versions.items()) for _, route in sorted(versions.items())
        ]

    def get(self, worker_id: str) -> Replica | None:
        return self._replicas.get(worker_id)

    def conflict(self, register: Register) -> str | None:
        """Why this worker cannot join those that serve the same version now; None when it can."""
        route = self._versions[register.servable].get(register.version)
        if route is None or not route.replicas or _signature(route.methods.values()) == _signature(register.methods):
            return None
        return (
            f"{route} is already served with other methods ({_listed(route.methods.values())}; "
            f"this worker has {_listed(register.methods)}): give the changed servable a new version number, "
            "or stop the workers that serve the old one first"
        )

    def add(self, worker_id: str, register: Register) -> Replica:
        """A new replica. The caller has made sure that there is no conflict and that the id is free."""
        self.health_version += 1
        versions = self._versions[register.servable]
        route = versions.setdefault(register.version, Route(register.servable, register.version))
        replica = self._replicas[worker_id] = Replica(worker_id, register, route)
        route.add(replica)
        self._find_newest(register.servable)
        return replica

    def move(self, replica: Replica, by: str) -> None:
        """Takes the replica along its state table; a replica that is GONE is forgotten."""
        self.health_version += 1
        replica.route.move(replica, by)
        self._find_newest(replica.route.servable)
        if replica.state is ReplicaState.GONE:
            del self._replicas[replica.id]

    def stall(self, replica: Replica, why: str) -> None:
        """The replica does not get on; or does again, when `why` is empty."""
        self.health_version += 1
        replica.stalled = why

    def shut(self, route: Route, method: str, is_shut: bool) -> None:
        """A method is shut off for a while, or opened again."""
        self.health_version += 1
        (route.shut.add if is_shut else route.shut.discard)(method)

    def resolve(self, servable: str, version: int, method: str) -> tuple[Route, MethodSpec]:
        """Where a request goes. Version 0 asks for the newest version that has a ready replica.

        Raises RequestRefused with the texts of MindSpore Serving 2.0.2, which looks for servable and version first.
        """
        route = self._versions.get(servable, {}).get(version) if version else self._newest.get(servable)
        if route is None or not route.ready:
            raise self._refusal(servable, version, method, route)
        spec = route.methods.get(method)
        if spec is None:
            text = f"{_asked(servable, version, method)}, method is not available"
            raise NotServed(Code.INVALID_INPUTS, text)
        return route, spec

    def _refusal(self, servable: str, version: int, method: str, route: Route | None) -> RequestRefused:
        text = f"{_asked(servable, version, method)}, servable is not available"
        if route is not None or (not version and self._versions.get(servable)):
            return RequestRefused(Code.SERVABLE_UNAVAILABLE, text)
        return NotServed(Code.INVALID_INPUTS, text)

    def _find_newest(self, servable: str) -> None:
        """To be called when some version of it has become ready, or is so no more."""
        ready = [route for route in self._versions[servable].values() if route.ready]
        if ready:
            self._newest[servable] = max(ready, key=lambda route: route.version)
        else:
            self._newest.pop(servable, None)

    def versions(self, servable: str) -> Mapping[int, Route]:
        """Every version of this servable that was ever served here."""
        return self._versions.get(servable, {})


def _asked(servable: str, version: int, method: str) -> str:
    return f"Request servable({servable}) method({method}) " + (f" version({version}) " if version else "")


def _signature(
    methods: Iterable[MethodSpec],
) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    return sorted((method.name, method.inputs, method.outputs) for method in methods)


def _listed(methods: Iterable[MethodSpec]) -> str:
    return ", ".join(
        f"{name}({', '.join(inputs)}) -> {', '.join(outputs)}" for name, inputs, outputs in _signature(methods)
    )
