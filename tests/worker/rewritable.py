"""Networks for the tests of rewrites/: run as a program, `rewritable.py FOLDER` writes FOLDER/name.mindir for each."""

import random
import sys
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import mint, nn, ops
from mindspore.ops.auto_generate import ResizeNearestNeighborV2

OPEN = None


class Norm(nn.Cell):
    """A convolution of 3 channels, or a transposed one, and the BatchNorm behind it."""

    def __init__(self, bias: bool = False, group: int = 1, channels: int = 6, kind: Any = nn.Conv2d) -> None:
        super().__init__()
        self.convolution = kind(3, channels, 3, has_bias=bias, group=group)
        self.norm = nn.BatchNorm2d(channels)

    def construct(self, x: Any) -> Any:
        return self.norm(self.convolution(x))


class Beside(Norm):
    """What comes out of the convolution is needed besides."""

    def construct(self, x: Any) -> Any:
        made = self.convolution(x)
        return self.norm(made) + made


class Twice(Norm):
    """One convolution, and one norm, at two places: they have one weight."""

    def construct(self, x: Any) -> Any:
        return self.norm(self.convolution(x)) + self.norm(self.convolution(x + 1.0))


class Reduced(nn.Cell):
    """A mean or sum over these axes."""

    def __init__(self, kind: str, axes: Any, keep: bool = False) -> None:
        super().__init__()
        self.kind, self.axes, self.keep = kind, axes, keep
        self.sum = ops.ReduceSum(keep_dims=keep)

    def construct(self, x: Any) -> Any:
        if self.kind == "mean":
            return x.mean(self.axes, self.keep)
        if self.kind == "ReduceSum":
            return self.sum(x, self.axes)
        return x.sum(self.axes, keepdims=self.keep)


class Pooled(nn.Cell):
    """ReLU, and then the largest of each square; `besides`: the ReLU's output is needed besides."""

    def __init__(self, before: Any, mode: str, besides: bool = False) -> None:
        super().__init__()
        self.before = before
        self.pool = nn.MaxPool2d(3, 2, pad_mode=mode)
        self.besides = besides

    def construct(self, x: Any) -> Any:
        made = self.before(x)
        if self.besides:
            return self.pool(made).mean((2, 3)) + made.mean((2, 3))
        return self.pool(made)


class Gelu(nn.Cell):
    """GeLU between two others."""

    def construct(self, x: Any) -> Any:
        return ops.GeLU()(x - 1.0) * 3.0


class Larger(nn.Cell):
    """An image resized to the nearest neighbour."""

    def __init__(self, size: tuple[int, int], corners: bool = False, old: bool = True) -> None:
        super().__init__()
        self.old, self.size = old, size
        self.resize = ops.ResizeNearestNeighbor(size, corners)
        self.other = ResizeNearestNeighborV2(corners, not corners)

    def construct(self, x: Any) -> Any:
        return self.resize(x) if self.old else self.other(x, self.size)


class Power(nn.Cell):
    """Between two others. No exponent: x to the x."""

    def __init__(self, exponent: float | None) -> None:
        super().__init__()
        self.exponent = exponent

    def construct(self, x: Any) -> Any:
        return ops.pow(x * 3.0, x if self.exponent is None else self.exponent) + 1.0


