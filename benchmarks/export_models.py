"""Writes the servables of workloads.py: -m benchmarks.export_models FOLDER BATCH [NAME...].

BATCH 0 makes the batch axis dynamic.

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

from benchmarks import networks

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
    "add": Servable(networks.Add, ("x1", "x2"), (2, 2), batched=False),
    "add_batch": Servable(networks.Add, ("x1", "x2"), (2, 2)),
    "mlp": Servable(networks.mlp, ("x",), (784,)),
    "image": Servable(networks.Image, ("x",), (3, 224, 224)),
    "lenet": Servable(networks.lenet, ("x",), (1, 32, 32)),
    "neighbours": Servable(networks.Neighbours, tuple("abcdefgh"), (4,), outputs=tuple("stuvwxyz")),
    "words": Servable(networks.Words, ("x",), (128,), ms.int32),
    "encoder": Servable(networks.encoder, ("x",), (64, 128)),
    "bert": Servable(networks.bert, ("x",), (128, 768)),
    "lstm": Servable(networks.lstm, ("x",), (32, 64)),
    "speech": Servable(networks.speech, ("x",), (40, 100)),
    "recommender": Servable(networks.Recommender, ("x",), (26,), ms.int32),
    "unet": Servable(networks.Unet, ("x",), (3, 128, 128)),
    "mobile": Servable(networks.mobile, ("x",), (3, 96, 96)),
    "resnet": Servable(networks.resnet, ("x",), (3, 224, 224)),
    "inception": Servable(networks.Inception, ("x",), (3, 96, 96)),
    "generator": Servable(networks.Generator, ("x",), (100,)),
    "large_mlp": Servable(networks.large_mlp, ("x",), (2048,)),
    "blur": Servable(networks.blur, ("x",), (3, 256, 256)),
    "around": Servable(networks.mlp, ("x",), (784,), outputs=("label", "score"), config=AROUND_A_MODEL),
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
