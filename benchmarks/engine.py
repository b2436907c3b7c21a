"""What the worker's engine gains: the short call, the tuned settings, and the choice of calls by cost, as ratios.

    python benchmarks/engine.py

Both sides of each ratio are measured in one run, in turn, several times over, so that a slow moment of the machine
hits both; the medians of the rounds are printed, in microseconds a batch.
"""

import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mindspore_serving.worker import mindspore_model
from mindspore_serving.worker.batch_plan import BatchPlan
from mindspore_serving.worker.call_costs import measure
from mindspore_serving.worker.declarations import Model
from mindspore_serving.worker.engine_settings import EngineSettings, apply_environment, cpu_flags, default_settings
from mindspore_serving.worker.graph_calls import GraphCalls
from mindspore_serving.worker.loaded_model import MAX_DYNAMIC_BATCH, InputSpec
from mindspore_serving.worker.mindir_file import read_inputs
from mindspore_serving.worker.model_stage import run_stacked
from mindspore_serving.worker.target import Target
from mindspore_serving.worker.tuning import find_settings
from mindspore_serving.worker.tuning_process import Trial

Arrays = list[Any]
Side = tuple[Callable[[Sequence[Any]], object], Arrays]

ROUNDS = 7
OWN = EngineSettings()
TUNED = ("add-open", "MLP", "LeNet", "image")
# name: (shape of an instance, inputs, batch of the file, or None for an open one)
MODELS: dict[str, tuple[tuple[int, ...], int, int | None]] = {
    "add": ((2, 2), 2, 16),
    "add-open": ((2, 2), 2, None),
    "MLP": ((784,), 1, 64),
    "MLP-open": ((784,), 1, None),
    "LeNet": ((1, 32, 32), 1, 32),
    "LeNet-open": ((1, 32, 32), 1, None),
    "image": ((3, 224, 224), 1, 8),
}


def export(folder: Path) -> None:
    """Writes every model to FOLDER/NAME/1/model.mindir."""
    import mindspore as ms
    from mindspore import nn

    class Add(nn.Cell):
        def construct(self, a: Any, b: Any) -> Any:
            return a + b

    class Image(nn.Cell):
        def __init__(self) -> None:
            super().__init__()
            self.dense = nn.Dense(3, 10)

        def construct(self, image: Any) -> Any:
            return self.dense(image.mean((2, 3)))

    def dense(*sizes: int) -> list[Any]:
        layers = []
        for before, after in itertools.pairwise(sizes):
            layers += [nn.Dense(before, after), nn.ReLU()]
        return layers[:-1]

    def convolution(before: int, after: int) -> list[Any]:
        return [nn.Conv2d(before, after, 5, pad_mode="valid"), nn.ReLU(), nn.MaxPool2d(2, 2)]

    mlp = nn.SequentialCell(*dense(784, 512, 256, 10))
    lenet = nn.SequentialCell(*convolution(1, 6), *convolution(6, 16), nn.Flatten(), *dense(400, 120, 84, 10))
    nets = {"add": Add(), "MLP": mlp, "LeNet": lenet, "image": Image()}
    for name, (shape, count, batch) in MODELS.items():
        open_or_fixed = ms.Tensor(shape=[batch, *shape], dtype=ms.float32)
        given = open_or_fixed if batch is None else ms.Tensor(np.ones((batch, *shape), np.float32))
        place = folder / name / "1"
        place.mkdir(parents=True)
        net = nets[name.partition("-")[0]]
        ms.export(net, *[given] * count, file_name=str(place / "model.mindir"), file_format="MINDIR")


class Plain:
    """A model with one graph and one size: the file's batch, or whatever comes."""

    def __init__(self, inputs: tuple[InputSpec, ...], run: GraphCalls, batch: int | None) -> None:
        self.inputs = inputs
        self.run = run
        sizes = [batch] if batch else range(1, MAX_DYNAMIC_BATCH + 1)
        self.plan = BatchPlan(dict.fromkeys(sizes, 1.0), fill=batch is not None)


