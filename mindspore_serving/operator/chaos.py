"""`mindspore-serving chaos`: faults on a cluster of its own under checked load, and what became of the calls."""

import asyncio
import secrets
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from mindspore_serving.chaos.checked_calls import Mix
from mindspore_serving.chaos.clients import Clients
from mindspore_serving.chaos.config import LARGEST_SEED, ChaosConfig
from mindspore_serving.chaos.faults import POISON_DEATHS, schedule
from mindspore_serving.chaos.small_cluster import SmallCluster
from mindspore_serving.chaos.tormentor import Tormentor
from mindspore_serving.chaos.verdict import ClusterRecord, Verdict, judge
from mindspore_serving.cluster.errors import SetupError

THREADS = 8  # of each client process


def run(config: ChaosConfig, notify: Callable[[str], None]) -> int:
    """Prints each fault and the verdict. Returns 1 when it is not a good one. Raises SetupError."""
    del notify  # this is no service
    if config.json is not None:
        _write(config.json, "")  # a file that cannot be written is known now, not after the run
    folder = _log_folder(config)
    seed = secrets.randbelow(LARGEST_SEED) if config.seed is None else config.seed
    try:
        verdict = asyncio.run(_torment(config, seed, folder))
    except SetupError as error:
        raise SetupError(f"{error} (the output of every process is in {folder})") from error
    print("\n".join(verdict.lines()), flush=True)
    if config.json is not None:
        _write(config.json, verdict.as_json() + "\n")
    if config.logs is None and verdict.passed:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        print(f"the output of every process is in {folder}", flush=True)
    return 0 if verdict.passed else 1


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        raise SetupError(f"--json '{path}' cannot be written: {error.strerror}") from error


def _log_folder(config: ChaosConfig) -> Path:
    if config.logs is None:
        return Path(tempfile.mkdtemp(prefix="mindspore-serving-chaos-"))
    try:
        config.logs.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(f"--logs '{config.logs}' cannot be made: {error.strerror}") from error
    if any(config.logs.iterdir()):
        raise SetupError(f"--logs '{config.logs}' is not empty: give a new folder")
    return config.logs.resolve()


async def _torment(config: ChaosConfig, seed: int, folder: Path) -> Verdict:
    stop = asyncio.Event()
    cluster = SmallCluster(
        folder,
        masters=config.masters,
        workers=config.workers,
        lease_seconds=config.lease_seconds,
        hang_seconds=config.hang_seconds,
    )

    def told_to_stop() -> None:
        stop.set()
        cluster.wake()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told_to_stop)
    clients = Clients(
        cluster.address,
        folder / "clients.log",
        processes=config.clients,
        threads=THREADS,
        rate=config.rate,
        deadline_seconds=config.deadline_seconds,
        seed=seed,
        mix=Mix(),
    )
    tormentor = Tormentor(cluster, clients.call_with, lambda line: print(line, flush=True))
    planned = schedule(
        seed,
        config.kinds,
        seconds=config.seconds,
        interval_seconds=config.interval_seconds,
        replicas=config.workers * config.masters,
        lease_seconds=config.lease_seconds,
    )
    try:
        await cluster.start()
        print(
            f"chaos: masters {config.masters}, workers {config.workers}, clients {config.clients}, "
            f"{config.rate} calls/s, seed {seed}",
            flush=True,
        )
        began = time.monotonic()
        await clients.start()
        await tormentor.run(planned, config.seconds, stop)
        codes = await clients.end()
        seconds = time.monotonic() - began
    finally:
        clients.kill()
        await cluster.stop()
    return judge(clients.records, _record(config, cluster, tormentor, codes), seed, seconds)


def _record(config: ChaosConfig, cluster: SmallCluster, tormentor: Tormentor, client_codes: list[int]) -> ClusterRecord:
    ended = [f"a client process ended with exit code {code}: see clients.log" for code in client_codes if code]
    return ClusterRecord(
        masters=config.masters,
        workers=config.workers,
        faults=dict(tormentor.done),
        worker_starts=cluster.worker_starts,
        master_starts=sum(master.starts for master in cluster.masters),
        batches_moved=cluster.batches_moved,
        poison_deaths=cluster.poison_deaths,
        noticed_seconds=cluster.noticed_seconds,
        opened_at=cluster.opened_at,
        registered_seconds=cluster.registered_seconds,
        troubles=[*tormentor.troubles, *_too_deadly(tormentor, cluster), *ended],
    )


def _too_deadly(tormentor: Tormentor, cluster: SmallCluster) -> list[str]:
    allowed = POISON_DEATHS * tormentor.poison_lives
    if cluster.poison_deaths <= allowed:
        return []
    return [f"{cluster.poison_deaths} workers died of poison instances that may cost {allowed} at most"]
