"""Exports the tests' models: run as a program, `exported.py FOLDER` writes one servable per model below FOLDER."""

import sys
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn

KEY = b"0123456789ABCDEF"


class Add(nn.Cell):
    """One output: the sum."""

    def construct(self, a: Any, b: Any) -> Any:
        return a + b


class Both(nn.Cell):
    """Two outputs: sum and difference."""

    def construct(self, a: Any, b: Any) -> Any:
        return a + b, a - b


class Nested(nn.Cell):
    """Outputs within each other, and a size among them."""

    def construct(self, a: Any) -> Any:
        return a + 1.0, (a * 2.0, [a - 1.0, a.shape[0]], {"sum": a.sum(1), "ratio": 0.5})


class Named(nn.Cell):
    """A text besides its output."""

    def construct(self, a: Any) -> Any:
        return a + 1.0, "classes"


class Flat(nn.Cell):
    """Reshapes to the batch size that it was exported with: it runs at no other."""

    def construct(self, a: Any) -> Any:
        return (a.reshape((8,)) + ms.Tensor(np.arange(8, dtype=np.float32))).reshape((4, 2))


class Mean(nn.Cell):
    """Runs at any batch size, but mixes its instances: another size gives other numbers."""

    def construct(self, a: Any) -> Any:
        return a - a.mean(0, True)


class Complex(nn.Cell):
    """A type that no client can be sent."""

    def construct(self, a: Any) -> Any:
        return ms.ops.Complex()(a, a)


class Masked(nn.Cell):
    """As many rows as are not negative."""

    def construct(self, a: Any) -> Any:
        return ms.ops.masked_select(a, a >= 0)


class Itself(nn.Cell):
    """Its input, its weights twice, and something of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = ms.Parameter(np.arange(8, dtype=np.float32), name="weights")

    def construct(self, a: Any) -> Any:
        return a, a + 1.0, self.weights, self.weights


def tensor(shape: tuple[int, ...], dtype: Any) -> Any:
    return ms.Tensor(np.ones(shape, dtype))


def main(folder: Path) -> None:
    models: dict[str, tuple[Any, ...]] = {
        "fixed": (Add(), tensor((2, 2), np.float32), tensor((2, 2), np.float32)),
        "batch": (Add(), tensor((4, 2), np.float32), tensor((4, 2), np.float32)),
        "shared": (Add(), tensor((4, 2), np.float32), tensor((2,), np.float32)),
        "open": (Add(), ms.Tensor(shape=[None, 2], dtype=ms.float32), ms.Tensor(shape=[None, 2], dtype=ms.float32)),
        "ints": (Add(), tensor((2,), np.int32), tensor((2,), np.int32)),
        "nested": (Nested(), ms.Tensor(shape=[None, 2], dtype=ms.float32)),
        "named": (Named(), tensor((3, 2), np.float32)),
        "flat": (Flat(), tensor((4, 2), np.float32)),
        "mean": (Mean(), tensor((4, 2), np.float32)),
        "complex": (Complex(), tensor((4, 2), np.float32)),
        "masked": (Masked(), tensor((4,), np.float32)),
        "itself": (Itself(), tensor((256, 256), np.float32)),
        "both": (Both(), tensor((3, 2), np.float32), tensor((3, 2), np.float32)),
    }
    for name, (cell, *inputs) in models.items():
        version = folder / name / "1"
        version.mkdir(parents=True)
        ms.export(cell, *inputs, file_name=str(version / "model.mindir"), file_format="MINDIR")
    secret = folder / "secret" / "1"
    secret.mkdir(parents=True)
    (cell, *inputs), file = models["fixed"], str(secret / "model.mindir")
    ms.export(cell, *inputs, file_name=file, file_format="MINDIR", enc_key=KEY, enc_mode="AES-GCM")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
