"""A process that measures a version's models with one choice of settings: started by tuning.py, for nobody else.

It reads a request in JSON from its standard input, loads the models, and answers each further line with the seconds of
a call: one number for each model file and batch size. It ends with its input, or when its time is over. Where graphs
are rewritten for the first time it measures nothing unless each of them gives the numbers that it gave before.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from mindspore_serving.worker import mindspore_model
from mindspore_serving.worker.batch_sizes import equal, sample
from mindspore_serving.worker.call_costs import measure
from mindspore_serving.worker.core_tie import CoreTie
from mindspore_serving.worker.graph_calls import GraphCalls
from mindspore_serving.worker.mindir_file import DYNAMIC, FileInput, read_inputs
from mindspore_serving.worker.rewritten_file import places
from mindspore_serving.worker.target import Target

_MOST_FILES = 4  # of a version; the largest
_OPEN_BATCH = 16
_ROWS = (None, 1)  # the file's own batch, and one instance
_SLACK = 10.0  # a rewritten graph has other products as well as other sums

Call = Callable[[], float]


def main() -> None:
    """Runs until standard input ends."""
    task = trial_task()
    files = sorted(model_files(task.place), key=lambda file: -file.stat().st_size)
    found = {file: places(file) for file in files} if task.proves or not task.rewritten else {}
    calls: list[Call] = []
    if not task.proves or all(agrees(file, task.target) for file in files if found[file]):
        calls = [call for file in files[:_MOST_FILES] for call in _calls(file, task)]
    for _ in sys.stdin:
        answer = {"seconds": [call() for call in calls], "places": sum(found.values())}
        task.answers.write(json.dumps(answer) + "\n")
        task.answers.flush()


@dataclass(frozen=True)
class Task:
    """What to try, and where to answer. rewritten: as EngineSettings has it; proves: as Trial has it."""

    place: Path
    target: Target
    rewritten: bool
    proves: bool
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
    if request["one_core"] and len(os.sched_getaffinity(0)) > 1:
        CoreTie().start()
    mindspore_model.set_device(target)
    if request["kernel_threads"]:
        mindspore_model.set_kernel_threads(request["kernel_threads"])
    return Task(Path(request["place"]), target, request["rewritten"], request["proves"], answers)


def model_files(folder: Path) -> list[Path]:
    """The model files of a version's folder."""
    return sorted(folder.rglob("*.mindir"))


def _calls(path: Path, task: Task) -> list[Call]:
    """Measures the file at its full batch, and where it can at one instance; nothing where a shape is not known."""
    inputs = read_inputs(path, task.target)
    if not _known(inputs):
        return []
    graph = _opened(path, inputs, task.target, task.rewritten)
    calls: list[Call] = []
    for rows in _ROWS:
        arrays = _arrays(inputs, rows)
        try:
            graph.learn(arrays)
        except Exception:
            break  # for one instance: the batch is fixed. For all: the worker itself will say why
        calls.append(partial(measure, partial(graph, arrays)))
    return calls


def agrees(path: Path, target: Target) -> bool:
    """Whether the rewritten file gives the numbers of the file itself, at each size that this runs at."""
    inputs = read_inputs(path, target)
    if not _known(inputs):
        return False
    before, after = [_opened(path, inputs, target, rewritten) for rewritten in (False, True)]
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


def _opened(path: Path, inputs: tuple[FileInput, ...], target: Target, rewritten: bool) -> GraphCalls:
    graph, open_tensors = mindspore_model.open_graph(path, inputs, target, rewritten=rewritten)
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
