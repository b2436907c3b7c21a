"""MindSpore's own threads, and none but the one that calls: what a call of the MLP, LeNet and the image model takes.

    python -m benchmarks.one_thread

Two processes of the worker's own tuning have loaded the same model, with an open batch axis, each its own way. They are
measured in turn; ratios are made within a round.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from benchmarks.peers import ROOT
from mindspore_serving.worker.engine_settings import (
    NO_PIPELINE,
    ONE_THREAD,
    EngineSettings,
    cpu_flags,
    default_settings,
)
from mindspore_serving.worker.target import Target
from mindspore_serving.worker.tuning_process import Trial

NAMES = ("mlp", "lenet", "image")
SIZES = (16, 1)  # as tuning measures them
ROUNDS, WARM_UP, SECONDS = 15, 3, 100.0


def cpu_seconds(pid: int) -> float:
    """Of all threads of the process, by proc(5)."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def measure(trial: Trial, turn: int) -> tuple[list[float], float]:
    """Seconds of a call at each size, and the CPU of all of them over the time they took."""
    cpu, start = cpu_seconds(trial.pid), time.perf_counter()
    times = trial.measure(turn)
    return times, (cpu_seconds(trial.pid) - cpu) / (time.perf_counter() - start)


def compare(folder: Path, name: str) -> None:
    deadline = time.monotonic() + SECONDS
    instructions = default_settings({**os.environ, ONE_THREAD: ""}, cpu_flags()).instructions
    settings = [EngineSettings(instructions, runtime=NO_PIPELINE, one_thread=alone) for alone in (False, True)]
    trials = [Trial(setting, folder / name / "1", Target(), deadline) for setting in settings]
    with closing(trials[0]) as several, closing(trials[1]) as one:
        rounds = [(measure(several, turn), measure(one, turn)) for turn in range(WARM_UP + ROUNDS)][WARM_UP:]
    cores = [statistics.median(found[side][1] for found in rounds) for side in (0, 1)]
    for place, size in enumerate(SIZES):
        before, after = ([found[side][0][place] for found in rounds] for side in (0, 1))
        ratio = statistics.median(one / other for one, other in zip(after, before, strict=True))
        print(
            f"{name:6} {size:3} instances  its own threads {statistics.median(before) * 1e6:6.0f} us"
            f"  one thread {statistics.median(after) * 1e6:6.0f} us  ratio {ratio:.2f}"
        )
    print(f"{name:6} cores kept busy meanwhile: its own threads {cores[0]:.2f}, one thread {cores[1]:.2f}")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        exporter = [sys.executable, "-m", "benchmarks.export_models", folder, "0", *NAMES]
        subprocess.run(exporter, cwd=ROOT, check=True, capture_output=True)
        for name in NAMES:
            compare(Path(folder), name)


if __name__ == "__main__":
    main()
