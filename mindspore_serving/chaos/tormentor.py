"""Carries out a schedule of faults. One replica is left alive at any moment: what nobody can answer proves nothing."""

import asyncio
import contextlib
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

from mindspore_serving.chaos.checked_calls import Order
from mindspore_serving.chaos.faults import OF_MASTERS, OF_NETWORKS, Fault, PlannedFault
from mindspore_serving.chaos.small_cluster import SmallCluster

BACK_SECONDS = 30.0  # in which the cluster should be fit for the next fault
DELAY_SECONDS = 0.05
_ORDERS = {
    Fault.POISON: Order.DIE,
    Fault.OUT_OF_MEMORY: Order.DIE_ONCE,
    Fault.HANG: Order.HANG_ONCE,
    Fault.SLOW_CALL: Order.DWELL,
}

AskFor = Callable[[Order], Awaitable[None]]


class Tormentor:
    """ask_for(order): makes a call with this order and returns when it is answered. tell: gets a line a fault."""

    def __init__(self, cluster: SmallCluster, ask_for: AskFor, tell: Callable[[str], None]) -> None:
        self.done: Counter[str] = Counter()
        self.troubles: list[str] = []
        self.poison_lives = 0  # poison instances; once more for each master that was ended, and forgot them
        self._cluster = cluster
        self._ask_for = ask_for
        self._tell = tell
        self._poisons_open = 0
        self._reserved = 0  # replicas that a call by order may still cost
        self._aftermath: set[asyncio.Task[None]] = set()

    async def run(self, planned: Sequence[PlannedFault], seconds: float, stop: asyncio.Event) -> None:
        """For so many seconds, and until each kind has come once. Ends early at `stop`. Then all is made good again."""
        kinds = len({plan.fault for plan in planned})
        began = time.monotonic()
        for number, plan in enumerate(planned):
            if time.monotonic() - began >= seconds and number >= kinds:
                break
            if await _wait(stop, began + plan.at_seconds - time.monotonic()):
                break
            if not await self._becomes_bearable(plan, stop):
                self.troubles.append(f"the cluster was not fit for {plan.fault.value} within {BACK_SECONDS:g} s")
                continue
            if stop.is_set():
                break
            self._tell(f"{time.monotonic() - began:7.1f} s  {plan.fault.value:15} {self._commit(plan)}")
        else:
            await _wait(stop, began + seconds - time.monotonic())
        if self._aftermath:
            await asyncio.wait(self._aftermath)
        if not await self._cluster.until(lambda: self._cluster.is_whole, BACK_SECONDS):
            self.troubles.append(f"the cluster was not whole {BACK_SECONDS:g} s after the last fault")

    async def _becomes_bearable(self, plan: PlannedFault, stop: asyncio.Event) -> bool:
        return await self._cluster.until(lambda: self._is_bearable(plan) or stop.is_set(), BACK_SECONDS)

    def _is_bearable(self, plan: PlannedFault) -> bool:
        if plan.fault in OF_MASTERS and not self._cluster.all_masters_serve:
            return False
        enough = len(self._cluster.fit_workers()) - self._reserved > plan.replicas_lost
        return enough and bool(self._candidates(plan))

    def _candidates(self, plan: PlannedFault) -> list[int]:
        """The workers that can suffer it."""
        fit = self._cluster.fit_workers()
        return [worker for worker in fit if self._cluster.has_network(worker)] if plan.fault in OF_NETWORKS else fit

    def _commit(self, plan: PlannedFault) -> str:
        """Returns whom it concerns."""
        self.done[plan.fault.value] += 1
        if plan.fault in OF_MASTERS:
            master = plan.target % len(self._cluster.masters)
            number = signal.SIGKILL if plan.fault is Fault.KILL_MASTER else signal.SIGTERM
            self._cluster.end_master(master, number)
            self.poison_lives += self._poisons_open
            return self._cluster.masters[master].name
        if plan.fault in _ORDERS:
            self._reserved += plan.replicas_lost
            self._poisons_open += plan.fault is Fault.POISON
            self.poison_lives += plan.fault is Fault.POISON
            self._afterwards(self._order(plan))
            return "some worker"
        candidates = self._candidates(plan)
        worker = next((worker for worker in candidates if worker >= plan.target), candidates[0])
        self._disturb(worker, plan)
        return self._cluster.workers[worker].name + (f" for {plan.lasts_seconds:.1f} s" if plan.lasts_seconds else "")

    def _disturb(self, worker: int, plan: PlannedFault) -> None:
        cluster, proxies = self._cluster, self._cluster.proxies_of(worker)
        if plan.fault in (Fault.STOP_WORKER, Fault.DELAY_NETWORK):
            cluster.hold(worker)
        else:
            cluster.lose_links(worker)  # also by those that last longer than its lease
        match plan.fault:
            case Fault.KILL_WORKER:
                cluster.kill_worker(worker)
            case Fault.DRAIN_WORKER:
                cluster.workers[worker].send(signal.SIGTERM)
            case Fault.STOP_WORKER | Fault.FREEZE_WORKER:
                cluster.workers[worker].send(signal.SIGSTOP)
            case Fault.CUT_NETWORK:
                for proxy in proxies:
                    proxy.cut()
            case Fault.HALF_OPEN:
                for proxy in proxies:
                    proxy.half_open(keep_worker=plan.target % 2 == 0)
            case Fault.DELAY_NETWORK:
                for proxy in proxies:
                    proxy.set_delay(DELAY_SECONDS)
            case Fault.PARTITION:
                for proxy in proxies:
                    proxy.stall()
        if plan.lasts_seconds:
            self._afterwards(self._make_good(worker, plan.lasts_seconds))

    async def _make_good(self, worker: int, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._cluster.workers[worker].send(signal.SIGCONT)
        for proxy in self._cluster.proxies_of(worker):
            proxy.heal()
        self._cluster.release(worker)

    async def _order(self, plan: PlannedFault) -> None:
        await self._ask_for(_ORDERS[plan.fault])
        self._poisons_open -= plan.fault is Fault.POISON
        self._reserved -= plan.replicas_lost  # whom it cost has said so before it was answered, and is not fit
        self._cluster.wake()

    def _afterwards(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._aftermath.add(task)
        task.add_done_callback(self._aftermath.discard)


async def _wait(stop: asyncio.Event, seconds: float) -> bool:
    """Whether it is time to stop, at once or within this time."""
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(stop.wait(), max(0.0, seconds))
    return stop.is_set()
