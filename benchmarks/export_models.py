"""Writes the servables of workloads.py: export_models.py FOLDER BATCH [NAME...]; BATCH 0 makes the batch axis dynamic.

It runs with either side's Python and MindSpore (3.7 and 2.0.0 for the original). The weights are the same for both, so
that their replies can be compared.
"""

from __future__ import annotations  # for 3.7

import math
import os
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import mindspore as ms
import numpy as np
from mindspore import nn, ops

MODEL_ALONE = """
model = register.declare_model(model_file="model.mindir", model_format="MindIR", with_batch_dim={batched})


@register.register_method(output_names={outputs})
def predict({inputs}):
    return register.add_stage(model, {inputs}, outputs_count={count})
"""
AROUND_A_MODEL = """
model = register.declare_model(model_file="model.mindir", model_format="MindIR", with_batch_dim={batched})


def scale(x):
    return x.astype(np.float32) / 255


def best(scores):
    return np.argmax(scores).astype(np.int32), scores.max()


@register.register_method(output_names={outputs})
def predict({inputs}):
    scaled = register.add_stage(scale, {inputs}, outputs_count=1)
    scores = register.add_stage(model, scaled, outputs_count=1)
    return register.add_stage(best, scores, outputs_count={count})
"""
UPPER_CASE = """
def upper(x):
    return x.upper()


@register.register_method(output_names={outputs})
def predict({inputs}):
    return register.add_stage(upper, {inputs}, outputs_count={count})
"""
SUM_OF_BYTES = """
def total(x):
    return x.sum(dtype=np.int64)


@register.register_method(output_names={outputs})
def predict({inputs}):
    return register.add_stage(total, {inputs}, outputs_count={count})
"""
HEAD = '''"""Written by benchmarks/export_models.py."""
import numpy as np
from mindspore_serving.server import register

'''


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


class Servable(NamedTuple):
    """A network, if there is one, and what the model takes of an instance: names, a shape, a type."""

    network: Callable[[], Any] | None
    inputs: tuple[str, ...]
    shape: tuple[int, ...] = ()
    dtype: Any = ms.float32
    batched: bool = True
    outputs: tuple[str, ...] = ("y",)
    config: str = MODEL_ALONE


SERVABLES = {
    "add": Servable(Add, ("x1", "x2"), (2, 2), batched=False),
    "add_batch": Servable(Add, ("x1", "x2"), (2, 2)),
    "mlp": Servable(mlp, ("x",), (784,)),
    "image": Servable(Image, ("x",), (3, 224, 224)),
    "lenet": Servable(lenet, ("x",), (1, 32, 32)),
    "neighbours": Servable(Neighbours, tuple("abcdefgh"), (4,), outputs=tuple("stuvwxyz")),
    "words": Servable(Words, ("x",), (128,), ms.int32),
    "encoder": Servable(encoder, ("x",), (64, 128)),
    "mobile": Servable(mobile, ("x",), (3, 96, 96)),
    "resnet": Servable(resnet, ("x",), (3, 224, 224)),
    "blur": Servable(blur, ("x",), (3, 256, 256)),
    "around": Servable(mlp, ("x",), (784,), outputs=("label", "score"), config=AROUND_A_MODEL),
    "text": Servable(None, ("x",), config=UPPER_CASE),
    "bytes": Servable(None, ("x",), config=SUM_OF_BYTES),
}


def export(folder: str, batch: int, name: str) -> None:
    """Writes one servable."""
    servable = SERVABLES[name]
    version = os.path.join(folder, name, "1")
    os.makedirs(version)
    with open(os.path.join(folder, name, "servable_config.py"), "w", encoding="utf-8") as file:
        file.write(
            HEAD
            + servable.config.format(
                batched=servable.batched,
                inputs=", ".join(servable.inputs),
                outputs=list(servable.outputs),
                count=len(servable.outputs),
            )
        )
    if servable.network is None:
        return
    cell = servable.network()
    cell.set_train(False)
    chance = np.random.RandomState(1)
    for parameter in cell.trainable_params():
        if not parameter.name.endswith("gamma"):  # of a norm: 1, as it is made
            width = math.sqrt(np.prod(parameter.shape[1:])) if len(parameter.shape) > 1 else 20
            parameter.set_data(ms.Tensor((chance.standard_normal(parameter.shape) / width).astype(np.float32)))
    if servable.batched and not batch:
        example = ms.Tensor(shape=[None, *servable.shape], dtype=servable.dtype)
    else:
        shape = (batch, *servable.shape) if servable.batched else servable.shape
        example = ms.Tensor(np.ones(shape), servable.dtype)
    examples = [example] * len(servable.inputs)
    ms.export(cell, *examples, file_name=os.path.join(version, "model.mindir"), file_format="MINDIR")


def main(folder: str, batch: str, *names: str) -> None:
    for name in names or SERVABLES:
        export(folder, int(batch), name)


if __name__ == "__main__":
    main(*sys.argv[1:])