def graph(folder: Path, name: str) -> GraphCalls:
    """One graph of the model, called directly; open where the file is."""
    path = folder / name / "1" / "model.mindir"
    calls, open_tensors = mindspore_model.open_graph(path, read_inputs(path, Target()), Target())
    if open_tensors:
        calls.open(open_tensors)
    return calls


def public(folder: Path, name: str) -> Callable[[Sequence[Any]], list[Any]]:
    """The model as any program of MindSpore's would call it."""
    import mindspore as ms
    from mindspore import nn

    cell = nn.GraphCell(ms.load(str(folder / name / "1" / "model.mindir")))
    shape, inputs, batch = MODELS[name]
    if batch is None:
        cell.set_inputs(*[ms.Tensor(shape=[None, *shape], dtype=ms.float32)] * inputs)
    return lambda arrays: [cell(*(ms.Tensor.from_numpy(array) for array in arrays)).asnumpy()]


def instances(name: str, count: int) -> Arrays:
    shape, inputs, _ = MODELS[name]
    rng = np.random.default_rng(1)
    return [rng.standard_normal((count, *shape)).astype(np.float32) for _ in range(inputs)]


def compare(what: str, one: Side, other: Side) -> None:
    """Measures either side in turn and prints a line. A side: what is called, and with which arrays."""
    rounds = [tuple(measure(partial(call, arrays)) for call, arrays in (one, other)) for _ in range(ROUNDS)]
    before, after = (statistics.median(times) * 1e6 for times in zip(*rounds, strict=True))
    show(what, before, after)


def show(what: str, before: float, after: float) -> None:
    print(f"  {what:36} {before:8.0f} {after:8.0f} {before / after:6.2f}", flush=True)


def short_calls(folder: Path) -> None:
    print("nn.GraphCell's own call | straight into the compiled graph | ratio")
    for name, (_, _, batch) in MODELS.items():
        usual, short = public(folder, name), graph(folder, name)
        for count in (1, batch or 16):
            arrays = instances(name, count)
            usual(arrays)
            short.learn(arrays)
            compare(f"{name}, batch {count}", (usual, arrays), (short, arrays))


def chosen_calls(folder: Path) -> None:
    print("filled up to the file's batch, or one graph for every batch | calls chosen by cost | ratio")
    for name, (_, _, batch) in MODELS.items():
        (model,) = mindspore_model.load(Model(("model.mindir",), True, frozenset()), folder / name / "1", Target())
        plain = Plain(model.inputs, graph(folder, name), batch)
        for count in (1, 4, 5, 8) if batch == 8 else (1, 4, 5, 9):
            arrays = instances(name, count)
            plain.run.learn(instances(name, batch or count))
            what = f"{name}, {count} as {'+'.join(map(str, model.plan.cut(count)))}"
            compare(what, (partial(run_stacked, plain), arrays), (partial(run_stacked, model), arrays))


def tuned_settings(folder: Path) -> None:
    print("MindSpore's own settings | tuned | ratio")
    for name in TUNED:
        finding = find_settings(folder / name, 1, Target(), "again")
        if finding is None:
            print(f"  {name}: could not be measured")
            continue
        deadline = time.monotonic() + 60
        sides = [Trial(settings, folder / name / "1", Target(), deadline) for settings in (OWN, finding.settings)]
        rounds = [[statistics.geometric_mean(side.measure(turn)) for side in sides] for turn in range(ROUNDS)]
        for side in sides:
            side.close()
        before, after = (statistics.median(times) * 1e6 for times in zip(*rounds, strict=True))
        show(f"{name}: {finding.settings}", before, after)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["XDG_CACHE_HOME"] = name  # what is found here is not kept
        subprocess.run([sys.executable, __file__, str(folder)], check=True)
        tuned_settings(folder)  # before MindSpore runs here: its threads would disturb
        apply_environment(default_settings(os.environ, cpu_flags()), os.environ, sys.modules)
        mindspore_model.set_device(Target())
        short_calls(folder)
        chosen_calls(folder)


if __name__ == "__main__":
    export(Path(sys.argv[1])) if len(sys.argv) > 1 else main()
