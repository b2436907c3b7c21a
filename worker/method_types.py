"""What is known of a method's tensors: its inputs that go straight into a model, its outputs that come out of one."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mindspore_serving.cluster.messages import ANY_SIZE, TensorType
from mindspore_serving.cluster.tensors import ITEM_BYTES
from mindspore_serving.worker.declarations import Method, Model
from mindspore_serving.worker.loaded_model import ReadyModel
from mindspore_serving.worker.mindir_file import DYNAMIC

Types = tuple[TensorType | None, ...]


def input_types(method: Method, loaded: Mapping[Model, ReadyModel]) -> Types:
    """One for each input: what the first model that takes it wants of an instance; None when no model takes it."""
    return tuple(_wanted(method, value, loaded) for value in range(len(method.inputs)))


def output_types(method: Method, loaded: Mapping[Model, ReadyModel]) -> Types:
    """One for each output: what a model gives for an instance; None for what a function gives."""
    return tuple(_given(method, value, loaded) for value in method.returned)


def _wanted(method: Method, value: int, loaded: Mapping[Model, ReadyModel]) -> TensorType | None:
    for stage in method.stages:
        if isinstance(stage.work, Model) and value in stage.inputs:
            spec = loaded[stage.work].inputs[stage.inputs.index(value)]
            return _type(spec.dtype, spec.instance_shape)
    return None


def _given(method: Method, value: int, loaded: Mapping[Model, ReadyModel]) -> TensorType | None:
    if value < len(method.inputs):
        return _wanted(method, value, loaded)
    stage = next(stage for stage in method.stages if value in stage.outputs)
    if not isinstance(stage.work, Model):
        return None
    model = loaded[stage.work]
    output = model.outputs[stage.outputs.index(value)]
    if any(DYNAMIC in spec.instance_shape for spec in model.inputs):
        # The warm-up showed the sizes for one choice of the open dimensions; only their number holds for all.
        return _type(output.dtype, (ANY_SIZE,) * len(output.shape))
    return _type(output.dtype, output.shape)


def _type(dtype: "np.dtype[Any]", shape: Sequence[int]) -> TensorType | None:
    return TensorType(dtype.str, tuple(map(int, shape))) if dtype.str in ITEM_BYTES else None
