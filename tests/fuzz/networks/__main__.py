"""Tries a network for each of many seeds: one process for some at a time, so that one that dies costs one seed.

    python -m tests.fuzz.networks --seeds 0:200

Prints a line for each fault, with its seed and the network, and how the other seeds ended. The exit code is 1 if there
is a fault. MINDSPORE_SERVING_KERNEL_THREADS=2 in the environment: with two threads.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from typing import IO, Any

from tests.fuzz.networks.verdict import THE_FILE, Outcome
from tests.processes import ROOT

_CHILD = "tests.fuzz.networks.child"
_AT_A_TIME = 50  # seeds: MindSpore keeps what it has compiled
_INSTRUCTIONS = {"ONEDNN_MAX_CPU_ISA": "AVX2"}  # as a worker has them, unless they are set

_NO_WAY = "the network"  # it is still being made, or exported


def main(arguments: list[str] | None = None, child: str = _CHILD) -> int:
    """child: the module that tries seeds. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.networks", description="Random networks, rewritten.")
    parser.add_argument("--seeds", type=_span, default="0:200", help="FIRST:END, or one (default: %(default)s)")
    parser.add_argument("--shrink", action="store_true", help="makes a network with a fault as small as may be")
    parser.add_argument("--program", action="store_true", help="prints such a network as a program, too")
    parser.add_argument("--all", action="store_true", help="prints as well what MindSpore itself gets wrong")
    asked = parser.parse_args(arguments)
    ends: Counter[str] = Counter()
    for seed, told in endings(asked.seeds, "shrink" if asked.shrink else "plain", child):
        outcome = Outcome[told["outcome"]]
        ends[outcome.value] += 1
        if outcome == Outcome.FAULT or (asked.all and told.get("network")):
            print(f"seed {seed}: {outcome.value}: {told['story']}: {told.get('network', '')}", flush=True)
            if asked.program:
                print(told.get("program", ""), flush=True)
    print(f"{sum(ends.values())} seeds: {', '.join(f'{count} {name}' for name, count in ends.most_common())}")
    return 1 if ends[Outcome.FAULT.value] else 0


def endings(seeds: range, how: str = "plain", child: str = _CHILD) -> Iterator[tuple[int, dict[str, Any]]]:
    """Of each seed, how it ended. A process that dies, or hangs, ends the seed that it has begun last.

    how: as child.py takes it. child: the module that tries seeds.
    """
    while seeds:
        last = seeds.start
        for last, told in _told_by(child, seeds[:_AT_A_TIME], how):
            yield last, told
        seeds = range(last + 1, seeds.stop)


def _told_by(child: str, seeds: range, how: str) -> Iterator[tuple[int, dict[str, Any]]]:
    command = [sys.executable, "-m", child, str(seeds.start), str(seeds.stop), how]
    with tempfile.TemporaryFile() as said, _started(command, said) as process:
        assert process.stdout is not None
        seed, network, way, is_open = seeds.start, "", _NO_WAY, True
        for line in process.stdout:
            kind, _, rest = line.strip().partition(" ")
            if kind == "seed":
                seed, network, way, is_open = int(rest), "", _NO_WAY, True
            elif kind == "network":
                network = rest
            elif kind == "way":
                way = rest
            elif kind == "told":
                is_open = False
                yield seed, json.loads(rest)
        if process.wait():
            reason = _reason(said)
            if not is_open or (way == _NO_WAY and process.returncode > 0):
                raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}: {reason}")
            outcome = Outcome.DIED if way in (_NO_WAY, THE_FILE) else Outcome.FAULT
            story = f"{way} ends the process: {process.returncode} {reason}"
            yield seed, {"outcome": outcome.name, "story": story, "network": network}


def _reason(said: IO[bytes]) -> str:
    """A line of what a process has said: the one that a sanitizer means for that, or the last."""
    said.seek(0)
    lines = said.read().decode(errors="replace").strip().splitlines()
    return next((line for line in lines if line.startswith("SUMMARY")), lines[-1] if lines else "")


def _started(command: list[str], said: IO[bytes]) -> "subprocess.Popen[str]":
    environment = {**_INSTRUCTIONS, **os.environ}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True, cwd=ROOT, env=environment)


def _span(text: str) -> range:
    first, _, end = text.partition(":")
    return range(int(first), int(end or int(first) + 1))


if __name__ == "__main__":
    sys.exit(main())
