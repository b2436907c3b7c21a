"""Instructions that a piece of work takes, counted by Valgrind: as many on a busy machine as on an idle one."""

import importlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from mindspore_serving.cluster.errors import SetupError

_FEW, _MANY = 1, 3  # rounds: what the first of them has to learn, and what starts and ends all, is in both counts
_ENOUGH_SECONDS = 300


def counted(*works: Callable[[int], object]) -> dict[str, float]:
    """By the name of each function, the instructions of one more round.

    Raises SetupError without Valgrind, or when a function fails.

    Each is called with a number of rounds, in a process of its own, and has to be known by its name in its module.
    """
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise SetupError(
            "instructions are counted by Valgrind, which is not installed (Debian: apt-get install valgrind)"
        )
    names = [f"{work.__module__}:{work.__qualname__}" for work in works]
    with tempfile.TemporaryDirectory() as folder:
        tool = [valgrind, "-q", "--tool=cachegrind", "--cache-sim=no", f"--cachegrind-out-file={folder}/%p"]
        done = subprocess.run(
            [*tool, sys.executable, "-m", "benchmarks.instructions", folder, *names],
            cwd=Path(__file__).parents[1],
            env={**os.environ, "PYTHONHASHSEED": "0"},
            check=False,
            capture_output=True,
            text=True,
            timeout=_ENOUGH_SECONDS,
        )
        if done.returncode:
            raise SetupError(f"nothing was counted, Valgrind ended with {done.returncode}:\n{done.stderr}")
        few, many = [[_total(Path(folder), name, rounds) for name in names] for rounds in (_FEW, _MANY)]
    costs = [(more - less) / (_MANY - _FEW) for less, more in zip(few, many, strict=True)]
    return {work.__qualname__: cost for work, cost in zip(works, costs, strict=True)}


def _total(folder: Path, name: str, rounds: int) -> int:
    """All instructions of a process, which Valgrind says in the last line of its file."""
    process_id = _note(folder, name, rounds).read_text()
    summary, _, total = (folder / process_id).read_text().rstrip().rpartition("\n")[2].partition(" ")
    assert summary == "summary:"
    return int(total)


def _note(folder: Path, name: str, rounds: int) -> Path:
    return folder / f"{name} {rounds}"


def main(folder: str, *names: str) -> None:
    """Does each work twice, with few rounds and with more. Valgrind watches."""
    for name in names:
        module, _, function = name.partition(":")
        work = getattr(importlib.import_module(module), function)
        for rounds in (_FEW, _MANY):
            process_id = os.fork()
            if not process_id:
                work(rounds)
                _note(Path(folder), name, rounds).write_text(str(os.getpid()))
                os._exit(0)
            _, status = os.waitpid(process_id, 0)
            if status:
                sys.exit(f"{name} failed")


if __name__ == "__main__":
    main(*sys.argv[1:])
