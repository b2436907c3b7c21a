"""Networks for test_kernel_rules.py: `-m tests.worker.kernel_networks FOLDER` writes FOLDER/name.mindir for each."""

import sys
import zlib
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import mint, nn, ops

OPEN = None


class Behind(nn.Cell):
    """A layer, and what comes behind it; `besides`: the layer's output is needed besides."""

    def __init__(self, layer: Any, last: Any, besides: bool = False) -> None:
        super().__init__()
        self.layer, self.last, self.besides = layer, last, besides

    def construct(self, x: Any) -> Any:
        made = self.layer(x)
        return self.last(made) + made if self.besides else self.last(made)


class Gate(nn.Cell):
    """SiLU, as EfficientNets have it."""

    def construct(self, x: Any) -> Any:
        return x * ops.sigmoid(x)


class Twice(nn.Cell):
    """One layer at two places: they have one weight."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer

    def construct(self, x: Any) -> Any:
        return self.layer(x) + self.layer(x + 1.0)


class Tied(nn.Cell):
    """A weight of three users, of which those that come later in the graph are known first."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = ms.Parameter(ms.ops.ones((40, 12), ms.float32), name="weight")
        self.layer, self.product = nn.Dense(12, 12), ops.MatMul(transpose_b=True)

    def construct(self, x: Any) -> Any:
        rows = ops.gather(self.weight, (ops.abs(x) * 10.0).astype(ms.int32), 0)
        first = ops.dense(rows, self.weight)
        return first, self.product(ops.relu(self.layer(rows.reshape(-1, 12))), self.weight)


class Norm(nn.Cell):
    """A LayerNorm; `number`: which of its outputs."""

    def __init__(self, shape: tuple[int, ...], axis: int, number: int = 0) -> None:
        super().__init__()
        self.norm = ops.LayerNorm(axis, axis, 1e-5)
        self.scale = ms.Parameter(ms.ops.ones(shape, ms.float32), name="scale")
        self.shift = ms.Parameter(ms.ops.ones(shape, ms.float32), name="shift")
        self.number = number

    def construct(self, x: Any) -> Any:
        return self.norm(x * 3.0, self.scale, self.shift)[self.number]


class Plain(nn.Cell):
    """A product with a weight that is not transposed."""

    def __init__(self, of_input: bool = False) -> None:
        super().__init__()
        self.weight = ms.Parameter(ms.ops.zeros((12, 70), ms.float32), name="weight")
        self.product = ops.MatMul(transpose_a=of_input)

    def construct(self, x: Any) -> Any:
        return self.product(x, self.weight)


class Axes(nn.Cell):
    """Axes in another order."""

    def __init__(self, *order: int) -> None:
        super().__init__()
        self.order = order

    def construct(self, x: Any) -> Any:
        return ops.transpose(x, self.order)


class Products(nn.Cell):
    """Each matrix by another one that is made of it."""

    def __init__(self, first_turned: bool = False, second_turned: bool = False) -> None:
        super().__init__()
        self.product = ops.BatchMatMul(transpose_a=first_turned, transpose_b=second_turned)

    def construct(self, x: Any) -> Any:
        return self.product(x, x * 0.5)


