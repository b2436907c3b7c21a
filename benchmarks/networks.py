"""The networks of the benchmarks' models: for either side's Python and MindSpore, see export_models.py."""

from __future__ import annotations  # for 3.7

import math
from typing import Any

from mindspore import nn, ops


class Add(nn.Cell):
    """The sum of two tensors."""

    def construct(self, x1: Any, x2: Any) -> Any:
        return x1 + x2


class Neighbours(nn.Cell):
    """Of eight tensors the sums of each and the next."""

    def construct(self, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, h: Any) -> Any:
        return a + b, b + c, c + d, d + e, e + f, f + g, g + h, h + a


class Image(nn.Cell):
    """The mean of each channel, then a Dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Dense(3, 10)

    def construct(self, x: Any) -> Any:
        return self.dense(x.mean((2, 3)))


class Words(nn.Cell):
    """The mean of what a table says of each word, then a Dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(1000, 64)
        self.dense = nn.Dense(64, 10)

    def construct(self, words: Any) -> Any:
        return self.dense(self.table(words).mean(1))


class EncoderLayer(nn.Cell):
    """Attention over `words` of `width` numbers, then a layer of four times the width, each added to what came in."""

    def __init__(self, words: int, width: int, heads: int) -> None:
        super().__init__()
        self.split = (-1, words, heads, width // heads)
        self.joined = (-1, words, width)
        self.scale = 1 / math.sqrt(width // heads)
        self.query, self.key, self.value = nn.Dense(width, width), nn.Dense(width, width), nn.Dense(width, width)
        self.out, self.wider, self.back = nn.Dense(width, width), nn.Dense(width, 4 * width), nn.Dense(4 * width, width)
        self.norm, self.norm_after = nn.LayerNorm((width,)), nn.LayerNorm((width,))
        self.softmax, self.relu = nn.Softmax(-1), nn.ReLU()
        self.scores, self.weighed = ops.BatchMatMul(transpose_b=True), ops.BatchMatMul()

    def construct(self, x: Any) -> Any:
        query = self.query(x).reshape(self.split).transpose((0, 2, 1, 3))
        key = self.key(x).reshape(self.split).transpose((0, 2, 1, 3))
        value = self.value(x).reshape(self.split).transpose((0, 2, 1, 3))
        weights = self.softmax(self.scores(query, key) * self.scale)
        seen = self.weighed(weights, value).transpose((0, 2, 1, 3)).reshape(self.joined)
        x = self.norm(x + self.out(seen))
        return self.norm_after(x + self.back(self.relu(self.wider(x))))


def mlp() -> Any:
    return nn.SequentialCell(nn.Dense(784, 512), nn.ReLU(), nn.Dense(512, 256), nn.ReLU(), nn.Dense(256, 10))


def lenet() -> Any:
    return nn.SequentialCell(
        nn.Conv2d(1, 6, 5, pad_mode="valid"),
        nn.ReLU(),
        nn.MaxPool2d(2, 2),
        nn.Conv2d(6, 16, 5, pad_mode="valid"),
        nn.ReLU(),
        nn.MaxPool2d(2, 2),
        nn.Flatten(),
        nn.Dense(400, 120),
        nn.ReLU(),
        nn.Dense(120, 84),
        nn.ReLU(),
        nn.Dense(84, 10),
    )


def encoder() -> Any:
    return nn.SequentialCell(EncoderLayer(64, 128, 4), EncoderLayer(64, 128, 4))


def mobile() -> Any:
    """The first layers of MobileNet."""
    layers = [nn.Conv2d(3, 16, 3, 2, pad_mode="pad", padding=1), nn.BatchNorm2d(16), nn.ReLU6()]
    for channels, wider, stride in ((16, 32, 1), (32, 64, 2), (64, 64, 1), (64, 128, 2)):
        layers += [
            nn.Conv2d(channels, channels, 3, stride, pad_mode="pad", padding=1, group=channels),
            nn.BatchNorm2d(channels),
            nn.ReLU6(),
            nn.Conv2d(channels, wider, 1),
            nn.BatchNorm2d(wider),
            nn.ReLU6(),
        ]
    return nn.SequentialCell(*layers, nn.AvgPool2d(12), nn.Flatten(), nn.Dense(128, 10))


class Residual(nn.Cell):
    """Two convolutions, whose result is added to what came in."""

    def __init__(self, channels: int, wider: int, stride: int) -> None:
        super().__init__()
        self.body = nn.SequentialCell(
            nn.Conv2d(channels, wider, 3, stride, pad_mode="pad", padding=1),
            nn.BatchNorm2d(wider),
            nn.ReLU(),
            nn.Conv2d(wider, wider, 3, pad_mode="pad", padding=1),
            nn.BatchNorm2d(wider),
        )
        same = [nn.Conv2d(channels, wider, 1, stride), nn.BatchNorm2d(wider)] if channels != wider else []
        self.way_past, self.relu = nn.SequentialCell(*same), nn.ReLU()

    def construct(self, x: Any) -> Any:
        return self.relu(self.body(x) + self.way_past(x))


def resnet() -> Any:
    """ResNet-18."""
    layers = [nn.Conv2d(3, 64, 7, 2, pad_mode="pad", padding=3), nn.BatchNorm2d(64), nn.ReLU()]
    layers.append(nn.MaxPool2d(3, 2, pad_mode="same"))
    for channels, wider, stride in ((64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2)):
        layers += [Residual(channels, wider, stride), Residual(wider, wider, 1)]
    return nn.SequentialCell(*layers, nn.AvgPool2d(7), nn.Flatten(), nn.Dense(512, 10))


def blur() -> Any:
    return nn.SequentialCell(nn.Conv2d(3, 3, 3, pad_mode="same"))


class Sequence(nn.Cell):
    """Recurrent layers over a sequence, and a Dense layer over what comes last."""

    def __init__(self, layers: Any) -> None:
        super().__init__()
        self.layers = layers
        self.dense = nn.Dense(128, 10)

    def construct(self, x: Any) -> Any:
        made, _ = self.layers(x)
        return self.dense(made[:, -1])


def lstm() -> Any:
    return Sequence(nn.LSTM(64, 128, 2, batch_first=True))


def _twice(ins: int, outs: int) -> Any:
    layers: list[Any] = []
    for channels in (ins, outs):
        layers += [nn.Conv2d(channels, outs, 3, pad_mode="same"), nn.BatchNorm2d(outs), nn.ReLU()]
    return nn.SequentialCell(*layers)


class Unet(nn.Cell):
    """Down to a quarter of height and width, and up again, beside what was on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = _twice(3, 16), _twice(16, 32), _twice(32, 64)
        self.pool, self.beside = nn.MaxPool2d(2, 2), ops.Concat(1)
        self.up = nn.Conv2dTranspose(64, 32, 2, 2, pad_mode="pad")
        self.up_again = nn.Conv2dTranspose(32, 16, 2, 2, pad_mode="pad")
        self.back, self.last = _twice(64, 32), nn.SequentialCell(_twice(32, 16), nn.Conv2d(16, 2, 1))

    def construct(self, x: Any) -> Any:
        first = self.first(x)
        second = self.second(self.pool(first))
        third = self.third(self.pool(second))
        second = self.back(self.beside((self.up(third), second)))
        return self.last(self.beside((self.up_again(second), first)))


class Generator(nn.Cell):
    """Images of 3x64x64 out of 100 numbers: Radford et al. 2015, figure 1, with fewer channels."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Dense(100, 128 * 8 * 8)
        layers: list[Any] = [nn.BatchNorm2d(128), nn.ReLU()]
        for ins, outs in ((128, 64), (64, 32), (32, 3)):
            layers.append(nn.Conv2dTranspose(ins, outs, 4, 2, pad_mode="pad", padding=1))
            layers += [nn.Tanh()] if outs == 3 else [nn.BatchNorm2d(outs), nn.ReLU()]
        self.layers = nn.SequentialCell(*layers)

    def construct(self, x: Any) -> Any:
        return self.layers(self.dense(x).reshape((-1, 128, 8, 8)))


class Inception(nn.Cell):
    """A block of four branches (Szegedy et al. 2014, figure 2), with a stem and a Dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.SequentialCell(
            nn.Conv2d(3, 64, 3, 2, pad_mode="same"), nn.ReLU(), nn.MaxPool2d(3, 2, pad_mode="same")
        )
        self.one = nn.Conv2d(64, 32, 1)
        self.three = nn.SequentialCell(nn.Conv2d(64, 48, 1), nn.ReLU(), nn.Conv2d(48, 64, 3))
        self.five = nn.SequentialCell(nn.Conv2d(64, 16, 1), nn.ReLU(), nn.Conv2d(16, 32, 5))
        self.mean = nn.SequentialCell(nn.AvgPool2d(3, 1, pad_mode="same"), nn.Conv2d(64, 32, 1))
        self.beside, self.relu, self.dense = ops.Concat(1), nn.ReLU(), nn.Dense(160, 10)

    def construct(self, x: Any) -> Any:
        x = self.stem(x)
        x = self.relu(self.beside((self.one(x), self.three(x), self.five(x), self.mean(x))))
        return self.dense(x.mean((2, 3)))


def large_mlp() -> Any:
    return nn.SequentialCell(nn.Dense(2048, 4096), nn.ReLU(), nn.Dense(4096, 1000))


def speech() -> Any:
    """Words in half a second of sound, told by 40 numbers for each moment."""
    layers: list[Any] = []
    for ins, outs, stride in ((40, 64, 1), (64, 64, 1), (64, 128, 2)):
        layers += [nn.Conv1d(ins, outs, 5, stride, pad_mode="same"), nn.ReLU()]
    return nn.SequentialCell(*layers, nn.Flatten(), nn.Dense(50 * 128, 35))


class Recommender(nn.Cell):
    """26 things that are known of a user and an offer, looked up, and an MLP over them."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(100_000, 16)
        self.mlp = nn.SequentialCell(
            nn.Dense(26 * 16, 256), nn.ReLU(), nn.Dense(256, 64), nn.ReLU(), nn.Dense(64, 1), nn.Sigmoid()
        )

    def construct(self, x: Any) -> Any:
        return self.mlp(self.table(x).reshape((-1, 26 * 16)))


def bert() -> Any:
    """Two of BERT's layers."""
    return nn.SequentialCell(EncoderLayer(128, 768, 12), EncoderLayer(128, 768, 12))
