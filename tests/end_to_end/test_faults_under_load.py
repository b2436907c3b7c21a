"""One fault at a time on a small cluster under checked load: what a caller may notice of it, and what not."""

import asyncio
import json
import re
import signal
import time
from collections.abc import Callable, Coroutine
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from mindspore_serving.chaos.checked_calls import Order, Outcome
from mindspore_serving.chaos.faults import POISON_DEATHS
from mindspore_serving.chaos.proxy import Proxy
from mindspore_serving.client import Client
from tests.end_to_end.test_commands import master
from tests.end_to_end.under_load import CALLS, UnderLoad, starts, under_load
from tests.processes import READY_SECONDS, Process, Processes, until

WAITING_SERVABLE = """
import os
import threading

from mindspore_serving.server import register

def wait(x):
    print(f"working on {int(x)} in {os.getpid()}", flush=True)
    while not os.path.exists(os.path.join(os.path.dirname(__file__), "go")):
        threading.Event().wait(0.02)
    return x

@register.register_method(output_names="y")
def late(x):
    return register.add_stage(wait, x, outputs_count=1)
"""


def test_a_rolling_restart_of_every_worker_fails_no_call(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with under_load(tmp_path, workers=2) as load:
            for number, worker in enumerate(load.cluster.workers):
                load.cluster.lose_links(number)
                worker.send(signal.SIGTERM)
                await load.whole()
                await load.answers(CALLS)
            assert starts(load) == [2, 2]

    asyncio.run(scenario())


def test_a_restarted_master_loses_no_call(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with under_load(tmp_path, workers=2) as load:
            load.cluster.end_master(0, signal.SIGTERM)
            await load.whole()
            assert starts(load) == [1, 1]  # the workers registered again without loading again

    asyncio.run(scenario())


async def half_open(proxy: Proxy, load: UnderLoad) -> None:
    proxy.half_open(keep_worker=True)


async def partition(proxy: Proxy, load: UnderLoad) -> None:
    proxy.stall()
    log = load.cluster.log_of("master-0")
    deadline = time.monotonic() + READY_SECONDS
    while "lost (its lease ran out)" not in log.read_text():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    proxy.heal()


@pytest.mark.parametrize("fault", [half_open, partition])
def test_a_bad_network_to_one_worker_is_not_noticed_by_callers(
    tmp_path: Path, fault: Callable[[Proxy, UnderLoad], Coroutine[Any, Any, None]]
) -> None:
    async def scenario() -> None:
        async with under_load(tmp_path, workers=2) as load:
            load.cluster.lose_links(0)
            await fault(load.cluster.proxies[0, 0], load)
            await load.whole()
            assert starts(load) == [1, 1]
        assert load.cluster.log_of("worker-0").read_text().count("Start servable success") == 1

    asyncio.run(scenario())


def test_a_slow_network_to_every_worker_only_costs_time(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with under_load(tmp_path, workers=2) as load:
            for proxy in load.cluster.proxies.values():
                proxy.set_delay(0.02)
            await load.answers(CALLS)
            assert len(load.cluster.fit_workers()) == 2
            for proxy in load.cluster.proxies.values():
                proxy.heal()
        assert "lost (" not in load.cluster.log_of("master-0").read_text()

    asyncio.run(scenario())


def test_a_poison_instance_costs_three_workers_at_most_and_only_itself(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with under_load(tmp_path, workers=POISON_DEATHS + 1) as load:
            await load.clients.call_with(Order.DIE)
            await load.whole()  # at full strength again
            (poisoned,) = [record for record in load.clients.records if record.order is Order.DIE]
            assert poisoned.outcome is Outcome.ISOLATED  # its neighbours were answered, it got an error that says why
            assert 1 <= load.cluster.poison_deaths <= POISON_DEATHS

    asyncio.run(scenario())


def waiting_worker(run: Processes, folder: Path, ctrl: int) -> Process:
    (folder / "slow").mkdir(exist_ok=True)
    (folder / "slow" / "servable_config.py").write_text(WAITING_SERVABLE)
    process = run.start("-m", "worker", "--servable", str(folder / "slow"), "--master", f"127.0.0.1:{ctrl}")
    process.wait_for("Worker registered at")
    return process


def test_work_of_a_killed_worker_moves_at_once_and_not_after_a_lease(run: Processes, tmp_path: Path) -> None:
    lease_seconds = 600
    desk, port, ctrl = master(run, "--lease-seconds", str(lease_seconds))
    workers = [waiting_worker(run, tmp_path, ctrl) for _ in range(2)]
    with Client(f"127.0.0.1:{port}", "slow", "late") as client:
        pending = client.infer_async({"x": 1}, timeout=60)
        until(lambda: any("working on 1" in worker.output for worker in workers), "the worker that has the call")
        (busy,) = [worker for worker in workers if "working on 1" in worker.output]
        (other,) = [worker for worker in workers if worker is not busy]
        killed_at = time.time()
        busy.send(signal.SIGKILL)
        other.wait_for("working on 1")
        (tmp_path / "slow" / "go").touch()
        answer = pending.result()
        assert isinstance(answer, list) and answer[0]["y"] == 1
    lost = re.search(r"([-\d]+ [:\d]+),(\d+) .*lost \(its connection is gone\), 1 batches put back", desk.output)
    assert lost is not None, desk.output
    lost_at = datetime.strptime(lost[1], "%Y-%m-%d %H:%M:%S").timestamp() + int(lost[2]) / 1000
    assert lost_at - killed_at < 5.0  # 20 ms on an idle machine: `mindspore-serving chaos` prints it


def test_a_cancelled_call_leaves_the_queue(run: Processes, tmp_path: Path) -> None:
    _, port, ctrl = master(run, "--max-enqueued-requests", "3")
    hand = waiting_worker(run, tmp_path, ctrl)
    with Client(f"127.0.0.1:{port}", "slow", "late") as client:

        def queue_is_full() -> bool:
            """Asks: one more call is either refused at once or waits until its deadline."""
            return "exceeds the limit" in json.dumps(client.infer({"x": 9}, timeout=0.3), default=str)

        calls = [client.infer_async({"x": 1})]
        hand.wait_for("working on 1")
        calls.append(client.infer_async({"x": 2}))
        client.infer({"x": 9}, timeout=0.3)  # behind it: so the worker has 2, and 3 cannot be sent beside it
        calls.append(client.infer_async({"x": 3}))
        until(queue_is_full, "three calls in the queue")
        calls.pop().cancel()
        until(lambda: not queue_is_full(), "room for another call")
        (tmp_path / "slow" / "go").touch()
        answers = [call.result() for call in calls]
    assert answers == [[{"y": 1}], [{"y": 2}]]
    assert "working on 3" not in hand.output