class Attention(nn.Cell):
    """That of two heads over 9 words of 16 numbers, with what a transformer has behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = nn.Dense(16, 16), nn.Dense(16, 16), nn.Dense(16, 16)
        self.scores, self.mixed = ops.BatchMatMul(transpose_b=True), ops.BatchMatMul()
        self.norm, self.wide, self.narrow = nn.LayerNorm((16,)), nn.Dense(16, 64), nn.Dense(64, 16)

    def heads(self, x: Any) -> Any:
        return ops.transpose(ops.reshape(x, (-1, 9, 2, 8)), (0, 2, 1, 3))

    def construct(self, x: Any) -> Any:
        query, key, value = self.heads(self.query(x)), self.heads(self.key(x)), self.heads(self.value(x))
        mixed = self.mixed(ops.softmax(self.scores(query, key) * 0.35), value)
        x = self.norm(x + ops.reshape(ops.transpose(mixed, (0, 2, 1, 3)), (-1, 9, 16)))
        return x + self.narrow(ops.GeLU()(self.wide(x)))


class Softmax(nn.Cell):
    """Over one axis."""

    def __init__(self, axis: int) -> None:
        super().__init__()
        self.softmax = ops.Softmax(axis)

    def construct(self, x: Any) -> Any:
        return self.softmax(x * 4.0)


class Sum(nn.Cell):
    """Of the input and what is made of it; `of_row`: of a row of that."""

    def __init__(self, last: Any = None, of_row: bool = False) -> None:
        super().__init__()
        self.last, self.of_row = last, of_row

    def construct(self, x: Any) -> Any:
        other = x * 0.5
        made = x + (other[:, :1] if self.of_row else other)
        return made if self.last is None else self.last(made)


class OfOnes(nn.Cell):
    """The sum of each column, as a product."""

    def __init__(self) -> None:
        super().__init__()
        self.product = ops.BatchMatMul()

    def construct(self, x: Any) -> Any:
        return self.product(ops.ones_like(x[:, :1, :9]), x)


class OfTwo(nn.Cell):
    """What becomes of two inputs."""

    def __init__(self, operator: Any) -> None:
        super().__init__()
        self.operator = operator

    def construct(self, x: Any, other: Any) -> Any:
        return self.operator(x, other)


class Gelu(nn.Cell):
    """By its operator."""

    def construct(self, x: Any) -> Any:
        return ops.GeLU()(x * 3.0)


class Means(nn.Cell):
    """The mean over these axes, or the sum."""

    def __init__(self, axes: Any, keep: bool = False, of_sum: bool = False) -> None:
        super().__init__()
        self.axes, self.keep, self.of_sum = axes, keep, of_sum

    def construct(self, x: Any) -> Any:
        return x.sum(self.axes, keepdims=self.keep) if self.of_sum else x.mean(self.axes, self.keep)


class Formula(nn.Cell):
    """What one function makes of the input."""

    def __init__(self, formula: Any) -> None:
        super().__init__()
        self.formula = formula

    def construct(self, x: Any) -> Any:
        return self.formula(x)


def plus_half(x: Any) -> Any:
    return x + 0.5


def from_one(x: Any) -> Any:
    return 1.0 - x


def divided(x: Any) -> Any:
    return x / (x * x + 1.5)


def smaller(x: Any) -> Any:
    return ops.minimum(x, x * x)


def of_few(x: Any) -> Any:
    return ops.tanh(x * 2.0 + 1.0)


def halves(x: Any) -> Any:
    one, other = ops.split(x, 32, 1)
    return one * other


def halves_of_few(x: Any) -> Any:
    one, other = ops.chunk(x, 2, 2)
    return one * other


def one_of_three(x: Any) -> Any:
    return ops.split(x, 1, 1)[1]


def with_double(x: Any) -> Any:
    return ops.concat((x, x * 2.0), 1)


def with_many(x: Any) -> Any:
    return ops.concat((x, x, x, x, x, x, x, x, x), 1)


def inner(x: Any) -> Any:
    return x[:, 1:-1, ::2]


def last(x: Any) -> Any:
    return x[:, -1]


def backward(x: Any) -> Any:
    return x[:, ::-1]


def first_ones(x: Any) -> Any:
    return x[1:]


def root_mean_square(x: Any) -> Any:
    return x * ops.rsqrt(ops.square(x).mean(-1, keep_dims=True) + 1e-6)


def sines(x: Any) -> Any:
    return ops.sin(x * 30.0) + ops.cos(x)


def roots(x: Any) -> Any:
    return ops.exp(-ops.sqrt(ops.abs(x)))


def roots_of_whole_numbers(x: Any) -> Any:
    """Which are float32."""
    whole = ops.abs(x * 3.0) + 1.0
    return ops.sqrt(whole.astype(ms.uint8)) - ops.sqrt(whole.astype(ms.int32)) + ops.sqrt(x > 0.0)


def by_itself(x: Any) -> Any:
    return ops.matmul(x, ops.swapaxes(x, -1, -2))


def largest(x: Any) -> Any:
    return ops.amax(x, (1, 2)) - x.max(1).min(1)


def smallest_kept(x: Any) -> Any:
    return x - ops.amin(x, 2, True)


def largest_and_where(x: Any) -> Any:
    places, numbers = ops.ArgMaxWithValue(1)(x)
    return numbers + places


def filled(x: Any) -> Any:
    return ops.masked_fill(x, x > 0.5, -1e9) + 1.0


def kept(x: Any) -> Any:
    return ops.exp(ops.where(x[:, :1] > 0.5, x, float("-inf")))


def filled_by_either_side(x: Any) -> Any:
    return ops.where(x[:, :, :1] > 0.5, -2, x) * x


def filled_with_another_value(x: Any) -> Any:
    return ops.where(x > 0.5, x, x * x)


class Later(nn.Cell):
    """Attention of each word to itself and those before it, twice with one mask."""

    def __init__(self) -> None:
        super().__init__()
        self.later = ms.Tensor(np.triu(np.ones((1, 64, 64)), 1) > 0)

    def construct(self, x: Any) -> Any:
        for _ in range(2):
            scores = ops.matmul(x, ops.swapaxes(x, 1, 2)) * 0.2
            x = ops.matmul(ops.softmax(scores.masked_fill(self.later, float("-inf")), -1), x)
        return x


def thrice(x: Any) -> Any:
    return ops.stack((x, x, x), 1)


def newer_sum(x: Any) -> Any:
    return mint.sub(mint.add(x, x * x), x)


def newer_sum_of_double(x: Any) -> Any:
    return mint.add(x, x, alpha=2)


class Weighed(nn.Cell):
    """By a matrix; `turned`: that is a transposed parameter. `bias`: what is added, one number for each column."""

    def __init__(self, turned: bool = False, bias: bool = False) -> None:
        super().__init__()
        self.weight = ms.Parameter(ms.ops.ones((5, 16) if turned else (16, 5), ms.float32), name="weight")
        self.bias = ms.Parameter(ms.ops.ones(5, ms.float32), name="bias") if bias else None
        self.turned = turned

    def construct(self, x: Any) -> Any:
        made = x @ (self.weight.T if self.turned else self.weight)
        return made if self.bias is None else made + self.bias


class InOne(nn.Cell):
    """Attention whose query, key and value are made by one layer, of a first word that is fixed, and the others."""

    def __init__(self) -> None:
        super().__init__()
        self.first = ms.Parameter(ms.ops.ones((1, 1, 16), ms.float32), name="first")
        self.all, self.out, self.norm = nn.Dense(16, 48), nn.Dense(16, 16), nn.LayerNorm((16,))

    def construct(self, x: Any) -> Any:
        x = ops.concat((ops.broadcast_to(self.first, (3, 1, 16)), x), 1)
        query, key, value = ops.reshape(self.all(self.norm(x)), (-1, 10, 3, 2, 8)).transpose(2, 0, 3, 1, 4)
        mixed = ops.softmax(query @ key.swapaxes(-1, -2) / 2.8, -1) @ value
        return self.out(ops.reshape(mixed.transpose(0, 2, 1, 3), (-1, 10, 16)))[:, 0]


def in_pairs(x: Any) -> Any:
    return ops.softmax(ops.reshape(x, (2, -1)), -1)


def spread_by_hand(x: Any) -> Any:
    ones = ops.ones((1, 1, 1, 2, 1, 2), ms.float32)
    return ops.reshape(ops.reshape(x, (-1, 8, 20, 1, 21, 1)) * ones, (-1, 8, 40, 42))


def repeated(x: Any) -> Any:
    return ops.broadcast_to(x[:, :1], (-1, 9, 257))


class Scaled(nn.Cell):
    """A norm whose scale is made of another input, as long as there may be instances."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = ops.LayerNorm(-1, -1, 1e-5)
        self.shift = ms.Parameter(ms.ops.ones(16, ms.float32), name="shift")

    def construct(self, x: Any) -> Any:
        return self.norm(x, ops.atan(x[0, 0]), self.shift)[0]


