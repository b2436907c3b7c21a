"""What compiling the hot path gains: a master and a worker of compiled modules, and of sources, loaded in turns.

    python -m benchmarks.compiled [--callers 1,64] [--rounds 5] [--seconds 1.5]

The servable hands its input back. Ratios are compiled over sources, medians of those of each round.
"""

import argparse
import os
import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks.processes import CONFIG, Cluster, Round, numbers
from mindspore_serving import WHY_NOT_COMPILED
from mindspore_serving.compiled import SWITCH


def start(stack: ExitStack, folder: Path) -> Cluster:
    """A master and a worker, which serve `echo`, and read our environment."""
    (folder / "echo").mkdir(parents=True)
    (folder / "echo" / "servable_config.py").write_text(CONFIG)
    return Cluster(stack, folder, 1, 1)


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compiled", description="Compiled against sources.")
    parser.add_argument("--callers", type=numbers, default=[1, 64], help="default: 1,64")
    parser.add_argument("--rounds", type=int, default=5, help="of each, in turns, after one to warm up (default: 5)")
    parser.add_argument("--seconds", type=float, default=1.5, help="of each measurement (default: 1.5)")
    arguments = parser.parse_args()
    if WHY_NOT_COMPILED is not None:
        parser.exit(1, f"the hot path is not compiled here: {WHY_NOT_COMPILED}\n")
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        compiled = start(stack, Path(name) / "compiled")
        os.environ[SWITCH] = "0"
        sources = start(stack, Path(name) / "sources")
        print(
            "callers  calls/s: compiled  sources  ratio   us CPU of the master: compiled  sources  ratio  worker: ratio"
        )
        for callers in arguments.callers:
            rounds = [
                (compiled.round(callers, arguments.seconds), sources.round(callers, arguments.seconds))
                for _ in range(arguments.rounds + 1)
            ]
            print_row(callers, rounds[1:])


def print_row(callers: int, rounds: list[tuple[Round, Round]]) -> None:
    ours, theirs = (Round(*map(statistics.median, zip(*side, strict=True))) for side in zip(*rounds, strict=True))
    rate, _, master, worker = (
        statistics.median(one[place] / other[place] for one, other in rounds) for place in range(len(ours))
    )
    print(
        f"{callers:7}  {ours.calls_per_second:17.0f}  {theirs.calls_per_second:7.0f}  {rate:5.2f}  "
        f"{ours.master_cpu:31.0f}  {theirs.master_cpu:7.0f}  {master:5.2f}  {worker:13.2f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
