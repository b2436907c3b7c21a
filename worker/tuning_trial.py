"""A process that measures a version's models with one choice of settings: started by tuning.py, for nobody else.

It reads a request in JSON from its standard input, loads the models, and answers each further line with the seconds of
a call: one number for each model file and batch size. It ends with its input, or when its time is over. Where graphs
are rewritten by further rules it loads both, those of before too, and measures nothing unless each gives the same
numbers as it did. Two processes that do the same differ by up to a tenth, for as long as they run: their pages lie
elsewhere. Two graphs in one of them hardly do.
"""

import contextlib
import json
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from mindspore_serving.worker import mindspore_model, rewritten_file
from mindspore_serving.worker.batch_sizes import equal, sample
from mindspore_serving.worker.call_costs import cpu_clock, measure
from mindspore_serving.worker.graph_calls import GraphCalls
from mindspore_serving.worker.mindir_file import DYNAMIC, FileInput, parse, read_inputs
from mindspore_serving.worker.rewrites import ALL, Rewriting
from mindspore_serving.worker.rewrites.newer import operators
from mindspore_serving.worker.rewrites.precision import has_half_precision
from mindspore_serving.worker.target import Target

_CORES = sorted(os.sched_getaffinity(0))
_MOST_CORES = 4  # that are taken in turn
_MOST_FILES = 4  # of a version; the largest
_OPEN_BATCH, _SOME, _ONE, _FULL = 16, 4, 1, 0
_LEAST_BATCH, _BATCH_SECONDS = 2, 0.1  # an open batch has fewer instances where so many would take longer
_MANY, _MANY_BYTES = 128, 32 << 20
_SLACK = 10.0  # a rewritten graph has other products as well as other sums
_SLACK_OF_TANH = 100.0  # MindSpore's own is off by 0.0001 near 5, and the layers behind it by more
_SLACK_OF_HALF = 2000.0  # float16 rounds to 0.0005 of each number, and a layer sums up thousands of them

Ways = tuple[Callable[[], float], ...]  # of one call: with a graph written in each of the task's ways


def main() -> None:
    """Runs until standard input ends."""
    task = trial_task()
    files = sorted(model_files(task.place), key=lambda file: -file.stat().st_size)
    found = {file: rewritten_file.places(file) for file in files} if task.ways != (ALL,) else {}
    calls = _calls(files, found, task)
    counts = {kind.value: sum(places.get(kind, 0) for places in found.values()) for kind in Rewriting}
    for line in sys.stdin:
        order = json.loads(line)
        take_turn(order["turn"])
        all_threads, own = time.process_time(), time.thread_time()
        seconds = _seconds(calls if order["both"] else [ways[-1:] for ways in calls], order["turn"])
        threads = (time.process_time() - all_threads) / max(time.thread_time() - own, 1e-6)
        answer = {"seconds": seconds, "places": counts, "threads": threads, "batches": task.batches}
        task.answers.write(json.dumps(answer) + "\n")
        task.answers.flush()


@dataclass(frozen=True)
class Task:
    """What to try, and where to answer.

    ways: in which graphs are written; two are to give the same numbers. batches: by file, how many instances a full
    batch has where the file does not say it.
    """

    place: Path
    target: Target
    ways: tuple[Rewriting, ...]
    batches: dict[str, int]
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
    mindspore_model.set_device(target)
    if request["one_thread"]:
        mindspore_model.set_one_thread()
    elif request["kernel_threads"]:
        mindspore_model.set_kernel_threads(request["kernel_threads"])
    before = request["before"]
    ways = tuple(Rewriting(way) for way in (before, request["rewriting"]) if way is not None)
    return Task(Path(request["place"]), target, ways, request["batches"], answers)


def take_turn(turn: int) -> None:
    """Where there are few cores, the one that calls changes with each turn.

    Those of a virtual machine may differ by half, for seconds: as long as their other halves compute for others. Who is
    measured on one of them is not to be compared with who is measured on another.
    """
    if len(_CORES) <= _MOST_CORES:
        with contextlib.suppress(OSError):  # a sandbox may forbid it
            os.sched_setaffinity(0, {_CORES[turn % len(_CORES)]})  # of this thread: MindSpore's have started


def model_files(folder: Path) -> list[Path]:
    """The model files of a version's folder."""
    return sorted(folder.rglob("*.mindir"))


def _calls(files: Sequence[Path], found: Mapping[Path, Mapping[Rewriting, int]], task: Task) -> list[Ways]:
    """What is to be measured: nothing where the graphs of one file give other numbers than before.

    found: in how many places rules of each kind could write a file otherwise. What no rule changes is loaded once.
    """
    calls: list[Ways] = []
    for number, file in enumerate(files):
        is_changed = any(
            found[file].get(kind) for kind in Rewriting if kind in task.ways[-1] and kind not in task.ways[0]
        )
        if is_changed or number < _MOST_FILES:
            measurable = file_calls(file, task.target, task.ways if is_changed else task.ways[-1:], task.batches)
            if is_changed and not measurable:
                return []
            if number < _MOST_FILES:
                calls += [(ways[0], ways[-1]) if len(task.ways) > 1 else ways for ways in measurable]
    return calls


