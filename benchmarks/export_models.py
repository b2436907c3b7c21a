"""Writes the servables of workloads.py: export_models.py FOLDER BATCH; BATCH 0 makes the batch axis dynamic.

It runs with either side's Python and MindSpore (3.7 and 2.0.0 for the original). The weights are the same for both, so
that their replies can be compared.
"""

import os
import sys
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn

CONFIG = '''"""Written by benchmarks/export_models.py."""
from mindspore_serving.server import register

model = register.declare_model(model_file="model.mindir", model_format="MindIR", with_batch_dim={batched})


@register.register_method(output_names=["y"])
def predict({inputs}):
    return register.add_stage(model, {inputs}, outputs_count=1)
'''


class Add(nn.Cell):
    """The sum of two tensors."""

    def construct(self, x1: Any, x2: Any) -> Any:
        return x1 + x2


class Image(nn.Cell):
    """The mean of each channel, then a Dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Dense(3, 10)

    def construct(self, x: Any) -> Any:
        return self.dense(x.mean((2, 3)))


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


# name -> the network, the inputs' names, the shape of an instance, whether it has a batch axis
MODELS: Any = {
    "add": (Add, ("x1", "x2"), (2, 2), False),
    "add_batch": (Add, ("x1", "x2"), (2, 2), True),
    "mlp": (mlp, ("x",), (784,), True),
    "image": (Image, ("x",), (3, 224, 224), True),
    "lenet": (lenet, ("x",), (1, 32, 32), True),
}


def export(folder: str, batch: int, name: str) -> None:
    """Writes one servable."""
    network, inputs, shape, batched = MODELS[name]
    cell = network()
    chance = np.random.RandomState(1)
    for parameter in cell.trainable_params():
        parameter.set_data(ms.Tensor((chance.standard_normal(parameter.shape) * 0.05).astype(np.float32)))
    version = os.path.join(folder, name, "1")
    os.makedirs(version)
    if batched and not batch:
        example = ms.Tensor(shape=[None, *shape], dtype=ms.float32)
    else:
        example = ms.Tensor(np.ones((batch, *shape) if batched else shape, np.float32))
    ms.export(cell, *[example] * len(inputs), file_name=os.path.join(version, "model.mindir"), file_format="MINDIR")
    with open(os.path.join(folder, name, "servable_config.py"), "w", encoding="utf-8") as file:
        file.write(CONFIG.format(batched=batched, inputs=", ".join(inputs)))


def main(folder: str, batch: str, *names: str) -> None:
    for name in names or MODELS:
        export(folder, int(batch), name)


if __name__ == "__main__":
    main(*sys.argv[1:])
