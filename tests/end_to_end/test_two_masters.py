"""Two masters share the workers, and clients know both: whatever process ends, no call fails and no answer is wrong."""

import asyncio
import signal
from pathlib import Path

from mindspore_serving.chaos.checked_calls import Order, Outcome
from mindspore_serving.chaos.faults import POISON_DEATHS
from tests.end_to_end.under_load import CALLS, UnderLoad, starts, under_load


async def end_each_master(load: UnderLoad, number: signal.Signals) -> None:
    """One after the other; each is started again, and has its workers back before the next one goes."""
    for master in range(len(load.cluster.masters)):
        load.cluster.end_master(master, number)
        await load.answers(CALLS)  # also from the other one
        await load.whole()
        await load.answers(CALLS)


def test_either_master_may_be_killed_and_come_back_while_clients_call(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with under_load(tmp_path, masters=2, workers=2) as load:
            await end_each_master(load, signal.SIGKILL)
            assert starts(load) == [1, 1]  # the workers registered again by themselves
            assert [master.starts for master in load.cluster.masters] == [2, 2]

    asyncio.run(scenario())


def test_a_rolling_restart_of_every_process_fails_no_call(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with under_load(tmp_path, masters=2, workers=3) as load:
            for number, worker in enumerate(load.cluster.workers):
                load.cluster.lose_links(number)
                worker.send(signal.SIGTERM)
                await load.whole()
                await load.answers(CALLS)
            await end_each_master(load, signal.SIGTERM)
            assert starts(load) == [2, 2, 2]
            assert [master.starts for master in load.cluster.masters] == [2, 2]

    asyncio.run(scenario())


def test_poison_at_both_masters_costs_three_workers_each_and_only_itself(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with under_load(tmp_path, masters=2, workers=2 * POISON_DEATHS + 1) as load:
            # Calls take turns between the masters: each of them may see workers die of what the other one sent.
            await asyncio.gather(*(load.clients.call_with(Order.DIE) for _ in range(2)))
            await load.whole()
            poisoned = [record for record in load.clients.records if record.order is Order.DIE]
            assert [record.outcome for record in poisoned] == [Outcome.ISOLATED] * 2
            assert load.cluster.poison_deaths <= 2 * POISON_DEATHS

    asyncio.run(scenario())
