"""When a fault may be done: one replica is left alive at any moment."""

import asyncio

from mindspore_serving.chaos.checked_calls import Order
from mindspore_serving.chaos.faults import Fault, PlannedFault
from mindspore_serving.chaos.small_cluster import SmallCluster
from mindspore_serving.chaos.tormentor import Tormentor


class FourWorkers(SmallCluster):
    """Without processes: all count as fit until the test says otherwise."""

    starts = 4

    def __init__(self) -> None:
        self.gone: set[int] = set()
        self._news = asyncio.Event()
        self.masters = []

    @property
    def worker_starts(self) -> int:
        return self.starts

    @property
    def is_whole(self) -> bool:
        return not self.gone

    def fit_workers(self) -> list[int]:
        return [worker for worker in range(4) if worker not in self.gone]


def test_a_worker_that_hung_is_not_taken_for_fit_before_it_is_missed() -> None:
    """A poison that comes in between kills the other three: nobody is left (chaos, seed 659276929)."""

    async def run() -> list[Order]:
        cluster, asked = FourWorkers(), list[Order]()

        async def ask(order: Order) -> None:
            asked.append(order)
            if order is Order.DIE:
                cluster.starts += 3  # as those are that it has cost

        hang, poison = (PlannedFault(0.0, fault, 0, 0.0) for fault in (Fault.HANG, Fault.POISON))
        tormentor = Tormentor(cluster, ask, lambda line: None)
        work = asyncio.create_task(tormentor.run([hang, poison], 0.0, asyncio.Event()))
        for _ in range(20):  # the hung call is answered elsewhere; nobody has missed the worker yet
            await asyncio.sleep(0)
        assert asked == [Order.HANG_ONCE]
        cluster.gone = {0}
        cluster.starts += 1
        cluster.wake()
        for _ in range(20):
            await asyncio.sleep(0)
        assert asked == [Order.HANG_ONCE]  # three are left: one too few for a poison
        cluster.gone = set()
        cluster.wake()
        await work
        assert tormentor.troubles == [] and tormentor.poison_lives == 1
        return asked

    assert asyncio.run(run()) == [Order.HANG_ONCE, Order.DIE]
