"""Exports the two models of this example, a 2x2 addition and a 2x2 subtraction, to add_sub/1 beside this file."""

from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import nn


class Add(nn.Cell):
    """Adds its two inputs."""

    def construct(self, x1, x2):
        return x1 + x2


class Sub(nn.Cell):
    """Subtracts its second input from its first."""

    def construct(self, x1, x2):
        return x1 - x2


def export(directory: Path) -> list[Path]:
    """Writes tensor_add.mindir and tensor_sub.mindir into the directory and returns their paths."""
    directory.mkdir(parents=True, exist_ok=True)
    example = ms.Tensor(np.ones((2, 2), np.float32))
    files = []
    for name, cell in (("tensor_add", Add()), ("tensor_sub", Sub())):
        file = directory / f"{name}.mindir"
        ms.export(cell, example, example, file_name=str(file), file_format="MINDIR")
        files.append(file)
    return files


if __name__ == "__main__":
    print("exported", *export(Path(__file__).resolve().parent / "add_sub" / "1"))
