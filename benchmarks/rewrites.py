"""What rewritten graphs gain: each network's file as it is, and as worker/rewrites/ writes it, in turn.

    python -m benchmarks.rewrites [--rounds N]

Prints the milliseconds of a call (medians), and the median of the ratios made within each round.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from benchmarks.export_models import Image, lenet, mlp
from mindspore_serving.worker import mindspore_model
from mindspore_serving.worker.call_costs import measure, wall_clock
from mindspore_serving.worker.mindir_file import read_inputs
from mindspore_serving.worker.rewrites import ALL, AS_IT_IS, Rewriting
from mindspore_serving.worker.target import Target


class Block(nn.Cell):
    """A bottleneck of ResNet (He et al. 2015, figure 5) of 256 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.SequentialCell(
            *layers(256, 64, 1), nn.ReLU(), *layers(64, 64, 3), nn.ReLU(), *layers(64, 256, 1)
        )
        self.relu = nn.ReLU()

    def construct(self, x: Any) -> Any:
        return self.relu(self.inner(x) + x)


class Mean(nn.Cell):
    """The mean of each channel."""

    def construct(self, x: Any) -> Any:
        return x.mean((2, 3))


class Words(nn.Cell):
    """A text's words, looked up, and their mean."""

    def __init__(self) -> None:
        super().__init__()
        self.table = ms.Parameter(ms.ops.ones((1000, 64), ms.float32), name="table")
        self.gather = ops.Gather()

    def construct(self, x: Any) -> Any:
        return self.gather(self.table, x.astype(ms.int32), 0).mean(1)


class Larger(nn.Cell):
    """Twice as high and wide, as between the scales of a detector, and the layer behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.resize = ops.ResizeNearestNeighbor((52, 52))
        self.convolution = nn.Conv2d(128, 64, 1)

    def construct(self, x: Any) -> Any:
        return self.convolution(self.resize(x))


class FeedForward(nn.Cell):
    """The half of a transformer's layer that GeLU is in, with BERT's sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.narrow = nn.Dense(768, 3072), nn.Dense(3072, 768)
        self.gelu = ops.GeLU()

    def construct(self, x: Any) -> Any:
        return x + self.narrow(self.gelu(self.wide(x)))


def layers(inputs: int, outputs: int, size: int) -> list[Any]:
    """A convolution, and the BatchNorm behind it."""
    return [nn.Conv2d(inputs, outputs, size), nn.BatchNorm2d(outputs)]


def residual() -> Any:
    """The first layers of ResNet-50, and its last but one."""
    stem = [*layers(3, 64, 7), nn.ReLU(), nn.MaxPool2d(3, 2, pad_mode="same"), *layers(64, 256, 1)]
    return nn.SequentialCell(*stem, Block(), Block(), Mean())


# name -> network, shape of its input, kind of rules
NETWORKS: dict[str, tuple[Callable[[], Any], tuple[int, ...], Rewriting]] = {
    "residual blocks 3x112x112": (residual, (4, 3, 112, 112), Rewriting.FASTER),
    "feed-forward 128x768": (FeedForward, (4, 128, 768), Rewriting.FASTER),
    "image 3x224x224": (Image, (16, 3, 224, 224), Rewriting.FASTER),
    "means of 128 words' 64 numbers": (Words, (16, 128), Rewriting.FASTER),
    "resize 128x26x26": (Larger, (4, 128, 26, 26), Rewriting.FASTER),
    "LeNet": (lenet, (64, 1, 32, 32), Rewriting.FASTER),
    "MLP": (mlp, (16, 784), Rewriting.FASTER),
    "MLP, one instance": (mlp, (1, 784), Rewriting.FASTER),
    "MLP, transposed": (mlp, (16, 784), Rewriting.TRANSPOSED),
    "MLP, transposed, one instance": (mlp, (1, 784), Rewriting.TRANSPOSED),
    "MLP, all of it": (mlp, (16, 784), ALL),
}


def compare(
    network: Any, shape: tuple[int, ...], rewriting: Rewriting, folder: Path, rounds: int
) -> tuple[float, float, float]:
    """Seconds of a call before and after, and the ratio."""
    network.set_train(False)
    array = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    file = folder / "model.mindir"
    ms.export(network, ms.Tensor(array), file_name=str(file), file_format="MINDIR")
    inputs = read_inputs(file, Target())
    graphs = [mindspore_model.open_graph(file, inputs, Target(), how)[0] for how in (AS_IT_IS, rewriting)]
    for graph in graphs:
        graph.learn([array])
    times = [[measure(partial(graph, [array]), wall_clock) for graph in graphs] for _ in range(rounds)]
    before, after = zip(*times, strict=True)
    ratio = statistics.median(late / early for early, late in times)
    return statistics.median(before), statistics.median(after), ratio


def main() -> None:
    """Compares each network."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rewrites", description="What rewritten graphs gain.")
    parser.add_argument("--rounds", type=int, default=9, help="of each network (default: 9)")
    rounds = parser.parse_args().rounds
    mindspore_model.set_device(Target())
    print(f"{'network':30} {'instances':>9} {'ms before':>10} {'after':>8} {'ratio':>6}")
    for name, (network, shape, rewriting) in NETWORKS.items():
        with tempfile.TemporaryDirectory() as folder:
            before, after, ratio = compare(network(), shape, rewriting, Path(folder), rounds)
        print(f"{name:30} {shape[0]:9} {before * 1e3:10.2f} {after * 1e3:8.2f} {ratio:6.2f}", flush=True)


if __name__ == "__main__":
    main()
