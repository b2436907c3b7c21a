"""Exports the models that the original's tests name: `original_models.py FOLDER FILE...` writes each FILE to FOLDER.

The names tell the models. `tensor_add.mindir` adds two 2x2 float32 inputs; in `tensor_sub_3_2.mindir` the numbers are
those of the inputs and of the outputs. The first output is the inputs' sum (or the first less the others); each
further one is one more than the output before. `resnet50_1b_imagenet.mindir`, `resnet50_1b_cifar10.mindir` and
`lenet.mindir`, whose weights the original fetches from the net, are models of their shape: one image in, a score for
each of 1001 or 10 classes out.
"""

import re
import sys
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn

NAME = re.compile(r"tensor_(add|sub)(?:_(\d)_(\d))?\.mindir")
# -> the image's shape, and how many classes there are
IMAGE_MODELS = {
    "resnet50_1b_imagenet.mindir": ((1, 3, 224, 224), 1001),
    "resnet50_1b_cifar10.mindir": ((1, 3, 224, 224), 10),
    "lenet.mindir": ((1, 1, 32, 32), 10),
}


class Chain(nn.Cell):
    """Adds or subtracts its inputs in order."""

    def __init__(self, subtracts: bool, outputs: int) -> None:
        super().__init__()
        self.sign = -1.0 if subtracts else 1.0
        self.outputs = outputs

    def construct(self, *inputs: Any) -> Any:
        value = inputs[0]
        for other in inputs[1:]:
            value = value + self.sign * other
        if self.outputs == 1:
            return value + 0.0
        results: tuple[Any, ...] = ()
        for more in range(self.outputs):
            results = (*results, value + float(more))
        return results


class Classes(nn.Cell):
    """Scores of an image's mean colour."""

    def __init__(self, colours: int, classes: int) -> None:
        super().__init__()
        self.dense = nn.Dense(colours, classes)

    def construct(self, image: Any) -> Any:
        return self.dense(image.mean((2, 3)))


def export(folder: Path, name: str) -> None:
    """Writes the model that the file's name tells. Raises ValueError for a name of another form."""
    if name in IMAGE_MODELS:
        shape, classes = IMAGE_MODELS[name]
        image = ms.Tensor(np.ones(shape, np.float32))
        ms.export(Classes(shape[1], classes), image, file_name=str(folder / name), file_format="MINDIR")
        return
    match = NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"'{name}' is not named like the original's test models, as in tensor_add_2_3.mindir")
    kind, inputs, outputs = match.groups()
    values = [ms.Tensor(np.ones((2, 2), np.float32))] * int(inputs or 2)
    cell = Chain(kind == "sub", int(outputs or 1))
    ms.export(cell, *values, file_name=str(folder / name), file_format="MINDIR")


def main(folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        export(folder, name)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