class ToItself(nn.Cell):
    """Attention of MindSpore's own."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)

    def construct(self, x: Any) -> Any:
        return self.attention(x, x, x, need_weights=False)[0]


class Excited(nn.Cell):
    """Channels weighed by what a small network makes of their means: Hu et al. 2017, figure 3."""

    def __init__(self) -> None:
        super().__init__()
        self.narrow, self.wide = nn.Dense(8, 2, activation="relu"), nn.Dense(2, 8)

    def construct(self, x: Any) -> Any:
        weights = ops.sigmoid(self.wide(self.narrow(x.mean((2, 3)))))
        return x * ops.reshape(weights, (-1, 8, 1, 1))


class Recurrent(nn.Cell):
    """A layer over sequences of 16 numbers. first: 0, or what y and the cells are before all moments.

    made: y, its last ones, an LSTM's last cells, by number.
    """

    def __init__(self, kind: Any = nn.LSTM, made: tuple[int, ...] = (0,), first: float = 0.0, **given: Any) -> None:
        super().__init__()
        self.layer = kind(16, 20, **given)
        self.is_lstm, self.made, self.first = kind is nn.LSTM, made, first

    def construct(self, x: Any) -> Any:
        state: Any = None
        if self.first:
            state = ops.ones_like(x[:1]).mean(-1, True) * ops.ones((1, 1, 20), ms.float32) * self.first
            state = (state, state * 0.5) if self.is_lstm else state
        y, last = self.layer(x, state)
        results = (y, *last) if self.is_lstm else (y, last)
        return tuple(results[number] for number in self.made)


class Backwards(nn.Cell):
    """A layer over moments from the last to the first, whose results stay in that order."""

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.layer = kind(16, 20)

    def construct(self, x: Any) -> Any:
        return self.layer(ops.flip(x, (0,)))[0]


class ByHand(nn.Cell):
    """A GRU's cell, called for each moment. moments: in this order. besides: whether another one's result is needed."""

    def __init__(self, moments: tuple[int, ...] = (0, 1, 2, 3), besides: bool = False) -> None:
        super().__init__()
        self.cell, self.moments, self.besides = nn.GRUCell(16, 20), moments, besides

    def construct(self, x: Any) -> Any:
        y, results = ops.zeros((3, 20), ms.float32), []
        for moment in self.moments:
            y = self.cell(ops.squeeze(x[moment : moment + 1], 0), y)
            results.append(y)
        return results[1] + y if self.besides else y


class Branches(nn.Cell):
    """Two results of one layer; `besides`: and the layer's own."""

    def __init__(self, besides: bool = False) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Dense(12, 16), nn.Dense(16, 16), nn.Dense(16, 5)
        self.besides = besides

    def construct(self, x: Any) -> Any:
        made = self.first(x)
        both = self.second(made), self.third(made)
        return (*both, made) if self.besides else both


