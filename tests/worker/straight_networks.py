"""Networks for test_straight_calls.py: `-m tests.worker.straight_networks FOLDER` writes FOLDER/name.mindir."""

import sys
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn, ops

OPEN = None
PAIRS = [OPEN, 3, 2], [OPEN, 3, 2]


class Sum(nn.Cell):
    """The tutorial's."""

    def construct(self, x: Any, y: Any) -> Any:
        return x + y


class Three(nn.Cell):
    """Three outputs, one of them twice."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = ms.Parameter(ms.Tensor(np.arange(6).reshape(3, 2), ms.float32), name="weights")

    def construct(self, x: Any, y: Any) -> Any:
        total = x + y
        return total, x * self.weights, total


class Deep(nn.Cell):
    """More steps than one chain has."""

    def construct(self, x: Any) -> Any:
        for _ in range(50):
            x = ops.tanh(x) * 1.5
        return x


class Given(nn.Cell):
    """One of the outputs is an input."""

    def construct(self, x: Any, y: Any) -> Any:
        return x + y, y


class Seen(nn.Cell):
    """What is given, otherwise arranged: nothing is computed."""

    def construct(self, x: Any) -> Any:
        return x.reshape(-1, 6)


class Counted(nn.Cell):
    """It counts its calls, besides."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = ms.Parameter(ms.Tensor([0.0], ms.float32), name="calls")

    def construct(self, x: Any) -> Any:
        ops.assign_add(self.calls, ms.Tensor([1.0], ms.float32))
        return x + 1.0


class Whole(nn.Cell):
    """Of whole numbers."""

    def construct(self, x: Any) -> Any:
        return x + 1


class Rows(nn.Cell):
    """Open sizes of two inputs, which have to be the same."""

    def construct(self, x: Any, y: Any) -> Any:
        return ops.relu(x) * y


class Large(nn.Cell):
    """More weights than are held twice."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Dense(2048, 4200)

    def construct(self, x: Any) -> Any:
        return self.layer(x)


# name -> network, shapes of its inputs
NETWORKS: dict[str, tuple[Any, tuple[list[int | None], ...]]] = {
    "sum": (Sum(), PAIRS),
    "sum_of_one": (Sum(), ([3, 2], [3, 2])),
    "sum_of_eight": (Sum(), ([8, 3, 2], [8, 3, 2])),
    "three": (Three(), PAIRS),
    "three_of_one": (Three(), ([3, 2], [3, 2])),
    "deep": (Deep(), ([OPEN, 5],)),
    "deep_of_one": (Deep(), ([5],)),
    "rows": (Rows(), ([OPEN, OPEN, 2], [OPEN, OPEN, 2])),
    "given": (Given(), PAIRS),
    "seen": (Seen(), ([OPEN, 3, 2],)),
    "counted": (Counted(), ([OPEN, 3],)),
    "large": (Large(), ([OPEN, 2048],)),
}


def main(folder: str) -> None:
    """Writes them all."""
    for name, (network, shapes) in NETWORKS.items():
        tensors = [ms.Tensor(shape=shape, dtype=ms.float32) for shape in shapes]
        ms.export(network, *tensors, file_name=str(Path(folder, name)), file_format="MINDIR")
    whole = ms.Tensor(shape=[OPEN, 3], dtype=ms.int32)
    ms.export(Whole(), whole, file_name=str(Path(folder, "whole")), file_format="MINDIR")


if __name__ == "__main__":
    main(sys.argv[1])
