"""Exports the model of this example, a 2x2 addition, to add/1/tensor_add.mindir beside this file."""

from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import nn, ops


class Add(nn.Cell):
    """Adds its two inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.add = ops.Add()

    def construct(self, x1, x2):
        return self.add(x1, x2)


def export(directory: Path) -> Path:
    """Writes tensor_add.mindir into the directory and returns its path."""
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "tensor_add.mindir"
    example = ms.Tensor(np.ones((2, 2), np.float32))
    ms.export(Add(), example, example, file_name=str(file), file_format="MINDIR")
    return file


if __name__ == "__main__":
    print("exported", export(Path(__file__).resolve().parent / "add" / "1"))
