"""A check of the checks: is every bug that one plants in the core noticed?

    python -m tests.cluster.mutants

Each of mutant_list.py is planted in a copy of the tree; the simulator runs there, and when it notices nothing, the
core's own tests. Prints what noticed each. The exit code is 1 when a bug survives, or when the tree as it is fails.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.cluster.mutant_list import MUTANTS, Mutant
from tests.cluster.mutant_trial import NOTHING

ROOT = Path(__file__).resolve().parents[2]
SEEDS = 60
MOST_SECONDS = 300.0  # a copy that takes longer hangs, which is noticed as well
SURVIVED, HANGS, FAILED = NOTHING, "it hangs", "the trial itself failed"
# The quick ones first. Those that need no simulator and no copy of other folders.
TESTS = (
    *("dispatcher", "losses", "orphans", "session", "siblings", "purse", "gate", "quarantine", "small_parts", "spans"),
    *("statistics", "cuts", "overload", "just_in_time"),
)


def plant(mutant: Mutant | None, folder: Path) -> None:
    """Copies what the core's tests need, with the bug in it. Raises ValueError when the bug does not fit the code."""
    for part in ("mindspore_serving", "cluster"):
        shutil.copytree(ROOT / part, folder / part, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests" / "cluster", folder / "tests" / "cluster")
    shutil.copy(ROOT / "tests" / "__init__.py", folder / "tests")
    shutil.copy(ROOT / "pyproject.toml", folder)
    if mutant is not None:
        file = folder / "cluster" / mutant.file
        text = file.read_text()
        if text.count(mutant.old) != 1:
            raise ValueError(f"cluster/{mutant.file} has {text.count(mutant.old)} times {mutant.old!r}: mend MUTANTS")
        file.write_text(text.replace(mutant.old, mutant.new))


def try_out(mutant: Mutant | None, seeds: int | None = None) -> str:
    """What notices this bug, in a line; SURVIVED when nothing does. None: the tree as it is."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as name:
        folder = Path(name)
        plant(mutant, folder)
        tests = [f"tests/cluster/test_{test}.py" for test in TESTS]
        command = [sys.executable, "-m", "tests.cluster.mutant_trial", str(SEEDS if seeds is None else seeds), *tests]
        environment = {**os.environ, "PYTHONPATH": name, "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            trial = subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, text=True, timeout=MOST_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            return HANGS
    if trial.returncode:  # it may be no fault of the bug: this is no finding
        return f"{FAILED}: {(trial.stderr.splitlines() or ['without a word'])[-1]}"
    return trial.stdout.splitlines()[-1]


def report(mutants: Sequence[Mutant], processes: int) -> int:
    """Tries them all and prints the table. Returns how many survive."""
    start = time.monotonic()
    with ThreadPoolExecutor(processes) as pool:
        survivors = 0
        for mutant, found in zip(mutants, pool.map(try_out, mutants), strict=True):
            survived = found == SURVIVED or found.startswith(FAILED)
            survivors += survived
            noticed = f"SURVIVED ({found})" if survived else found
            print(f"{mutant.file:16} {mutant.breaks:56} {noticed[:110]}", flush=True)
    seconds = time.monotonic() - start
    print(f"{len(mutants)} planted bugs, {len(mutants) - survivors} noticed, {survivors} survived, in {seconds:.0f} s")
    return survivors


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.mutants", description="Plants bugs in the core.")
    parser.add_argument("words", nargs="*", help="only bugs whose file or description has one of these words")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="at a time (default: one a core)")
    asked = parser.parse_args(arguments)
    chosen = [mutant for mutant in MUTANTS if not asked.words or any(word in f"{mutant}" for word in asked.words)]
    if not chosen:
        parser.error(f"no planted bug has any of these words: {' '.join(asked.words)}")
    healthy = try_out(None)
    print(f"{'the tree as it is':73} {'nothing is wrong' if healthy == SURVIVED else healthy}", flush=True)
    if healthy != SURVIVED:
        return 1
    return 1 if report(chosen, asked.processes) else 0


if __name__ == "__main__":
    sys.exit(main())
