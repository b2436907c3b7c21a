"""MindSpore itself: a MindIR file's inputs, loading it, calling it. Nothing else of ours imports mindspore.

Every function here runs on the process's MindSpore thread, and imports mindspore there: commands must start without it.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mindspore_serving.cluster.errors import ServableError
from mindspore_serving.worker.declarations import Model

Array = npt.NDArray[Any]

DYNAMIC = -1  # a dimension that the file leaves open

# mind_ir.proto's TensorProto.DataType -> numpy. What is missing (bfloat16, quantised types) cannot be served.
_DTYPES = {
    "BOOL": np.bool_,
    "INT8": np.int8,
    "UINT8": np.uint8,
    "INT16": np.int16,
    "UINT16": np.uint16,
    "INT32": np.int32,
    "UINT32": np.uint32,
    "INT64": np.int64,
    "UINT64": np.uint64,
    "FLOAT16": np.float16,
    "FLOAT": np.float32,
    "DOUBLE": np.float64,
}


@dataclass(frozen=True)
class InputSpec:
    """One input as the file has it: the shape includes the batch dimension, DYNAMIC where it is open."""

    name: str
    dtype: "np.dtype[Any]"
    shape: tuple[int, ...]
    batched: bool  # its first dimension counts instances

    @property
    def instance_shape(self) -> tuple[int, ...]:
        return self.shape[1:] if self.batched else self.shape


class LoadedModel:
    """A model on its device, warm. `batch_size`: the instances of one call; DYNAMIC takes any number."""

    def __init__(self, model: Model, inputs: tuple[InputSpec, ...], cell: Any, path: Path) -> None:
        self.model = model
        self.inputs = inputs
        self.path = path
        self._cell = cell
        sizes = {spec.shape[0] for spec in inputs if spec.batched}
        if len(sizes) > 1:
            raise ServableError(
                f"model file '{path}': with_batch_dim=True needs inputs of one batch size, but their first dimensions "
                f"are {sorted(sizes)}: name the inputs without batch dimension in without_batch_dim_inputs"
            )
        self.batch_size = sizes.pop() if sizes else 1
        self.outputs_count, self.seconds_per_call = self._warm_up()

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """One call: arrays of the model's own shapes in, its outputs out. Raises whatever MindSpore raises."""
        from mindspore import Tensor

        # from_numpy shares memory, and reads it as if it were contiguous: make sure that it is.
        results = self._cell(*(Tensor.from_numpy(np.ascontiguousarray(array)) for array in arrays))
        return [result.asnumpy() for result in (results if isinstance(results, tuple | list) else (results,))]

    def _warm_up(self) -> tuple[int, float]:
        """The first call of a shape compiles: not while a client waits. Returns outputs, and seconds of a call."""
        zeros = [np.zeros([1 if size == DYNAMIC else size for size in spec.shape], spec.dtype) for spec in self.inputs]
        try:
            results = self.run(zeros)
        except Exception as error:
            raise ServableError(f"model file '{self.path}' does not run: {first_line(error)}") from error
        rows = next((array.shape[0] for array, spec in zip(zeros, self.inputs, strict=True) if spec.batched), None)
        for index, result in enumerate(results):
            if rows is not None and (result.ndim == 0 or result.shape[0] != rows):
                raise ServableError(
                    f"model file '{self.path}': output {index} has shape {list(result.shape)}, which does not start "
                    f"with the batch size {rows}: declare the model with with_batch_dim=False"
                )
        start = time.perf_counter()
        self.run(zeros)
        return len(results), time.perf_counter() - start


def set_device(device_type: str, device_id: int) -> None:
    """Chooses the device for everything this process loads. Raises ServableError when it is not there."""
    import mindspore

    try:
        if device_type == "CPU":
            mindspore.set_device("CPU")  # MindSpore knows one CPU; our device id only names the worker
        else:
            mindspore.set_device(device_type, device_id)
    except Exception as error:
        raise ServableError(f"device {device_type}:{device_id} cannot be used: {first_line(error)}") from error


def load(model: Model, folder: Path) -> LoadedModel:
    """Loads and warms a declared model of this version's folder. Raises ServableError, which names the file."""
    import mindspore
    from mindspore import nn

    path = folder / model.file
    if not path.is_file():
        raise ServableError(f"model file '{path}' not exist, it is declared in servable_config.py")
    inputs = _read_inputs(path, model)
    try:
        cell = nn.GraphCell(mindspore.load(str(path)))
        if any(DYNAMIC in spec.shape for spec in inputs):
            # Without this, MindSpore compiles again for each new size.
            cell.set_inputs(*(_open_tensor(spec) for spec in inputs))
    except Exception as error:
        raise ServableError(f"model file '{path}' cannot be loaded: {first_line(error)}") from error
    return LoadedModel(model, inputs, cell, path)


def first_line(error: BaseException) -> str:
    """What MindSpore's error says, without its call stacks."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _open_tensor(spec: InputSpec) -> Any:
    import mindspore

    shape = [None if size == DYNAMIC else size for size in spec.shape]
    dtype = getattr(mindspore, "bool_" if spec.dtype == np.bool_ else spec.dtype.name)
    return mindspore.Tensor(shape=shape, dtype=dtype)


def _read_inputs(path: Path, model: Model) -> tuple[InputSpec, ...]:
    from google.protobuf.message import DecodeError
    from mindspore.train.mind_ir_pb2 import ModelProto, TensorProto

    file = ModelProto()
    try:
        file.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise ServableError(f"model file '{path}' is not a MindIR file, or is damaged: {error}") from error
    specs = []
    for index, graph_input in enumerate(file.graph.input):
        name = graph_input.name.rpartition(":")[2]
        tensor = graph_input.tensor[0] if graph_input.tensor else None
        number = tensor.data_type if tensor else 0
        dtype = _DTYPES.get(TensorProto.DataType.Name(number))
        if tensor is None or dtype is None:
            kind = TensorProto.DataType.Name(number)
            raise ServableError(
                f"model file '{path}': input {index} '{name}' has the type {kind}, which cannot be served"
            )
        batched = model.with_batch_dim and index not in model.without_batch_dim_inputs
        shape = tuple(tensor.dims)
        if batched and not shape:
            raise ServableError(
                f"model file '{path}': input {index} '{name}' is a scalar and has no batch dimension: "
                "declare the model with with_batch_dim=False, or name the input in without_batch_dim_inputs"
            )
        if batched and (shape[0] == 0 or shape[0] < DYNAMIC):
            raise ServableError(f"model file '{path}': input {index} '{name}' has the batch size {shape[0]}")
        specs.append(InputSpec(name, np.dtype(dtype), shape, batched))
    if model.without_batch_dim_inputs and max(model.without_batch_dim_inputs) >= len(specs):
        raise ServableError(
            f"model file '{path}': without_batch_dim_inputs names input {max(model.without_batch_dim_inputs)}, "
            f"but the model has {len(specs)} inputs, numbered from 0"
        )
    if not specs:
        raise ServableError(f"model file '{path}' has no inputs: it is not a MindIR file, or is damaged")
    return tuple(specs)
