"""Many simulated runs, on all cores.

    python -m tests.cluster.simulate --seeds 10000

Prints how many seeds were run and how many failed; the story of the first that failed. The exit code is 1 if any did.
"""

import argparse
import multiprocessing
import os
import random
import sys
import time
from collections.abc import Iterable

from mindspore_serving.cluster.dispatch_events import Limits
from tests.cluster.invariants import check, told
from tests.cluster.simulator import Plan, World

_SHARE = 50  # seeds that a process takes at a time


def run(seed: int, plan: Plan) -> World:
    """One run, checked. Raises AssertionError with its story."""
    world = World(seed, plan)
    try:
        world.run()
    except Exception as error:
        raise AssertionError(f"seed {seed}: {error}\n" + told(world)) from error
    check(world)
    return world


def some_plan(seed: int) -> Plan:
    """Anything can happen, several things at once."""
    chance = random.Random(seed * 7919)
    return Plan(
        masters=chance.choice((1, 1, 2, 3)),
        workers=chance.randrange(1, 6),
        requests=chance.randrange(5, 60),
        duration=chance.uniform(5.0, 20.0),
        crashes=chance.randrange(0, 5),
        freezes=chance.randrange(0, 3),
        link_drops=chance.randrange(0, 5),
        partitions=chance.randrange(0, 4),
        clock_jumps=chance.choice((0, 0, 1, 2)),
        hangs=chance.choice((0, 0, 1, 2)),
        drains=chance.randrange(0, 4),
        master_crashes=chance.choice((0, 0, 1, 3)),
        poisons=chance.randrange(0, 3),
        bad=chance.randrange(0, 3),
        cancels=chance.randrange(0, 5),
        deadlines=chance.randrange(0, 20),
        versions=chance.randrange(1, 3),
        methods=chance.choice((("twice", "thrice"), ("twice", "thrice", "once"))),
        reconnects=chance.randrange(0, 4),
        limits=Limits(hang_seconds=5.0, max_enqueued_requests=chance.choice((3, 10_000, 10_000))),
    )


def failures(seeds: Iterable[int]) -> list[tuple[int, str]]:
    """The seeds that fail, each with its story."""
    failed = []
    for seed in seeds:
        try:
            run(seed, some_plan(seed))
        except AssertionError as broken:
            failed.append((seed, str(broken)))
    return failed


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.simulate", description="Many simulated runs.")
    parser.add_argument("--seeds", type=int, default=10_000, help="how many (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (default: %(default)s)")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="at a time (default: one a core)")
    asked = parser.parse_args(arguments)
    start, last = time.monotonic(), asked.first + asked.seeds
    shares = [range(first, min(first + _SHARE, last)) for first in range(asked.first, last, _SHARE)]
    if asked.processes == 1:
        failed = [failure for share in shares for failure in failures(share)]
    else:
        with multiprocessing.get_context("spawn").Pool(asked.processes) as pool:
            failed = [failure for share in pool.imap_unordered(failures, shares) for failure in share]
    for seed, story in sorted(failed)[:1]:
        print(f"seed {seed} failed; alone: python -m tests.cluster.simulate --seeds 1 --first {seed}\n{story}\n")
    print(f"{asked.seeds} seeds, {len(failed)} failures, in {time.monotonic() - start:.0f} s", flush=True)
    if len(failed) > 1:
        print(f"failed: {', '.join(str(seed) for seed, _ in sorted(failed)[:20])}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
