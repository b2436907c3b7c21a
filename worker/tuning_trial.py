"""A process that measures a version's models with one choice of settings: started by tuning.py, for nobody else.

It reads a request in JSON from its standard input, loads the models, and answers each further line with the seconds of
a call: one number for each model file and batch size. It ends with its input, or when its time is over.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from mindspore_serving.worker import mindspore_model
from mindspore_serving.worker.batch_sizes import sample
from mindspore_serving.worker.call_costs import measure
from mindspore_serving.worker.core_tie import CoreTie
from mindspore_serving.worker.mindir_file import DYNAMIC, FileInput, read_inputs
from mindspore_serving.worker.target import Target

_MOST_FILES = 4  # of a version; the largest
_OPEN_BATCH = 16

Call = Callable[[], float]


def main() -> None:
    """Runs until standard input ends."""
    folder, target, answers = trial_task()
    files = sorted(model_files(folder), key=lambda file: -file.stat().st_size)[:_MOST_FILES]
    calls = [call for file in files for call in _calls(file, target)]
    for _ in sys.stdin:
        answers.write(json.dumps([call() for call in calls]) + "\n")
        answers.flush()


def trial_task() -> tuple[Path, Target, TextIO]:
    """Reads what trial_request() wrote, and makes MindSpore ready for it. Returns what to try, and where to answer."""
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
    return Path(request["place"]), target, answers


def model_files(folder: Path) -> list[Path]:
    """The model files of a version's folder."""
    return sorted(folder.rglob("*.mindir"))


def _calls(path: Path, target: Target) -> list[Call]:
    """Measures the file at its full batch, and where it can at one instance; nothing where a shape is not known."""
    inputs = read_inputs(path, target)
    if any(DYNAMIC in given.shape[1:] for given in inputs):
        return []
    graph, open_tensors = mindspore_model.open_graph(path, inputs, target)
    if open_tensors:
        graph.open(open_tensors)
    calls: list[Call] = []
    for rows in (None, 1):
        arrays = _arrays(inputs, rows)
        try:
            graph.learn(arrays)
        except Exception:
            break  # for one instance: the batch is fixed. For all: the worker itself will say why
        calls.append(partial(measure, partial(graph, arrays)))
    return calls


def _arrays(inputs: tuple[FileInput, ...], rows: int | None) -> list[Any]:
    rng = np.random.default_rng(0)
    shapes = [given.shape[:1] and (rows or given.shape[0], *given.shape[1:]) for given in inputs]
    return [
        sample(rng, tuple(_OPEN_BATCH if size == DYNAMIC else size for size in shape), given.dtype)
        for shape, given in zip(shapes, inputs, strict=True)
    ]


if __name__ == "__main__":
    main()
