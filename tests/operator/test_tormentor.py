"""When a fault may be done: one replica is left alive at any moment."""

import asyncio
from pathlib import Path

from mindspore_serving.chaos.checked_calls import DOOMED, SERVABLE, Order
from mindspore_serving.chaos.faults import Fault, PlannedFault
from mindspore_serving.chaos.small_cluster import SmallCluster
from mindspore_serving.chaos.tormentor import Tormentor


class FourWorkers(SmallCluster):
    """Without processes: all count as fit until the test says otherwise. A worker's first pid is its number."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, masters=1, workers=4, lease_seconds=1.0)
        (folder / SERVABLE / DOOMED).mkdir(parents=True)
        self.pids = list(range(4))
        self._serving = {0: 0.0}
        for worker in range(4):
            self.start_again(worker, worker)

    def _doom_of(self, worker: int) -> Path:
        return self._folder / SERVABLE / DOOMED / str(self.pids[worker])

    def is_told_to_die(self, worker: int) -> None:
        self._doom_of(worker).touch()

    def is_missed(self, worker: int) -> None:
        self.lose_links(worker)
        self.wake()

    def start_again(self, worker: int, pid: int) -> None:
        self.pids[worker] = pid
        self.workers[worker].starts += 1
        self._note_registered((worker, 0))


async def others_take_their_turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def test_a_worker_that_hung_is_not_taken_for_fit_before_it_is_missed(tmp_path: Path) -> None:
    """A poison that comes in between kills the other three: nobody is left (chaos, seed 659276929)."""

    async def run() -> list[Order]:
        cluster, asked = FourWorkers(tmp_path), list[Order]()

        async def ask(order: Order) -> None:
            asked.append(order)
            if order is Order.HANG_ONCE:
                cluster.is_told_to_die(0)

        hang, poison = (PlannedFault(0.0, fault, 0, 0.0) for fault in (Fault.HANG, Fault.POISON))
        tormentor = Tormentor(cluster, ask, lambda line: None)
        work = asyncio.create_task(tormentor.run([hang, poison], 0.0, asyncio.Event()))
        await others_take_their_turns()  # the hung call is answered elsewhere; nobody has missed the worker yet
        assert asked == [Order.HANG_ONCE]
        cluster.is_missed(3)
        cluster.start_again(3, pid=13)  # another one, that died of something else
        await others_take_their_turns()
        assert asked == [Order.HANG_ONCE]
        cluster.is_missed(0)
        await others_take_their_turns()
        assert asked == [Order.HANG_ONCE]  # three are left: one too few for a poison
        cluster.start_again(0, pid=10)
        await work
        assert tormentor.troubles == [] and tormentor.poison_lives == 1
        return asked

    assert asyncio.run(run()) == [Order.HANG_ONCE, Order.DIE]