class Shared(nn.Cell):
    """One layer at two places: they have one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Dense(12, 12)

    def construct(self, x: Any) -> Any:
        return self.dense(self.dense(x))


class Product(nn.Cell):
    """A product with a weight that is not transposed, or with the input itself."""

    def __init__(self, with_itself: bool = False) -> None:
        super().__init__()
        self.weight = ms.Parameter(ms.ops.zeros((12, 5), ms.float32), name="weight")
        self.plain, self.transposed = ops.MatMul(), ops.MatMul(transpose_b=True)
        self.with_itself = with_itself

    def construct(self, x: Any) -> Any:
        return self.transposed(x, x) if self.with_itself else self.plain(x, self.weight)


class Biased(nn.Cell):
    """A product, and what is added: `first`, on its left; `besides`: the product, or the sum, is needed besides."""

    def __init__(self, shape: tuple[int, ...], first: bool = False, besides: str = "") -> None:
        super().__init__()
        self.weight = ms.Parameter(ms.ops.zeros((12, 5), ms.float32), name="weight")
        self.bias = ms.Parameter(ms.ops.zeros(shape, ms.float32), name="bias")
        self.first, self.besides = first, besides
        self.product, self.relu = ops.MatMul(), ops.ReLU()

    def construct(self, x: Any) -> Any:
        product = self.product(x - 0.5, self.weight)
        made = self.bias + product if self.first else product + self.bias
        if self.besides == "sum":
            return self.relu(made) * made
        return made * product if self.besides == "product" else self.relu(made)


class Dice(nn.Cell):
    """Gives other numbers each time."""

    def construct(self, x: Any) -> Any:
        return x.mean((2, 3)) + ops.standard_normal((1, 3))


class Loop(nn.Cell):
    """Control flow: the file has several graphs."""

    def construct(self, x: Any) -> Any:
        while x.sum() < 100.0:
            x = x + x.mean((2, 3), True)
        return x.mean((2, 3))


class Fixed(nn.Cell):
    """Weights that are parts of one parameter, and a bias that is the sum of two; `besides`: used as they are too."""

    def __init__(self, besides: bool = False, parts: int = 2) -> None:
        super().__init__()
        self.weights = ms.Parameter(ms.ops.ones((10, 12), ms.float32), name="weights")
        self.bias = ms.Parameter(ms.ops.ones((1, 5), ms.float32), name="bias")
        self.more = ms.Parameter(ms.ops.ones((5,), ms.float32), name="more")
        self.one = ms.Parameter(ms.ops.ones((1, 1), ms.float32), name="one")
        self.four = ms.Parameter(ms.ops.ones((1, 4), ms.float32), name="four")
        self.besides, self.parts = besides, parts

    def construct(self, x: Any) -> Any:
        one, *_, other = ops.split(self.weights, 10 // self.parts, 0)
        made = ops.MatMul()(x, one.T) * ops.MatMul(False, True)(x, other)
        made = made + (ops.reshape(self.bias, (5,)) + self.more)
        made = made * ops.broadcast_to(ops.concat((self.one, self.four), 1), (1, 5))
        return made + self.weights[:1, :5] if self.besides else made


class OfWeights(nn.Cell):
    """What is made of a weight alone, as outputs: a number without axes, and whole numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = ms.Parameter(ms.ops.ones((5, 5), ms.float32), name="weight")

    def construct(self, x: Any) -> Any:
        weight = self.weight * 10.0
        return x * 2.0, weight.mean((0, 1)), mint.sum(weight, -1, dtype=ms.int32)


def by_chance(seed: int) -> Any:
    """A network of a few layers."""
    chance = random.Random(seed)
    layers: list[Any] = []
    channels = 3
    for _ in range(chance.randint(2, 4)):
        wider = chance.choice([4, 6])
        layers.append(nn.Conv2d(channels, wider, chance.choice([1, 3]), has_bias=chance.random() < 0.5))
        channels = wider
        if chance.random() < 0.7:
            layers.append(nn.BatchNorm2d(channels))
        layers.append(chance.choice([nn.ReLU, nn.ReLU6, nn.GELU, nn.Sigmoid])())
        if chance.random() < 0.5:
            layers.append(nn.MaxPool2d(2, 2, pad_mode=chance.choice(["same", "valid"])))
    layers.append(
        Reduced(chance.choice(["mean", "sum"]), chance.choice([(2, 3), (1, 2, 3), -1]), chance.random() < 0.5)
    )
    return nn.SequentialCell(*layers)


