"""What one of the processes of a master knows of the others."""

import mmap
from dataclasses import dataclass

from mindspore_serving.cluster.addresses import Endpoint
from mindspore_serving.cluster.siblings import Sibling, siblings_of
from mindspore_serving.master.region_table import RegionTable

_CELL_BYTES = 8


class Tally:
    """How many workers each process has registered, in memory that they share: made before they are forked."""

    def __init__(self, processes: int) -> None:
        self._cells = memoryview(mmap.mmap(-1, _CELL_BYTES * processes)).cast("q")

    def put(self, slot: int, workers: int) -> None:
        """The process has so many workers."""
        self._cells[slot] = workers

    def most(self) -> int:
        """The workers of the process that has most."""
        return max(self._cells)


@dataclass(frozen=True)
class Place:
    """Where this process stands: its number from 0 on, everybody's control endpoints, everybody's workers.

    lifeline: can be read when the process that started this one has gone. regions: everybody's clients' memory, if they
    may share any.
    """

    slot: int
    endpoints: tuple[Endpoint, ...]
    tally: Tally
    lifeline: int
    regions: RegionTable | None

    @property
    def endpoint(self) -> Endpoint:
        """Where workers register at this process."""
        return self.endpoints[self.slot]

    @property
    def siblings(self) -> tuple[Sibling, ...]:
        """What workers are told of the others."""
        return siblings_of(self.endpoints, self.slot)
