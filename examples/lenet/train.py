"""Trains LeNet-5 on scikit-learn's digits and exports it to lenet/1/lenet.mindir. Exit code 1: an accuracy under 90 %.

Some seconds on two cores. The seed is fixed.
"""

import os
import sys
import time
from pathlib import Path

# Before MindSpore starts: with AVX-512 its convolutions run reference code, 20 to 90 times slower.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")

import mindspore as ms
import numpy as np
from digits import Samples, digits
from lenet.picture import SIDE, to_input
from mindspore import nn

SEED = 1
EPOCHS = 12
BATCH_SIZE = 32
LEARNING_RATE = 1e-3
GOOD_ENOUGH = 0.9  # accuracy on held-out images


class LeNet5(nn.Cell):
    """(N, 1, 32, 32) images to (N, 10) scores."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.SequentialCell(
            nn.Conv2d(1, 6, 5, pad_mode="valid"),
            nn.ReLU(),
            nn.MaxPool2d(2, 2),
            nn.Conv2d(6, 16, 5, pad_mode="valid"),
            nn.ReLU(),
            nn.MaxPool2d(2, 2),
            nn.Flatten(),
            nn.Dense(16 * 5 * 5, 120),
            nn.ReLU(),
            nn.Dense(120, 84),
            nn.ReLU(),
            nn.Dense(84, 10),
        )

    def construct(self, images):
        return self.layers(images)


def arrays(samples: Samples) -> tuple[np.ndarray, np.ndarray]:
    """The model's inputs, and the digits that it should find."""
    return np.stack([to_input(png) for png, _ in samples]), np.array([digit for _, digit in samples], np.int32)


def train(images: np.ndarray, labels: np.ndarray) -> LeNet5:
    """A trained network. Batches are full: another size would be compiled anew."""
    ms.set_seed(SEED)
    order = np.random.default_rng(SEED)
    network = LeNet5()
    with_loss = nn.WithLossCell(network, nn.CrossEntropyLoss())
    step = nn.TrainOneStepCell(with_loss, nn.Adam(network.trainable_params(), LEARNING_RATE)).set_train()
    for epoch in range(1, EPOCHS + 1):
        shuffled = order.permutation(len(images))
        losses = []
        for start in range(0, len(images) - BATCH_SIZE + 1, BATCH_SIZE):
            chosen = shuffled[start : start + BATCH_SIZE]
            losses.append(float(step(ms.Tensor(images[chosen]), ms.Tensor(labels[chosen]))))
        print(f"epoch {epoch}: loss {np.mean(losses):.4f}", flush=True)
    return network.set_train(False)


def export(network: LeNet5, directory: Path) -> Path:
    """Writes lenet.mindir, which takes any number of images at a time, and returns its path."""
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "lenet.mindir"
    images = ms.Tensor(shape=[None, 1, SIDE, SIDE], dtype=ms.float32)
    ms.export(network, images, file_name=str(file), file_format="MINDIR")
    return file


def main() -> int:
    ms.set_context(mode=ms.GRAPH_MODE)
    started = time.monotonic()
    training, held_out = digits()
    network = train(*arrays(training))
    images, labels = arrays(held_out)
    accuracy = float(np.mean(network(ms.Tensor(images)).asnumpy().argmax(1) == labels))
    seconds = time.monotonic() - started
    print(f"accuracy {accuracy:.3f} on {len(labels)} held-out images, after {seconds:.0f} s")
    if accuracy < GOOD_ENOUGH:
        print(f"not exported: the accuracy should be {GOOD_ENOUGH} or more", file=sys.stderr)
        return 1
    print("exported", export(network, Path(__file__).resolve().parent / "lenet" / "1"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