def square_and_root(x: Any) -> Any:
    square = x * x
    return square, ops.sqrt(square)


class Deep(nn.Cell):
    """Many layers one behind the other, each with its sum: more than one chain may have."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.layers = nn.CellList([nn.Dense(6, 6) for _ in range(count)])

    def construct(self, x: Any) -> Any:
        for layer in self.layers:
            x = ops.tanh(layer(x)) + x * 0.5
        return x


class BetweenOthers(nn.Cell):
    """Layers, and between them what is left to MindSpore."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Dense(12, 16), nn.Dense(16, 5)

    def construct(self, x: Any) -> Any:
        return self.second(ops.atan(self.first(x)))


def convolution(ins: int = 3, outs: int = 6, size: Any = 3, **given: Any) -> Any:
    """By these numbers of channels."""
    return nn.Conv2d(ins, outs, size, **given)


def transposed(size: Any, stride: Any, ins: int = 3, outs: int = 6, **given: Any) -> Any:
    """A transposed one by these numbers of channels."""
    return nn.Conv2dTranspose(ins, outs, size, stride, **given)


IMAGES, FEW, WORDS, MANY = (OPEN, 3, 12, 13), (OPEN, 3, 5, 6), (OPEN, 9, 16), (OPEN, 8, 257)
# name -> network, shape of its input
NETWORKS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "convolution": (convolution(), IMAGES),
    "convolution_of_bias": (convolution(has_bias=True), (2, 3, 12, 13)),
    "convolution_relu": (Behind(convolution(outs=9), nn.ReLU()), IMAGES),
    "convolution_of_bias_relu6": (Behind(convolution(has_bias=True), nn.ReLU6()), IMAGES),
    "convolution_of_norm_relu": (nn.SequentialCell(convolution(), nn.BatchNorm2d(6), nn.ReLU()), IMAGES),
    "convolution_sigmoid": (Behind(convolution(has_bias=True), nn.Sigmoid()), IMAGES),
    "convolution_besides": (Behind(convolution(has_bias=True), nn.ReLU(), besides=True), IMAGES),
    "convolution_of_points": (convolution(size=1, outs=17), IMAGES),
    "convolution_of_halves_of_it": (convolution(stride=2, pad_mode="same"), IMAGES),
    "convolution_valid": (convolution(size=(5, 2), stride=(1, 3), pad_mode="valid"), IMAGES),
    "convolution_padded": (convolution(pad_mode="pad", padding=(1, 2, 0, 1)), IMAGES),
    "convolution_dilated": (convolution(dilation=2, pad_mode="same"), IMAGES),
    "convolution_of_many_channels": (convolution(20, 20, group=20), (OPEN, 20, 12, 13)),
    "gated": (Behind(convolution(outs=20), Gate()), IMAGES),
    "convolution_of_channels": (convolution(outs=3, group=3, has_bias=True), IMAGES),
    "convolution_of_each_channel_two": (convolution(outs=6, group=3), IMAGES),
    "convolution_of_groups": (convolution(ins=4, outs=18, group=2), (OPEN, 4, 7, 7)),
    "convolution_of_a_sequence": (
        nn.SequentialCell(nn.Conv1d(9, 12, 3, has_bias=True), nn.ReLU6(), nn.MaxPool1d(2, 2)),
        WORDS,
    ),
    "convolution_twice": (Twice(convolution()), IMAGES),
    "convolution_of_open_sizes": (convolution(), (OPEN, 3, OPEN, 13)),
    "convolution_as_wide": (Behind(convolution(size=(3, 13), pad_mode="valid", has_bias=True), nn.ReLU()), IMAGES),
    "convolution_as_wide_by_steps": (
        convolution(outs=9, size=(3, 13), stride=(2, 1), pad_mode="pad", padding=(1, 2, 0, 0)),
        (2, 3, 12, 13),
    ),
    "convolution_as_wide_in_groups": (convolution(outs=6, group=3, size=(2, 13), pad_mode="valid"), IMAGES),
    "convolution_as_wide_as_one": (convolution(size=(3, 1), pad_mode="valid"), (OPEN, 3, 40, 1)),
    "convolution_of_all": (Behind(convolution(outs=70, size=(12, 13), pad_mode="valid"), nn.ReLU6()), IMAGES),
    "convolution_of_a_pixel": (convolution(20, 9, size=1, has_bias=True), (OPEN, 20, 1, 1)),
    "convolution_of_small_images": (convolution(32, 32), (OPEN, 32, 11, 12)),
    "convolution_of_many_by_steps": (convolution(32, 32, stride=2), (OPEN, 32, 24, 24)),
    "winograd_of_bias_relu": (Behind(convolution(32, 40, has_bias=True), nn.ReLU()), (OPEN, 32, 14, 13)),
    "winograd_padded": (convolution(32, 33, pad_mode="pad", padding=(1, 2, 0, 1)), (OPEN, 32, 12, 13)),
    "winograd_valid": (convolution(32, 32, pad_mode="valid"), (OPEN, 32, 14, 15)),
    "winograd_of_larger_tiles": (convolution(32, 40, has_bias=True), (OPEN, 32, 20, 21)),
    "winograd_of_norm": (nn.SequentialCell(convolution(32, 32), nn.BatchNorm2d(32)), (3, 32, 12, 12)),
    "transposed": (transposed(2, 2), IMAGES),
    "transposed_of_bias_relu6": (Behind(transposed(2, 2, has_bias=True), nn.ReLU6()), (2, 3, 12, 13)),
    "transposed_besides": (Behind(transposed(2, 2, has_bias=True), nn.ReLU(), besides=True), IMAGES),
    "transposed_of_neighbours": (transposed(4, 2, pad_mode="pad", padding=1), IMAGES),
    "transposed_of_norm_relu": (
        nn.SequentialCell(transposed(4, 2, pad_mode="pad", padding=1), nn.BatchNorm2d(6), nn.ReLU()),
        IMAGES,
    ),
    "transposed_same": (transposed(3, 2, has_bias=True), IMAGES),
    "transposed_of_one_channel": (transposed(3, 2, 1, 1, has_bias=True), (OPEN, 1, 12, 13)),
    "transposed_valid": (transposed(3, 2, pad_mode="valid"), IMAGES),
    "transposed_of_many_phases": (transposed(5, 3), IMAGES),
    "transposed_of_as_many_as_may_be": (transposed(5, 4, has_bias=True), FEW),
    "transposed_of_more": (transposed(6, 5), FEW),
    "transposed_of_phases_without_taps": (transposed(2, 3, pad_mode="valid"), IMAGES),
    "transposed_padded": (transposed((5, 4), (2, 3), pad_mode="pad", padding=(1, 2, 0, 3)), IMAGES),
    "transposed_rows": (transposed((4, 1), (2, 1), outs=9), IMAGES),
    "transposed_by_one": (transposed(3, 1, has_bias=True), IMAGES),
    "transposed_by_winograd": (transposed(5, 2, 32, 8, pad_mode="pad", padding=2), (OPEN, 32, 12, 13)),
    "transposed_both_ways": (nn.SequentialCell(transposed(2, 2), transposed(4, 2, 6, 3)), IMAGES),
    "transposed_twice": (Twice(transposed(2, 2)), FEW),
    "transposed_of_groups": (transposed(2, 2, group=3), IMAGES),
    "transposed_dilated": (transposed(3, 2, dilation=2), IMAGES),
    "transposed_of_open_sizes": (transposed(2, 2), (OPEN, 3, OPEN, 13)),
    "transposed_within": (transposed(1, 1, pad_mode="pad", padding=1), IMAGES),
    "pooling_of_convolution": (
        nn.SequentialCell(convolution(), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2, 2)),
        IMAGES,
    ),
    "pooling": (nn.MaxPool2d(2, 2), IMAGES),
    "pooling_same": (nn.MaxPool2d(3, 2, pad_mode="same"), IMAGES),
    "pooling_of_open_sizes": (nn.MaxPool2d(2, 2), (OPEN, 3, 12, OPEN)),
    "dense": (nn.Dense(12, 70), (OPEN, 12)),
    "dense_relu": (nn.Dense(12, 5, activation="relu"), (4, 12)),
    "dense_without_bias": (nn.Dense(12, 5, has_bias=False), (OPEN, 12)),
    "dense_plain": (Plain(), (OPEN, 12)),
    "dense_of_turned_input": (Plain(of_input=True), (12, 3)),
    "dense_of_four_axes": (nn.Dense(17, 64, has_bias=False), (3, 4, 16, 17)),
    "dense_twice": (Twice(nn.Dense(12, 5)), (OPEN, 12)),
    "norm": (Norm((16,), -1), WORDS),
    "norm_of_the_second_axis": (Norm((16,), 1), (OPEN, 16)),
    "norm_of_two_axes": (Norm((9, 16), 1), WORDS),
    "norm_mean": (Norm((16,), -1, number=1), WORDS),
    "softmax": (Softmax(-1), WORDS),
    "softmax_of_the_third_axis": (Softmax(2), (2, 3, 5)),
    "softmax_of_another": (Softmax(1), WORDS),
    "softmax_of_instances": (Softmax(0), (5, 9, 16)),
    "elu": (nn.ELU(), MANY),
    "sines": (nn.SequentialCell(nn.Dense(12, 7), Formula(sines), nn.Dense(7, 5)), (OPEN, 12)),
    "gelu": (Gelu(), WORDS),
    "relu": (nn.ReLU(), MANY),
    "relu6": (nn.ReLU6(), MANY),
    "sigmoid": (nn.Sigmoid(), MANY),
    "silu": (nn.SiLU(), MANY),
    "hard_sigmoid": (nn.HSigmoid(), MANY),
    "hard_swish": (nn.HSwish(), MANY),
    "relu_of_few": (nn.ReLU(), WORDS),
    "sum": (Sum(), MANY),
    "sum_relu": (Sum(nn.ReLU()), MANY),
    "sum_relu6": (Sum(nn.ReLU6()), (2, 8, 257)),
    "sum_of_few": (Sum(), WORDS),
    "sum_of_row": (Sum(of_row=True), MANY),
    "sum_of_two": (OfTwo(ops.Add()), MANY),
    "products_of_two": (OfTwo(ops.matmul), (OPEN, 3, 16, 16)),
    "sum_of_number": (Formula(plus_half), MANY),
    "difference": (Formula(from_one), MANY),
    "quotient": (Formula(divided), MANY),
    "leaky": (nn.LeakyReLU(0.1), MANY),
    "smaller": (Formula(smaller), MANY),
    "tanh": (nn.Tanh(), MANY),
    "gelu_exact": (nn.GELU(approximate=False), MANY),
    "formula_of_few": (Formula(of_few), WORDS),
    "mean": (Means((2, 3)), (OPEN, 8, 20, 21)),
    "mean_kept": (Means((2, 3), keep=True), (OPEN, 8, 20, 21)),
    "mean_of_words": (Means(1), (OPEN, 64, 33)),
    "sum_of_words": (Means(1, of_sum=True), (OPEN, 64, 33)),
    "mean_of_few": (Means(1), WORDS),
    "mean_of_apart": (Means((1, 3)), (OPEN, 8, 20, 21)),
    "mean_of_open_sizes": (Means((2, 3)), (OPEN, 8, 200, OPEN)),
    "largest": (Formula(largest), (OPEN, 64, 33)),
    "smallest_kept": (Formula(smallest_kept), (OPEN, 8, 257)),
    "largest_and_where": (Formula(largest_and_where), (OPEN, 64, 33)),
    "largest_of_few": (Formula(largest), WORDS),
    "thrice": (Formula(thrice), (6, 1025)),
    "filled": (Formula(filled), (OPEN, 64, 33)),
    "filled_of_few": (Formula(filled), WORDS),
    "filled_by_either_side": (Formula(filled_by_either_side), (OPEN, 64, 33)),
    "filled_with_another_value": (Formula(filled_with_another_value), (OPEN, 64, 33)),
    "kept": (Formula(kept), (OPEN, 64, 33)),
    "later": (Later(), (OPEN, 64, 16)),
    "averages": (nn.AvgPool2d(3, 2), IMAGES),
    "averages_same_by_threes": (nn.AvgPool2d(3, 3, pad_mode="same"), (OPEN, 3, 12, 15)),
    "averages_same_of_pairs": (nn.AvgPool2d((2, 4), (1, 3), pad_mode="same"), IMAGES),
    "averages_of_all": (nn.AvgPool2d((12, 13)), IMAGES),
    "pooling_of_all": (nn.MaxPool2d((12, 13)), IMAGES),
    "averages_same": (nn.AvgPool2d(3, 2, pad_mode="same"), IMAGES),
    "average_of_all": (nn.AdaptiveAvgPool2d(1), (OPEN, 8, 20, 21)),
    "average_of_parts": (nn.AdaptiveAvgPool2d((5, 7)), (OPEN, 8, 20, 21)),
    "excited": (Excited(), (OPEN, 8, 20, 21)),
    "lstm": (Recurrent(), (8, OPEN, 16)),
    "lstm_of_batches": (Recurrent(batch_first=True, num_layers=2), WORDS),
    "lstm_of_few_moments": (Recurrent(has_bias=False), (3, 5, 16)),
    "lstm_of_both_directions": (Recurrent(bidirectional=True), (50, OPEN, 16)),
    "lstm_last_of_both": (Recurrent(made=(1, 2), bidirectional=True), (8, 3, 16)),
    "lstm_all_of_it": (Recurrent(made=(0, 1, 2)), (8, OPEN, 16)),
    "lstm_from_another_state": (Recurrent(made=(0, 2), first=0.3), (8, OPEN, 16)),
    "lstm_of_open_sizes": (Recurrent(), (OPEN, OPEN, 16)),
    "lstm_from_the_end": (Backwards(nn.LSTM), (8, 3, 16)),
    "lstm_last_of_open_sizes": (Recurrent(made=(1,)), (OPEN, 3, 16)),
    "lstm_twice": (Twice(Backwards(nn.LSTM)), (8, 3, 16)),
    "gru": (Recurrent(nn.GRU), (8, OPEN, 16)),
    "gru_of_batches": (Recurrent(nn.GRU, batch_first=True, num_layers=2), WORDS),
    "gru_without_bias": (Recurrent(nn.GRU, has_bias=False), (3, 5, 16)),
    "gru_of_both_directions": (Recurrent(nn.GRU, (0, 1), bidirectional=True), (50, OPEN, 16)),
    "gru_last": (Recurrent(nn.GRU, (1,)), (8, 3, 16)),
    "gru_from_another_state": (Recurrent(nn.GRU, first=0.3), (8, OPEN, 16)),
    "gru_from_the_end": (Backwards(nn.GRU), (8, 3, 16)),
    "gru_twice": (Twice(Backwards(nn.GRU)), (8, 3, 16)),
    "gru_by_hand": (ByHand(), (4, 3, 16)),
    "gru_in_another_order": (ByHand((0, 2, 1, 3)), (4, 3, 16)),
    "gru_of_some_moments": (ByHand((0, 1)), (4, 3, 16)),
    "gru_besides": (ByHand(besides=True), (4, 3, 16)),
    "rnn": (Recurrent(nn.RNN), (8, OPEN, 16)),
    "rnn_relu": (Recurrent(nn.RNN, (0, 1), nonlinearity="relu"), (8, OPEN, 16)),
    "rnn_without_bias": (Recurrent(nn.RNN, has_bias=False, batch_first=True), WORDS),
    "branches": (Branches(), (OPEN, 12)),
    "branches_besides": (Branches(besides=True), (OPEN, 12)),
    "square_and_root": (Formula(square_and_root), MANY),
    "deep": (Deep(30), (OPEN, 6)),
    "wide": (Deep(130), (OPEN, 6)),
    "between_others": (BetweenOthers(), (OPEN, 12)),
    "flat": (nn.SequentialCell(nn.Flatten(), nn.Dense(144, 5), nn.Sigmoid()), WORDS),
    "prelu": (nn.PReLU(8, 0.3), (OPEN, 8, 20, 21)),
    "prelu_of_one": (nn.PReLU(1, 0.3), (OPEN, 8, 257)),
    "prelu_of_few": (nn.PReLU(8, 0.3), (OPEN, 8, 5, 6)),
    "prelu_of_small_planes": (nn.PReLU(600, 0.3), (OPEN, 600, 2, 2)),
    "prelu_twice": (Twice(nn.PReLU(21, 0.3)), (OPEN, 21, 20, 21)),
    "prelu_of_rows": (nn.PReLU(2100, 0.3), (OPEN, 2100)),
    "norm_scaled": (Scaled(), WORDS),
    "norm_of_channels": (nn.SequentialCell(nn.BatchNorm2d(8), nn.ReLU()), (OPEN, 8, 20, 21)),
    "norm_of_few_channels": (nn.BatchNorm2d(3), IMAGES),
    "root_mean_square": (nn.SequentialCell(nn.Dense(16, 16), Formula(root_mean_square)), WORDS),
    "roots": (Formula(roots), MANY),
    "roots_of_whole_numbers": (Formula(roots_of_whole_numbers), MANY),
    "tied": (Tied(), (OPEN, 12)),
    "halves": (Formula(halves), (OPEN, 64, 70)),
    "halves_of_few": (Formula(halves_of_few), WORDS),
    "one_of_three": (Formula(one_of_three), (OPEN, 3, 2048)),
    "with_double": (Formula(with_double), MANY),
    "with_many": (Formula(with_many), MANY),
    "inner": (Formula(inner), (OPEN, 70, 80)),
    "last": (nn.SequentialCell(Formula(last), nn.Dense(16, 5)), WORDS),
    "backward": (Formula(backward), (OPEN, 9, 400)),
    "first_ones": (Formula(first_ones), (3, 9, 400)),
    "by_itself_of_few_rows": (Formula(by_itself), (OPEN, 3, 16)),
    "by_itself": (Formula(by_itself), WORDS),
    "weighed": (Weighed(), WORDS),
    "weighed_by_turned": (Weighed(turned=True, bias=True), WORDS),
    "weighed_rows": (Weighed(bias=True), (OPEN, 16)),
    "in_pairs": (Formula(in_pairs), (4, 9, 400)),
    "larger": (Formula(ops.ResizeNearestNeighbor((40, 63))), (OPEN, 8, 20, 21)),
    "spread_by_hand": (Formula(spread_by_hand), (OPEN, 8, 20, 21)),
    "repeated": (Formula(repeated), (OPEN, 2, 257)),
    "attention_in_one": (InOne(), (3, 9, 16)),
    "attention_of_mindspore": (ToItself(), (2, 9, 16)),
    "encoder": (nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), (2, 9, 16)),
    "encoder_norm_first": (nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, norm_first=True), (2, 9, 16)),
    "newer_linear": (mint.nn.Linear(16, 5), WORDS),
    "newer_linear_of_rows": (mint.nn.Linear(16, 5, bias=False), (OPEN, 16)),
    "newer_sum": (Formula(newer_sum), MANY),
    "newer_sum_of_double": (Formula(newer_sum_of_double), MANY),
    "axes": (Axes(0, 2, 1, 3), (OPEN, 5, 6, 7)),
    "axes_of_the_end": (Axes(0, 1, 3, 2), (OPEN, 5, 6, 7)),
    "axes_of_three": (Axes(0, 2, 1), WORDS),
    "products": (Products(), (OPEN, 3, 7, 7)),
    "products_of_few_rows": (OfOnes(), WORDS),
    "products_turned": (Products(second_turned=True), WORDS),
    "products_of_turned": (Products(first_turned=True), WORDS),
    "attention": (Attention(), WORDS),
    "attention_of_one": (Attention(), (9, 16)),
}


def main(folder: Path) -> None:
    """Writes the files, with weights by chance."""
    for name, (network, shape) in NETWORKS.items():
        chance = np.random.default_rng(zlib.crc32(name.encode()))  # whatever other networks there are
        network.set_train(False)
        for parameter in network.get_parameters():
            # What is off a little at a moment should not be off by more at each that follows.
            most = 0.85 if name.startswith(("gru", "rnn")) else 1.0
            numbers = chance.uniform(-most, most, parameter.shape)
            if "variance" in parameter.name:
                numbers = np.abs(numbers) + 0.5
            parameter.set_data(ms.Tensor(numbers, parameter.dtype))
        given = [ms.Tensor(shape=shape, dtype=ms.float32)] * (2 if isinstance(network, OfTwo) else 1)
        ms.export(network, *given, file_name=str(folder / name), file_format="MINDIR")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
