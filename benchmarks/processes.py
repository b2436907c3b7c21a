"""Throughput and CPU a call against the number of a master's processes: in turns, so that ratios are of one run.

    python -m benchmarks.processes [--processes 1,2,3] [--callers 64] [--rounds 3] [--seconds 2]

The servable hands its input back, so that the front desk is what works most. h2load makes the load where it is
installed (a connection for each caller), otherwise two processes with grpcio do.
"""

import argparse
import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from benchmarks.peers import free_port
from benchmarks.processor import cpu_seconds, descendants, resident_megabytes
from benchmarks.startup import QUIET, launch, ready_after, stop
from mindspore_serving.bench.config import BenchConfig
from mindspore_serving.bench.input_spec import parse_input_spec
from mindspore_serving.bench.run import measure
from mindspore_serving.cluster.addresses import Address, UnixPath

CONFIG = '''"""Gives back what it is given."""
from mindspore_serving.server import register

@register.register_method(output_names="y")
def echo(x):
    return x
'''


class Round(NamedTuple):
    """One measurement. CPU in microseconds a call, of all processes of a kind together."""

    calls_per_second: float
    p99_milliseconds: float
    master_cpu: float
    worker_cpu: float


class Cluster:
    """A master of so many processes, and workers of one servable."""

    def __init__(self, stack: ExitStack, folder: Path, processes: int, workers: int) -> None:
        self.port = free_port()
        control = UnixPath(str(folder / f"control-{processes}"))
        doors = ["--grpc", str(self.port), "--ctrl", str(control), "--processes", str(processes)]
        master, start = launch(["-m", "master", *doors, *QUIET])
        stack.callback(stop, master)
        for _ in range(processes):
            ready_after(master, start, "Serving gRPC start success")
        self.masters = descendants(master.pid) if processes > 1 else [master.pid]
        self.parent = master.pid
        self.workers = []
        for _ in range(workers):
            place = ["--servable", str(folder / "echo"), "--master", str(control)]
            worker, start = launch(["-m", "worker", *place, *QUIET])
            stack.callback(stop, worker)
            for _ in range(processes):  # in any order
                ready_after(worker, start, "Worker registered at ")
            self.workers.append(worker.pid)

    def round(self, callers: int, seconds: float) -> Round:
        """One measurement. Raises SystemExit when a call fails."""
        config = BenchConfig(
            address=Address("127.0.0.1", self.port),
            servable="echo",
            method="echo",
            input=(parse_input_spec("x=float32[2,2]"),),
            callers=callers,
            seconds=seconds,
            warm_up_seconds=0.0,  # a server is warm after its first round
        )
        before = cpu_seconds(self.masters), cpu_seconds(self.workers)
        found = measure(config)
        spent = cpu_seconds(self.masters) - before[0], cpu_seconds(self.workers) - before[1]
        if found.tally.failed:
            raise SystemExit(f"calls failed: {dict(found.tally.errors)}")
        each = 1e6 / found.tally.calls
        return Round(found.calls_per_second, found.milliseconds()["p99"], spent[0] * each, spent[1] * each)


def numbers(text: str) -> list[int]:
    """As they stand in an argument, with commas between them. Raises ValueError."""
    return [int(part) for part in text.split(",")]


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.processes", description="Processes of one master.")
    parser.add_argument("--processes", type=numbers, default=[1, 2, 3], help="default: 1,2,3")
    parser.add_argument("--callers", type=int, default=64, help="default: 64")
    parser.add_argument("--workers", type=int, default=1, help="default: 1")
    parser.add_argument("--rounds", type=int, default=3, help="of each, in turns, after one to warm up (default: 3)")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement (default: 2)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        (folder / "echo").mkdir()
        (folder / "echo" / "servable_config.py").write_text(CONFIG)
        clusters = {
            count: Cluster(stack, folder, count, arguments.workers) for count in sorted(set(arguments.processes))
        }
        rounds: dict[int, list[Round]] = {count: [] for count in clusters}
        for number in range(arguments.rounds + 1):
            for count, cluster in clusters.items():
                done = cluster.round(arguments.callers, arguments.seconds)
                if number:
                    rounds[count].append(done)
        print_table(clusters, rounds)


def print_table(clusters: dict[int, Cluster], rounds: dict[int, list[Round]]) -> None:
    print("processes  calls/s (from-to)      ratio  p99 ms  us CPU a call: master  worker  MB: parent  all")
    medians = {count: Round(*map(statistics.median, zip(*found, strict=True))) for count, found in rounds.items()}
    first = medians[min(medians)]
    for count, found in medians.items():
        rates = [done.calls_per_second for done in rounds[count]]
        cluster = clusters[count]
        parent = resident_megabytes(cluster.parent)
        everybody = sum(map(resident_megabytes, cluster.masters)) + (parent if count > 1 else 0)
        print(
            f"{count:9}  {found.calls_per_second:7.0f} ({min(rates):.0f}-{max(rates):.0f})".ljust(33)
            + f"{found.calls_per_second / first.calls_per_second:5.2f}  {found.p99_milliseconds:6.1f}  "
            f"{found.master_cpu:21.0f}  {found.worker_cpu:6.0f}  {parent:10.0f}  {everybody:3.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
