"""A small cluster of real processes under checked load: the calls go on while a test does its worst."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from mindspore_serving.chaos.checked_calls import Mix, Outcome
from mindspore_serving.chaos.clients import Clients
from mindspore_serving.chaos.small_cluster import SmallCluster
from tests.processes import READY_SECONDS

CALLS = 20
LEASE_SECONDS = 1.0


class UnderLoad:
    """A cluster and its callers."""

    def __init__(self, cluster: SmallCluster, clients: Clients) -> None:
        self.cluster = cluster
        self.clients = clients

    async def answers(self, more: int) -> None:
        """Returns when so many calls more have ended."""
        wanted = len(self.clients.records) + more
        deadline = time.monotonic() + READY_SECONDS
        while len(self.clients.records) < wanted:
            assert time.monotonic() < deadline, "the clients do not call"
            await asyncio.sleep(0.02)

    async def whole(self) -> None:
        """Returns when every worker is registered."""
        assert await self.cluster.until(lambda: self.cluster.is_whole, READY_SECONDS)


@asynccontextmanager
async def under_load(folder: Path, workers: int, masters: int = 1) -> AsyncIterator[UnderLoad]:
    """Afterwards every call has ended, and none was lost or wrong."""
    cluster = SmallCluster(folder, masters=masters, workers=workers, lease_seconds=LEASE_SECONDS)
    clients = Clients(
        cluster.address,
        folder / "clients.log",
        processes=1,
        threads=8,
        rate=100,
        deadline_seconds=60.0,
        seed=1,
        mix=Mix(),
    )
    try:
        await cluster.start()
        await clients.start()
        load = UnderLoad(cluster, clients)
        await load.answers(CALLS)
        yield load
        await load.answers(CALLS)
        assert await clients.end() == [0]
    finally:
        clients.kill()
        await cluster.stop()
    bad = [record for record in clients.records if record.outcome in (Outcome.LOST, Outcome.WRONG)]
    assert bad == []


def starts(load: UnderLoad) -> list[int]:
    return [worker.starts for worker in load.cluster.workers]