def _seconds(calls: Sequence[Ways], turn: int) -> list[list[float]]:
    """Of each call, by way. Who goes first changes every other turn: the second one finds the caches warm."""
    step = -1 if turn // 2 % 2 else 1
    found = [[call() for call in ways[::step]][::step] for ways in calls]
    return [list(way) for way in zip(*found, strict=True)] or [[], []]


def file_calls(path: Path, target: Target, ways: Sequence[Rewriting], batches: dict[str, int]) -> list[Ways]:
    """What measures the file, with its graph written in each of these ways: at its full batch, and at one instance.

    Of an open batch, how many that is stands in `batches`, or is found out and put there.
    Where only now weights are transposed, and the batch is open, at a large batch too: what gains a few percent of a
    small one may take three times as long for hundreds of rows, whose product oneDNN makes in another way. Nothing
    where a shape is not known, or where it gives other numbers written in one way than in the first.
    """
    inputs = read_inputs(path, target)
    if any(DYNAMIC in given.shape[1:] for given in inputs):
        return []
    graphs = [_opened(path, inputs, target, way) for way in ways]
    slack = _slack(path) if len(ways) > 1 else _SLACK
    is_open = all(given.shape[:1] == (DYNAMIC,) for given in inputs)
    is_turned = Rewriting.TRANSPOSED in ways[-1] and Rewriting.TRANSPOSED not in ways[0]
    calls: list[Ways] = []
    batch = batches.get(str(path), _OPEN_BATCH)
    of_fixed = [_FULL] if graphs[0].has_branches else [_FULL, _ONE]
    for rows in _batches(inputs, is_turned) if is_open else of_fixed:
        arrays = _arrays(inputs, rows, batch)
        try:
            expected = graphs[0].learn(arrays)
        except Exception:
            break  # for one instance: the batch is fixed. For all: the worker itself will say why
        if not all(
            _same(graph.learn(arrays), expected, slack) for graph in graphs[1:]
        ):  # what it raises ends this trial
            return []
        calls.append(tuple(partial(measure, partial(graph, arrays), cpu_clock) for graph in graphs))
        if is_open and rows == _ONE and str(path) not in batches:
            batch = batches[str(path)] = _affordable(graphs[0], inputs, calls[0][0]())
    return calls


def _affordable(graph: GraphCalls, inputs: tuple[FileInput, ...], of_one: float) -> int:
    """How many instances take _BATCH_SECONDS together. of_one: seconds; each of some may take a tenth of that."""
    arrays = _arrays(inputs, _SOME, _SOME)
    try:
        graph.learn(arrays)
    except Exception:
        return _LEAST_BATCH  # it will fail in the same way, which tells who measures
    each = max((measure(partial(graph, arrays), cpu_clock) - of_one) / (_SOME - 1), 1e-9)
    return max(_LEAST_BATCH, min(_OPEN_BATCH, 1 + int((_BATCH_SECONDS - of_one) / each)))


def _slack(path: Path) -> float:
    """How far numbers of a rewritten graph may be from those of the file: such a file is not encrypted."""
    model = parse(path.read_bytes())
    if has_half_precision(model):
        return _SLACK_OF_HALF
    return _SLACK_OF_TANH if "Tanh" in operators(model) else _SLACK


def _same(found: Sequence[Any], expected: Sequence[Any], slack: float) -> bool:
    if [one.dtype for one in found] != [one.dtype for one in expected]:
        return False
    return all(equal(_in_single(one), _in_single(other), slack) for one, other in zip(found, expected, strict=True))


def _in_single(array: Any) -> Any:
    """Of float16, too, the slack is that of float32."""
    return array.astype(np.float32) if array.dtype == np.float16 else array


def _batches(inputs: Sequence[FileInput], is_turned: bool) -> list[int]:
    """The numbers of instances that are measured where the batch is open; _FULL: as many as soon run."""
    row_bytes = sum(math.prod(given.shape[1:]) * np.dtype(given.dtype).itemsize for given in inputs)
    many = max(_OPEN_BATCH, min(_MANY, _MANY_BYTES // max(row_bytes, 1)))
    return [_ONE, _FULL, many] if is_turned else [_ONE, _FULL]


def _opened(path: Path, inputs: tuple[FileInput, ...], target: Target, rewriting: Rewriting) -> GraphCalls:
    graph, open_tensors = mindspore_model.open_graph(path, inputs, target, rewriting)
    if open_tensors:
        graph.open(open_tensors)
    return graph


def _arrays(inputs: tuple[FileInput, ...], rows: int, batch: int) -> list[Any]:
    """Of so many rows, or all of them; batch: how many these are where the file does not say it."""
    rng = np.random.default_rng(0)
    shapes = [given.shape[:1] and (rows or given.shape[0], *given.shape[1:]) for given in inputs]
    return [
        sample(rng, tuple(batch if size == DYNAMIC else size for size in shape), given.dtype)
        for shape, given in zip(shapes, inputs, strict=True)
    ]


if __name__ == "__main__":
    main()
