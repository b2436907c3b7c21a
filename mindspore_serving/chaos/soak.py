"""`make soak`: minutes of mixed load with cancelled calls on a real cluster; memory, descriptors, threads stay flat.

`python -m mindspore_serving.chaos.soak --seconds 3600`: exit code 1 when something grows, or a call was lost or wrong.
"""

import asyncio
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from mindspore_serving.chaos.checked_calls import Mix
from mindspore_serving.chaos.clients import Clients
from mindspore_serving.chaos.config import SoakConfig
from mindspore_serving.chaos.growth import Trend, trend
from mindspore_serving.chaos.member import Member
from mindspore_serving.chaos.small_cluster import SmallCluster
from mindspore_serving.chaos.verdict import ClusterRecord, Verdict, judge
from mindspore_serving.cluster.errors import ServingError
from mindspore_serving.command_line import parse, set_up_logging

MIX = Mix(short_deadlines=0.1, cancels=0.2, several_instances=0.3)
SAMPLES = 600  # in all, but not more than one a second
SEED = 1
THREADS = 8
# glibc keeps freed blocks of up to 32 MB for later, once it has seen one: tens of MB that come and go hide a leak of a
# few. mallopt(3): with these, large blocks go back to the system at once, and threads share one pool.
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_ARENA_MAX": "1"}

Series = defaultdict[tuple[str, str], list[tuple[float, float]]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    config = parse(SoakConfig, "soak", "Mixed load on a real cluster; says whether anything grows.", arguments)
    set_up_logging(config.log_level)
    os.environ.update(ALLOCATOR)  # for the processes that it starts
    try:
        with tempfile.TemporaryDirectory(prefix="mindspore-serving-soak-") as folder:
            trends, verdict = asyncio.run(_soak(config, Path(folder)))
    except ServingError as error:
        print(error, file=sys.stderr, flush=True)
        return 1
    print(f"{'process':10} {'what':8} {'first':>9} {'last':>9} {'slope':>9}")
    print("\n".join(str(one) for one in trends))
    print("\n".join(verdict.lines()[:-1]))
    flat = all(one.is_flat for one in trends)
    print("passed: nothing grows" if flat and verdict.passed else "FAILED", flush=True)
    return 0 if flat and verdict.passed else 1


async def _soak(config: SoakConfig, folder: Path) -> tuple[list[Trend], Verdict]:
    cluster = SmallCluster(folder, masters=config.masters, workers=config.workers, lease_seconds=config.lease_seconds)
    clients = Clients(
        cluster.address,
        folder / "clients.log",
        processes=1,
        threads=THREADS,
        rate=config.rate,
        deadline_seconds=config.deadline_seconds,
        seed=SEED,
        mix=MIX,
    )
    members = [*cluster.masters, *cluster.workers]
    series: Series = defaultdict(list)
    try:
        await cluster.start()
        await clients.start()
        began = time.monotonic()
        while (at := time.monotonic() - began) < config.seconds:
            _sample(series, at, members)
            await asyncio.sleep(max(1.0, config.seconds / SAMPLES))
        codes = await clients.end()
    finally:
        clients.kill()
        await cluster.stop()
    record = ClusterRecord(
        masters=config.masters,
        workers=config.workers,
        faults={},
        worker_starts=sum(worker.starts for worker in cluster.workers),
        master_starts=sum(master.starts for master in cluster.masters),
        batches_moved=cluster.batches_moved,
        poison_deaths=cluster.poison_deaths,
        noticed_seconds=[],
        opened_at=[],
        registered_seconds=[],
        troubles=[f"{member.name} ended by itself" for member in members if member.starts > 1]
        + [f"a client process ended with exit code {code}" for code in codes if code],
    )
    trends = [trend(*names, samples) for names, samples in sorted(series.items())]
    return trends, judge(clients.records, record, SEED, config.seconds)


def _sample(series: Series, at: float, members: Sequence[Member]) -> None:
    for member in members:
        if member.pid is not None:
            for quantity, value in _of_process(member.pid).items():
                series[member.name, quantity].append((at, value))
    series["machine", "shm"].append((at, float(len(os.listdir("/dev/shm")))))


def _of_process(pid: int) -> dict[str, float]:
    """proc(5): MB of its memory that no file holds, threads, open descriptors."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return {
        "memory": sum(int(fields[kind].split()[0]) for kind in ("RssAnon", "RssShmem")) / 1024,
        "threads": float(fields["Threads"]),
        "fds": float(len(os.listdir(f"/proc/{pid}/fd"))),
    }


if __name__ == "__main__":
    sys.exit(main())
