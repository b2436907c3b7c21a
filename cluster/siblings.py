"""The processes of one master: where workers register at each, and how one process tells workers of the others.

A worker is given one address of a master and finds the others from there. It reached that one by a host name, or by a
folder, that the master need not know: only a port, or a file's name, is told.
"""

from collections.abc import Hashable, Iterable, Sequence
from typing import Generic, TypeAlias, TypeVar

from mindspore_serving.cluster.addresses import Address, Endpoint, UnixPath, for_zeromq, parse_endpoint
from mindspore_serving.cluster.errors import SetupError

Sibling: TypeAlias = int | str  # a TCP port, or the name of a unix socket's file

MOST_PROCESSES = 64

M = TypeVar("M", bound=Hashable)


class Households(Generic[M]):
    """The worker's side: which of its masters are processes of one, and whether all of these know it already.

    None of them gives it work before: so no caller is answered by one process and then told by the next that nobody
    serves this.
    """

    def __init__(self) -> None:
        self._siblings: dict[M, frozenset[M]] = {}
        self._registered: set[M] = set()

    def met(self, master: M, siblings: Iterable[M]) -> None:
        """The master has told of its other processes."""
        self._siblings[master] = frozenset(siblings)

    def registered(self, master: M) -> list[M]:
        """The master knows this worker now. Returns those which are to hear that the last of their siblings does."""
        self._registered.add(master)
        return [
            one
            for one in self._registered
            if (siblings := self._siblings.get(one))
            and (one == master or master in siblings)
            and siblings <= self._registered
        ]

    def lost(self, master: M) -> None:
        """It does not know this worker any more."""
        self._registered.discard(master)


def control_endpoints(first: Endpoint, processes: int) -> tuple[Endpoint, ...]:
    """Where so many processes listen for workers: ports in a row, or PATH, PATH.1, PATH.2. Raises SetupError."""
    more = range(1, processes)
    if isinstance(first, UnixPath):
        return (first, *(parse_endpoint(f"unix:{first.path}.{number}", "--ctrl") for number in more))
    if first.port + processes - 1 > 65535:
        raise SetupError(
            f"--ctrl {first}: {processes} processes take the ports from {first.port} on, and the last port is 65535"
        )
    return (first, *(first._replace(port=first.port + number) for number in more))


def siblings_of(endpoints: Sequence[Endpoint], slot: int) -> tuple[Sibling, ...]:
    """What the process at `endpoints[slot]` tells its workers of the others."""
    others = [endpoint for number, endpoint in enumerate(endpoints) if number != slot]
    return tuple(other.port if isinstance(other, Address) else _name(other) for other in others)


def sibling_endpoint(master: str, sibling: Sibling) -> str | None:
    """Where a sibling of the process at `master` is, both as ZeroMQ writes it; None: there can be none."""
    scheme, _, place = master.partition("://")
    if scheme == "tcp" and isinstance(sibling, int):
        return f"tcp://{place.rpartition(':')[0]}:{sibling}"
    if scheme == "ipc" and isinstance(sibling, str) and "/" not in sibling:
        folder, slash, _ = place.rpartition("/")
        try:
            return for_zeromq(parse_endpoint(f"unix:{folder}{slash}{sibling}", "a sibling"))
        except SetupError:  # a path that no socket can have
            return None
    return None


def _name(path: UnixPath) -> str:
    return path.path.rpartition("/")[2]
