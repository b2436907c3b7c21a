"""What rewritten graphs gain: each network's file as it is, as worker/rewrites/ writes it, and with worker/kernels/.

    python -m benchmarks.rewrites [--rounds N]

They are called in turn, in one thread. Prints the milliseconds of a call (medians), and the median of the ratios made
within each round.
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

from benchmarks.networks import Image, Sequence, lenet, lstm, mlp
from mindspore_serving.worker import mindspore_model
from mindspore_serving.worker.call_costs import measure, wall_clock
from mindspore_serving.worker.mindir_file import read_inputs
from mindspore_serving.worker.rewrites import AS_IT_IS, Rewriting
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


class Attention(nn.Cell):
    """The other half: 12 heads over 128 words."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = [nn.Dense(768, 768) for _ in range(4)]
        self.scores, self.mixed, self.norm = ops.BatchMatMul(transpose_b=True), ops.BatchMatMul(), nn.LayerNorm((768,))

    def heads(self, x: Any) -> Any:
        return ops.transpose(ops.reshape(x, (-1, 128, 12, 64)), (0, 2, 1, 3))

    def construct(self, x: Any) -> Any:
        query, key, value = self.heads(self.query(x)), self.heads(self.key(x)), self.heads(self.value(x))
        mixed = self.mixed(ops.softmax(self.scores(query, key) * 0.125), value)
        return self.norm(x + self.out(ops.reshape(ops.transpose(mixed, (0, 2, 1, 3)), (-1, 128, 768))))


class Joined(nn.Cell):
    """A layer of DenseNet (Huang et al. 2016, section 3), whose result comes behind its input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm, self.second_norm, self.relu = nn.BatchNorm2d(channels), nn.BatchNorm2d(128), nn.ReLU()
        self.narrow, self.of_pixels = nn.Conv2d(channels, 128, 1), nn.Conv2d(128, 32, 3)

    def construct(self, x: Any) -> Any:
        made = self.relu(self.second_norm(self.narrow(self.relu(self.norm(x)))))
        return ops.concat((x, self.of_pixels(made)), 1)


def encoder() -> Any:
    """A layer of a transformer as MindSpore has it."""
    return nn.TransformerEncoderLayer(256, 4, 1024, activation="gelu", batch_first=True)


def separable() -> Any:
    """A block of MobileNet (Howard et al. 2017, table 1): each channel by itself, and then all of them by points."""
    of_channels = [nn.Conv2d(64, 64, 3, group=64), nn.BatchNorm2d(64), nn.ReLU6()]
    return nn.SequentialCell(*of_channels, *layers(64, 128, 1), nn.ReLU6(), Mean())


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
    "separable block 64x56x56": (separable, (4, 64, 56, 56), Rewriting.FASTER),
    "two layers of DenseNet 64x28x28": (
        lambda: nn.SequentialCell(Joined(64), Joined(96)),
        (4, 64, 28, 28),
        Rewriting.FASTER,
    ),
    "TransformerEncoderLayer 64x256": (encoder, (4, 64, 256), Rewriting.FASTER),
    "attention 128x768": (Attention, (4, 128, 768), Rewriting.FASTER),
    "feed-forward 128x768": (FeedForward, (4, 128, 768), Rewriting.FASTER),
    "image 3x224x224": (Image, (16, 3, 224, 224), Rewriting.FASTER),
    "means of 128 words' 64 numbers": (Words, (16, 128), Rewriting.FASTER),
    "resize 128x26x26": (Larger, (4, 128, 26, 26), Rewriting.FASTER),
    "LSTM of 2 layers 32x64": (lstm, (16, 32, 64), Rewriting.FASTER),
    "LSTM, one instance": (lstm, (1, 32, 64), Rewriting.FASTER),
    "GRU 32x64": (lambda: Sequence(nn.GRU(64, 128, batch_first=True)), (16, 32, 64), Rewriting.FASTER),
    "LeNet": (lenet, (64, 1, 32, 32), Rewriting.FASTER),
    "MLP": (mlp, (16, 784), Rewriting.FASTER),
    "MLP, one instance": (mlp, (1, 784), Rewriting.FASTER),
    "MLP, transposed": (mlp, (16, 784), Rewriting.TRANSPOSED | Rewriting.FASTER),
    "MLP, transposed, one instance": (mlp, (1, 784), Rewriting.TRANSPOSED | Rewriting.FASTER),
}


def compare(network: Any, shape: tuple[int, ...], rewriting: Rewriting, folder: Path, rounds: int) -> list[float]:
    """Seconds of a call as it is, and the ratio of a rewritten one's to it, without kernels and with them."""
    network.set_train(False)
    array = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    file = folder / "model.mindir"
    ms.export(network, ms.Tensor(array), file_name=str(file), file_format="MINDIR")
    inputs = read_inputs(file, Target())
    ways = (AS_IT_IS, rewriting, rewriting | Rewriting.KERNELS)
    graphs = [mindspore_model.open_graph(file, inputs, Target(), how)[0] for how in ways]
    for graph in graphs:
        graph.learn([array])
    times = [[measure(partial(graph, [array]), wall_clock) for graph in graphs] for _ in range(rounds)]
    ratios = [statistics.median(row[way] / row[0] for row in times) for way in (1, 2)]
    return [statistics.median(row[0] for row in times), *ratios]


def main() -> None:
    """Compares each network."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rewrites", description="What rewritten graphs gain.")
    parser.add_argument("--rounds", type=int, default=9, help="of each network (default: 9)")
    rounds = parser.parse_args().rounds
    mindspore_model.set_device(Target())
    mindspore_model.set_one_thread()
    print(f"{'network':31} {'instances':>9} {'ms as it is':>11} {'rewritten':>9} {'with kernels':>12}")
    for name, (network, shape, rewriting) in NETWORKS.items():
        with tempfile.TemporaryDirectory() as folder:
            seconds, *ratios = compare(network(), shape, rewriting, Path(folder), rounds)
        print(f"{name:31} {shape[0]:9} {seconds * 1e3:11.2f} {ratios[0]:9.2f} {ratios[1]:12.2f}", flush=True)


if __name__ == "__main__":
    main()
