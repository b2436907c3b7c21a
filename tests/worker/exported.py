"""Exports the tests' models: run as a program, `exported.py FOLDER` writes one servable per model below FOLDER."""

import sys
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn


class Add(nn.Cell):
    """One output: the sum."""

    def construct(self, a: Any, b: Any) -> Any:
        return a + b


class Both(nn.Cell):
    """Two outputs: sum and difference."""

    def construct(self, a: Any, b: Any) -> Any:
        return a + b, a - b


def tensor(shape: tuple[int, ...], dtype: Any) -> Any:
    return ms.Tensor(np.ones(shape, dtype))


def main(folder: Path) -> None:
    models: dict[str, tuple[Any, ...]] = {
        "fixed": (Add(), tensor((2, 2), np.float32), tensor((2, 2), np.float32)),
        "batch": (Add(), tensor((4, 2), np.float32), tensor((4, 2), np.float32)),
        "shared": (Add(), tensor((4, 2), np.float32), tensor((2,), np.float32)),
        "open": (Add(), ms.Tensor(shape=[None, 2], dtype=ms.float32), ms.Tensor(shape=[None, 2], dtype=ms.float32)),
        "ints": (Add(), tensor((2,), np.int32), tensor((2,), np.int32)),
        "both": (Both(), tensor((3, 2), np.float32), tensor((3, 2), np.float32)),
    }
    for name, (cell, *inputs) in models.items():
        version = folder / name / "1"
        version.mkdir(parents=True)
        ms.export(cell, *inputs, file_name=str(version / "model.mindir"), file_format="MINDIR")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
