"""Networks that remember something from call to call, for test_state.py.

`-m tests.worker.state_networks FOLDER` writes FOLDER/name.mindir for each.
"""

import sys
from pathlib import Path
from typing import Any

import mindspore as ms
from mindspore import nn, ops

OPEN = None
WIDTH = 64


class Counted(nn.Cell):
    """What is made of a number alone that grows at each call."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = ms.Parameter(ms.ops.zeros((WIDTH,), ms.float32), name="calls", requires_grad=False)

    def construct(self, x: Any) -> Any:
        ops.assign_add(self.calls, ops.ones_like(self.calls))
        return x + ops.exp(self.calls * 0.1)


class CountedInPlace(Counted):
    def construct(self, x: Any) -> Any:
        self.calls.add_(1.0)
        return x + ops.exp(self.calls * 0.1)


class CountedLater(Counted):
    def construct(self, x: Any) -> Any:
        made = x + ops.square(self.calls)
        self.calls = self.calls + 1.0
        return made


class CountedByBranch(Counted):
    """In a graph that is called."""

    def construct(self, x: Any) -> Any:
        made = x * ops.square(self.calls + 1.0)
        if (x * x).sum() > 0:
            ops.assign_add(self.calls, ops.ones_like(self.calls))
        return made


class Following(nn.Cell):
    """The mean of a norm follows what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(4)

    def construct(self, x: Any) -> Any:
        made = self.norm(x)
        ops.assign(self.norm.moving_mean, self.norm.moving_mean * 0.9 + x.mean((0, 2, 3)) * 0.1)
        return made


class Trained(nn.Cell):
    """A norm that goes on to learn, and what it has learnt."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(4)

    def construct(self, x: Any) -> Any:
        made = x * ops.exp(self.norm.moving_mean).reshape(4, 1, 1)
        return made, self.norm(x)


class Twice(nn.Cell):
    """A weight that is used at two places, and another one at each call."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = ms.Parameter(ms.ops.ones((WIDTH, WIDTH), ms.float32), name="weight", requires_grad=False)

    def construct(self, x: Any) -> Any:
        made = ops.matmul(ops.matmul(x, self.weight) * 0.01, self.weight)
        self.weight = self.weight + 1.0
        return made


# name -> network, shape of its input
NETWORKS: dict[str, tuple[Any, tuple[int | None, ...]]] = {
    "counted": (Counted(), (OPEN, WIDTH)),
    "counted_in_place": (CountedInPlace(), (OPEN, WIDTH)),
    "counted_later": (CountedLater(), (OPEN, WIDTH)),
    "counted_by_branch": (CountedByBranch(), (OPEN, WIDTH)),
    "following": (Following(), (OPEN, 4, 32, 32)),
    "trained": (Trained(), (OPEN, 4, 32, 32)),
    "twice": (Twice(), (OPEN, WIDTH)),
}


def main(folder: Path) -> None:
    """Writes the files."""
    for name, (network, shape) in NETWORKS.items():
        network.set_train(name == "trained")
        ms.export(network, ms.Tensor(shape=shape, dtype=ms.float32), file_name=str(folder / name), file_format="MINDIR")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
