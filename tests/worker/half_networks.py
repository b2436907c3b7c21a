"""Networks in half precision, as they come from Ascend, for test_precision.py.

`-m tests.worker.half_networks FOLDER` writes FOLDER/name.mindir for each, and name.npz: `x`, and what becomes of it in
single precision.
"""

import sys
import zlib
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import mint, nn, ops

from tests.worker.open_networks import IMAGES, OPEN, Formula

INSTANCES = 3
WORDS = (OPEN, 12, 32)
HALF, BRAIN = ms.float16, ms.bfloat16


def layers(kind: Any) -> Any:
    """Norms stay in single precision, as mixed precision has them."""
    convolution, dense = nn.Conv2d(3, 8, 3, has_bias=True), nn.Dense(8 * 6 * 6, 5)
    if kind is not None:
        convolution, dense = convolution.to_float(kind), dense.to_float(kind)
    return nn.SequentialCell(convolution, nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2, 2), nn.Flatten(), dense)


def encoder(kind: Any) -> Any:
    whole = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
    return whole if kind is None else whole.to_float(kind)


def of_mint(kind: Any) -> Any:
    convolution, norm = mint.nn.Conv2d(3, 8, 3), mint.nn.BatchNorm2d(8)
    if kind is None:
        convolution, norm = nn.Conv2d(3, 8, 3, pad_mode="valid", has_bias=True), nn.BatchNorm2d(8)
        return nn.SequentialCell(convolution, norm, nn.GELU(False))
    return nn.SequentialCell(convolution.to_float(kind), norm.to_float(kind), mint.nn.GELU().to_float(kind))


class Weights(nn.Cell):
    """Kept in half precision, and x is given so; the second output is single all the way."""

    def __init__(self, kind: Any) -> None:
        super().__init__()
        chance = np.random.default_rng(3)
        self.is_half = kind is not None
        # Numbers that half precision holds.
        numbers = chance.uniform(-0.5, 0.5, (32, 32)).astype(np.float16).astype(np.float32)
        self.weight = ms.Parameter(ms.Tensor(numbers, kind or ms.float32), name="weight")

    def construct(self, x: Any) -> Any:
        made = ops.matmul(x, self.weight)
        return made, ops.cast(x, ms.float32) * 3


def told(_: Any, x: Any) -> Any:
    """Types that operators are told."""
    half = ops.cast(x, HALF)
    return mint.sum(half, -1, dtype=HALF) + mint.zeros_like(half).sum(-1), ops.cast(ops.cast(x * 3, ms.int32), HALF)


def told_in_single(_: Any, x: Any) -> Any:
    return x.sum(-1), ops.cast(ops.cast(x * 3, ms.int32), ms.float32)


class Outputs(nn.Cell):
    """In tuples within each other, from operators that make several, a parameter, and what is given."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = ms.Parameter(ms.Tensor(np.arange(32) / 8, HALF), name="weight")

    def construct(self, x: Any) -> Any:
        made = ops.relu(x)
        several = ops.split(made, 16, -1), ops.topk(x + self.weight, 3)
        return {"made": made, "more": (made, [x * 2.0, made > 0.5])}, several, x, self.weight, 3.0


class Fixed(nn.Cell):
    """Which MindSpore computes when it exports."""

    def construct(self, x: Any) -> Any:
        return ops.relu(x), ops.arange(0, 4, 1, dtype=HALF) * 1.5


class PartsAlone(nn.Cell):
    """One operator makes them all."""

    def construct(self, x: Any) -> Any:
        return ops.split(ops.relu(x), 16, -1)


class Counting(nn.Cell):
    """A parameter is an output, and another one at each call."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = ms.Parameter(ms.Tensor([0.0], HALF), name="calls", requires_grad=False)

    def construct(self, x: Any) -> Any:
        ops.assign_add(self.calls, ms.Tensor([1.0], HALF))
        return ops.relu(x), self.calls


def flat(made: Any) -> list[Any]:
    """The arrays of outputs within each other."""
    if isinstance(made, dict):
        made = list(made.values())
    if isinstance(made, tuple | list):
        return [array for one in made for array in flat(one)]
    return [made.asnumpy() if isinstance(made, ms.Tensor) else np.float32(made)]


def so_many(_: Any, x: Any) -> Any:
    """42 is MindSpore's number of float16, too."""
    return ops.topk(ops.cast(x, HALF), 42)[0]


# name -> network, the same in single precision, shape of x, type of x
NETWORKS: dict[str, tuple[Any, Any, tuple[Any, ...], Any]] = {
    "layers": (layers(HALF), layers(None), (OPEN, 3, 12, 12), ms.float32),
    "encoder": (encoder(HALF), encoder(None), WORDS, ms.float32),
    "of_mint": (of_mint(HALF), of_mint(None), IMAGES, ms.float32),
    "of_mint_in_bfloat16": (of_mint(BRAIN), of_mint(None), IMAGES, ms.float32),
    "dense_in_bfloat16": (nn.Dense(32, 16).to_float(BRAIN), nn.Dense(32, 16), WORDS, ms.float32),
    "weights": (Weights(HALF), Weights(None), (OPEN, 32), HALF),
    "told": (Formula(told), Formula(told_in_single), WORDS, ms.float32),
    "outputs": (outputs := Outputs(), outputs, (OPEN, 32), HALF),
    "fixed": (fixed := Fixed(), fixed, (OPEN, 32), HALF),
    "parts_alone": (parts := PartsAlone(), parts, (OPEN, 32), HALF),
}
OF_THEMSELVES = ("weights", "outputs")  # whose weights are theirs
LEFT: dict[str, tuple[Any, tuple[Any, ...], Any]] = {
    "so_many": (Formula(so_many), (OPEN, 64), ms.float32),
    "counting": (Counting(), (OPEN, 64), HALF),
}


OLDER = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}


def place_and_kind(parameter: Any) -> tuple[str, str]:
    *place, kind = parameter.name.split(".")
    return ".".join(place), OLDER.get(kind, kind)


def same_weights(network: Any, single: Any, chance: np.random.Generator) -> None:
    """For both, whatever their parameters are called. mint's norms also count how often they were trained."""
    both = [[one for one in cell.get_parameters() if one.dtype == ms.float32] for cell in (network, single)]
    for one, other in zip(*[sorted(parameters, key=place_and_kind) for parameters in both], strict=True):
        numbers = chance.uniform(-0.5, 0.5, one.shape)
        numbers = np.abs(numbers) + 0.5 if "var" in one.name else numbers
        for parameter in (one, other):
            parameter.set_data(ms.Tensor(numbers, ms.float32))


def main(folder: Path) -> None:
    for name, (network, single, shape, kind) in NETWORKS.items():
        chance = np.random.default_rng(zlib.crc32(name.encode()))
        for cell in (network, single):
            cell.set_train(False)
        if name not in OF_THEMSELVES:
            same_weights(network, single, chance)
        x = chance.standard_normal([INSTANCES if size is OPEN else size for size in shape]).astype(np.float32)
        if kind == HALF:
            x = x.astype(np.float16)
        made = single(ms.Tensor(x.astype(np.float32)))
        arrays = {f"made{number}": one for number, one in enumerate(flat(made))}
        np.savez(folder / f"{name}.npz", x=x, **arrays)
        ms.export(network, ms.Tensor(shape=shape, dtype=kind), file_name=str(folder / name), file_format="MINDIR")
    for name, (network, shape, kind) in LEFT.items():
        ms.export(network, ms.Tensor(shape=shape, dtype=kind), file_name=str(folder / name), file_format="MINDIR")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