IMAGES = (OPEN, 3, 12, 12)
# name -> network, shape of its input
NETWORKS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "norm": (Norm(), IMAGES),
    "norm_of_bias": (Norm(bias=True), IMAGES),
    "norm_of_groups": (Norm(group=3), (2, 3, 12, 12)),
    "norm_of_transposed": (Norm(kind=nn.Conv2dTranspose), IMAGES),
    "norm_of_transposed_of_bias": (Norm(bias=True, kind=nn.Conv2dTranspose), IMAGES),
    "norm_of_transposed_of_groups": (Norm(group=3, channels=3, kind=nn.Conv2dTranspose), IMAGES),
    "norm_of_rows": (nn.SequentialCell(nn.Dense(12, 7), nn.BatchNorm1d(7), nn.ReLU()), (None, 12)),
    "norms_of_rows": (
        nn.SequentialCell(nn.Dense(12, 7, has_bias=False), nn.BatchNorm1d(7), nn.Dense(7, 5), nn.BatchNorm1d(5)),
        (None, 12),
    ),
    "norm_of_rows_alone": (nn.BatchNorm1d(12), (None, 12)),
    "norm_beside": (Beside(), IMAGES),
    "norm_twice": (Twice(), IMAGES),
    "norm_in_training": (Norm(), (2, 3, 12, 12)),
    "norm_alone": (nn.SequentialCell(nn.BatchNorm2d(3)), IMAGES),
    "mean": (Reduced("mean", (2, 3)), IMAGES),
    "mean_kept": (Reduced("mean", (-1, -2), True), IMAGES),
    "mean_of_one_axis": (Reduced("mean", -1), (4, 3, 12)),
    "sum": (Reduced("sum", (1, 2, 3)), (4, 3, 12, 12)),
    "old_sum": (Reduced("ReduceSum", (2, 3), True), IMAGES),
    "mean_of_words": (Reduced("mean", 1), (OPEN, 64, 80)),
    "mean_of_words_kept": (Reduced("mean", -2, True), (3, 64, 80)),
    "sum_in_between": (Reduced("sum", (1, 2)), (OPEN, 8, 16, 33)),
    "old_sum_in_between": (Reduced("ReduceSum", 2, True), (OPEN, 5, 32, 130)),
    "mean_of_few_in_between": (Reduced("mean", (1, 2)), IMAGES),
    "mean_of_axes_apart": (Reduced("mean", (1, 3)), (OPEN, 16, 16, 32)),
    "mean_of_the_batch": (Reduced("mean", (0, 1, 2, 3), True), (2, 3, 4, 5)),
    "mean_of_a_matrix": (Reduced("mean", 1), (OPEN, 12)),
    "mean_of_open_sizes": (Reduced("mean", (2, 3)), (OPEN, 3, OPEN, 12)),
    "mean_beside_open_sizes": (Reduced("mean", -1), (OPEN, OPEN, 12)),
    "pooled": (Pooled(nn.ReLU(), "valid"), IMAGES),
    "pooled_same": (Pooled(nn.ReLU6(), "same"), IMAGES),
    "pooled_bias": (Pooled(nn.SequentialCell(nn.Conv2d(3, 4, 3, has_bias=True), nn.ReLU()), "same"), IMAGES),
    "pooled_besides": (Pooled(nn.ReLU(), "valid", besides=True), (4, 3, 12, 12)),
    "pooled_sigmoid": (Pooled(nn.Sigmoid(), "valid"), IMAGES),
    "pooled_elu": (Pooled(nn.ELU(), "same"), IMAGES),
    "pooled_softplus": (Pooled(ops.Softplus(), "valid"), IMAGES),
    "larger": (Larger((24, 36)), IMAGES),
    "larger_too": (Larger((36, 12), old=False), (2, 3, 12, 12)),
    "larger_by_half": (Larger((18, 18)), IMAGES),
    "larger_with_corners": (Larger((24, 24), corners=True), IMAGES),
    "smaller": (Larger((6, 6)), IMAGES),
    "square": (Power(2.0), (OPEN, 5)),
    "cube": (Power(3), (OPEN, 5)),
    "root": (Power(0.5), (OPEN, 5)),
    "power_of_a_third": (Power(1 / 3), (OPEN, 5)),
    "power_of_itself": (Power(None), (OPEN, 5)),
    "gelu": (Gelu(), (OPEN, 5)),
    "dense": (nn.SequentialCell(nn.Dense(12, 7), nn.ReLU(), nn.Dense(7, 4, has_bias=False)), (OPEN, 12)),
    "dense_of_one": (nn.SequentialCell(nn.Dense(12, 7), nn.ReLU(), nn.Dense(7, 4)), (1, 12)),
    "dense_twice": (Shared(), (OPEN, 12)),
    "biased": (Biased((5,)), (OPEN, 12)),
    "biased_first": (Biased((5,), first=True), (4, 12)),
    "biased_sum_besides": (Biased((5,), besides="sum"), (OPEN, 12)),
    "biased_product_besides": (Biased((5,), besides="product"), (OPEN, 12)),
    "biased_by_one": (Biased((1,)), (OPEN, 12)),
    "biased_by_rows": (Biased((4, 1)), (4, 12)),
    "product": (Product(), (OPEN, 12)),
    "product_of_two": (Product(with_itself=True), (4, 12)),
    "fixed": (Fixed(), (OPEN, 12)),
    "fixed_besides": (Fixed(besides=True), (OPEN, 12)),
    "of_weights": (OfWeights(), (OPEN, 5)),
    "dice": (Dice(), IMAGES),
    "loop": (Loop(), (4, 3, 2, 2)),
    **{f"chance_{seed}": (by_chance(seed), IMAGES) for seed in range(8)},
}


def main(folder: Path) -> None:
    """Writes the files, with weights by chance."""
    chance = np.random.default_rng(3)
    for name, (network, shape) in NETWORKS.items():
        network.set_train(name == "norm_in_training")
        for parameter in network.get_parameters():
            numbers = chance.uniform(0.2, 1.0, parameter.shape)  # a variance is no negative number
            parameter.set_data(ms.Tensor(numbers, parameter.dtype))
        ms.export(network, ms.Tensor(shape=shape, dtype=ms.float32), file_name=str(folder / name), file_format="MINDIR")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
