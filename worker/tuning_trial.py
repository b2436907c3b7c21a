"""A process that measures a version's models with one choice of settings: started by tuning.py, for nobody else.

It reads a request in JSON from its standard input, loads the models, and answers each further line with the seconds of
a call: one number for each model file and batch size. It ends with its input, or when its time is over. Where graphs
are rewritten by further rules it measures nothing unless each of them gives the numbers that it gave before.
"""

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from mindspore_serving.worker import mindspore_model, rewritten_file
from mindspore_serving.worker.batch_sizes import equal, sample
from mindspore_serving.worker.call_costs import measure
from mindspore_serving.worker.core_tie import CoreTie
from mindspore_serving.worker.graph_calls import GraphCalls
from mindspore_serving.worker.mindir_file import DYNAMIC, FileInput, read_inputs
from mindspore_serving.worker.rewrites import ALL, AS_IT_IS, RULES, Rewriting
from mindspore_serving.worker.target import Target

_CORES = sorted(os.sched_getaffinity(0))
_MOST_CORES = 4  # that are taken in turn
_MOST_FILES = 4  # of a version; the largest
_OPEN_BATCH = 16
_ROWS = (None, 1)  # the file's own batch, and one instance
_SLACK = 10.0  # a rewritten graph has other products as well as other sums

Call = Callable[[], float]


def main() -> None:
    """Runs until standard input ends."""
    task = trial_task()
    files = sorted(model_files(task.place), key=lambda file: -file.stat().st_size)
    found = {file: rewritten_file.places(file) for file in files} if task.proves or task.rewriting != ALL else {}
    kinds = [kind for kind in RULES if kind in task.rewriting]
    changed = [file for file, places in found.items() if any(places.get(kind) for kind in kinds)]
    calls: list[Call] = []
    if not task.proves or all(agrees(file, task.target, task.rewriting) for file in changed):
        calls = [call for file in files[:_MOST_FILES] for call in _calls(file, task)]
    counts = {kind.value: sum(places.get(kind, 0) for places in found.values()) for kind in RULES}
    for turn, _ in enumerate(sys.stdin):
        take_turn(task, turn)
        all_threads, own = time.process_time(), time.thread_time()
        seconds = [call() for call in calls]
        threads = (time.process_time() - all_threads) / max(time.thread_time() - own, 1e-6)
        task.answers.write(json.dumps({"seconds": seconds, "places": counts, "threads": threads}) + "\n")
        task.answers.flush()


@dataclass(frozen=True)
class Task:
    """What to try, and where to answer. proves: as Trial has it. tie: where MindSpore's threads share a core."""

    place: Path
    target: Target
    rewriting: Rewriting
    proves: bool
    tie: CoreTie | None
    answers: TextIO


def trial_task() -> Task:
    """Reads what trial_request() wrote, and makes MindSpore ready for it."""
    answers = os.fdopen(os.dup(1), "w")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)  # whatever MindSpore prints is nobody's
    os.dup2(nowhere, 2)
    request = json.loads(sys.stdin.readline())
    signal.alarm(request["seconds"])  # by itself, even when it hangs and its parent is gone
    key = request["dec_key"]
    target = Target(dec_key=None if key is None else bytes.fromhex(key), dec_mode=request["dec_mode"])
    tie = CoreTie() if request["one_core"] and len(os.sched_getaffinity(0)) > 1 else None
    mindspore_model.set_device(target)
    if request["kernel_threads"]:
        mindspore_model.set_kernel_threads(request["kernel_threads"])
    return Task(Path(request["place"]), target, Rewriting(request["rewriting"]), request["proves"], tie, answers)


def take_turn(task: Task, turn: int) -> None:
    """Where there are few cores, the one that calls changes with each turn.

    Those of a virtual machine may differ by half, for seconds: as long as their other halves compute for others. Who is
    measured on one of them is not to be compared with who is measured on another.
    """
    if len(_CORES) <= _MOST_CORES:
        core = _CORES[turn % len(_CORES)]
        if task.tie is not None:
            task.tie.move(core)
            return
        with contextlib.suppress(OSError):  # a sandbox may forbid it
            os.sched_setaffinity(0, {core})  # of this thread: MindSpore's have started


def model_files(folder: Path) -> list[Path]:
    """The model files of a version's folder."""
    return sorted(folder.rglob("*.mindir"))


def _calls(path: Path, task: Task) -> list[Call]:
    """Measures the file at its full batch, and where it can at one instance; nothing where a shape is not known."""
    inputs = read_inputs(path, task.target)
    if not _known(inputs):
        return []
    graph = _opened(path, inputs, task.target, task.rewriting)
    calls: list[Call] = []
    for rows in _ROWS:
        arrays = _arrays(inputs, rows)
        try:
            graph.learn(arrays)
        except Exception:
            break  # for one instance: the batch is fixed. For all: the worker itself will say why
        calls.append(partial(measure, partial(graph, arrays)))
    return calls


def agrees(path: Path, target: Target, rewriting: Rewriting) -> bool:
    """Whether the rewritten file gives the numbers of the file itself, at each size that this runs at."""
    inputs = read_inputs(path, target)
    if not _known(inputs):
        return False
    before, after = [_opened(path, inputs, target, how) for how in (AS_IT_IS, rewriting)]
    compared = 0
    for rows in _ROWS:
        arrays = _arrays(inputs, rows)
        try:
            expected = before.learn(arrays)
        except Exception:
            break
        found = after.learn(arrays)  # what it raises ends this trial
        if len(found) != len(expected) or not all(map(partial(equal, slack=_SLACK), found, expected)):
            return False
        compared += 1
    return compared > 0


def _known(inputs: tuple[FileInput, ...]) -> bool:
    return not any(DYNAMIC in given.shape[1:] for given in inputs)


def _opened(path: Path, inputs: tuple[FileInput, ...], target: Target, rewriting: Rewriting) -> GraphCalls:
    graph, open_tensors = mindspore_model.open_graph(path, inputs, target, rewriting)
    if open_tensors:
        graph.open(open_tensors)
    return graph


def _arrays(inputs: tuple[FileInput, ...], rows: int | None) -> list[Any]:
    rng = np.random.default_rng(0)
    shapes = [given.shape[:1] and (rows or given.shape[0], *given.shape[1:]) for given in inputs]
    return [
        sample(rng, tuple(_OPEN_BATCH if size == DYNAMIC else size for size in shape), given.dtype)
        for shape, given in zip(shapes, inputs, strict=True)
    ]


if __name__ == "__main__":
    main()
