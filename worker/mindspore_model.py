"""MindSpore itself: choosing the device, loading a MindIR file, calling it. Only mindir_file imports mindspore too.

Every function here runs on the process's MindSpore thread, and imports mindspore there: commands must start without it.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mindspore_serving.cluster.errors import ServableError
from mindspore_serving.worker.batch_sizes import proven_sizes
from mindspore_serving.worker.declarations import Model
from mindspore_serving.worker.device_context import Context
from mindspore_serving.worker.mindir_file import DYNAMIC, FileInput, read_inputs
from mindspore_serving.worker.target import Target

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class InputSpec:
    """One input as the model takes it: the shape includes the batch dimension, DYNAMIC where it is open."""

    name: str
    dtype: "np.dtype[Any]"
    shape: tuple[int, ...]
    batched: bool  # its first dimension counts instances

    @property
    def instance_shape(self) -> tuple[int, ...]:
        return self.shape[1:] if self.batched else self.shape


@dataclass(frozen=True)
class OutputSpec:
    """One output as the warm-up showed it: the shape of one instance."""

    dtype: "np.dtype[Any]"
    shape: tuple[int, ...]


class LoadedModel:
    """A model on its device, warm. `batch_size`: the most instances of one call; DYNAMIC takes any number.

    sizes: the numbers of instances that it runs at, in order, the last of them `batch_size`; what comes is filled up
    to the next of them. Empty for DYNAMIC: there it runs at the number that comes.
    """

    def __init__(self, inputs: tuple[InputSpec, ...], cell: Any, path: Path) -> None:
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
        self.outputs, self.seconds_per_call = self._warm_up()
        self.sizes: tuple[int, ...] = () if self.batch_size == DYNAMIC else (self.batch_size,)
        if self.batch_size > 1:
            self.sizes = proven_sizes(self.run, inputs, self.batch_size)

    @property
    def outputs_count(self) -> int:
        return len(self.outputs)

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """One call: arrays of the model's own shapes in, its outputs out. Raises whatever MindSpore raises."""
        from mindspore import Tensor

        # from_numpy shares memory, and reads it as if it were contiguous: make sure that it is.
        results = self._cell(*(Tensor.from_numpy(np.ascontiguousarray(array)) for array in arrays))
        return [result.asnumpy() for result in (results if isinstance(results, tuple | list) else (results,))]

    def _warm_up(self) -> tuple[tuple[OutputSpec, ...], float]:
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
        seconds = time.perf_counter() - start
        outputs = (OutputSpec(result.dtype, result.shape[rows is not None :]) for result in results)
        return tuple(outputs), seconds


def set_device(target: Target) -> None:
    """Chooses the device for everything this process loads. Raises ServableError when it is not there."""
    import mindspore

    try:
        if target.device_type == "CPU":
            mindspore.set_device("CPU")  # MindSpore knows one CPU; our device id only names the worker
        else:
            mindspore.set_device(target.device_type, target.device_id)
    except Exception as error:
        raise ServableError(f"device {target} cannot be used: {first_line(error)}") from error


def load(model: Model, folder: Path, target: Target) -> tuple[LoadedModel, ...]:
    """Loads and warms a declared model of this version's folder, each of its files. Raises ServableError."""
    if model.context is not None:
        _apply(model.context, target)
    loaded = tuple(_load_file(model, folder / file, target) for file in model.files)
    sizes = sorted({graph.batch_size for graph in loaded})
    if len(sizes) > 1:
        raise ServableError(f"model files '{model.key}': subgraphs need one batch size, but theirs are {sizes}")
    return loaded


def _load_file(model: Model, path: Path, target: Target) -> LoadedModel:
    import mindspore
    from mindspore import nn

    if not path.is_file():
        raise ServableError(f"model file '{path}' not exist, it is declared in servable_config.py")
    inputs = _specs(path, model, read_inputs(path, target))
    key = {} if target.dec_key is None else {"dec_key": target.dec_key, "dec_mode": target.dec_mode}
    try:
        cell = nn.GraphCell(mindspore.load(str(path), **key))
        if any(DYNAMIC in spec.shape for spec in inputs):
            # Without this, MindSpore compiles again for each new size.
            cell.set_inputs(*(_open_tensor(spec) for spec in inputs))
    except Exception as error:
        raise ServableError(f"model file '{path}' cannot be loaded: {first_line(error)}") from error
    return LoadedModel(inputs, cell, path)


def _apply(context: Context, target: Target) -> None:
    """Threads and cores hold for the whole process; a device info only for a worker on such a device."""
    import mindspore

    try:
        if context.cores:
            os.sched_setaffinity(0, context.cores)  # of this thread, and of those that MindSpore starts from it
        if context.thread_num is not None and target.device_type == "CPU":
            mindspore.device_context.cpu.op_tuning.threads_num(context.thread_num)
        info = context.device_infos.get(target.device_type)
        options = dict(info.options) if info is not None else {}
        precision = options.pop("precision_mode", "origin")
        if target.device_type == "Ascend" and precision != "origin":
            mindspore.device_context.ascend.op_precision.precision_mode(precision)
    except Exception as error:
        raise ServableError(f"the Context of declare_model cannot be used on {target}: {first_line(error)}") from error
    if target.device_type == "GPU" and precision == "fp16":
        raise ServableError("GPUDeviceInfo(precision_mode='fp16'): MindSpore 2 cannot convert a MindIR, export it so")
    if options:
        raise ServableError(
            f"AscendDeviceInfo: {', '.join(sorted(options))} are for models in OM format, and this one is a MindIR"
        )


def first_line(error: BaseException) -> str:
    """What MindSpore's error says, without its call stacks."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _open_tensor(spec: InputSpec) -> Any:
    import mindspore

    shape = [None if size == DYNAMIC else size for size in spec.shape]
    dtype = getattr(mindspore, "bool_" if spec.dtype == np.bool_ else spec.dtype.name)
    return mindspore.Tensor(shape=shape, dtype=dtype)


def _specs(path: Path, model: Model, inputs: Sequence[FileInput]) -> tuple[InputSpec, ...]:
    shared = model.without_batch_dim_inputs
    if shared and max(shared) >= len(inputs):
        raise ServableError(
            f"model file '{path}': without_batch_dim_inputs names input {max(shared)}, "
            f"but the model has {len(inputs)} inputs, numbered from 0"
        )
    specs = []
    for index, given in enumerate(inputs):
        batched = model.with_batch_dim and index not in shared
        if batched and not given.shape:
            raise ServableError(
                f"model file '{path}': input {index} '{given.name}' is a scalar and has no batch dimension: "
                "declare the model with with_batch_dim=False, or name the input in without_batch_dim_inputs"
            )
        rows = given.shape[0] if batched else 1
        if rows == 0 or rows < DYNAMIC:
            raise ServableError(f"model file '{path}': input {index} '{given.name}' has the batch size {rows}")
        specs.append(InputSpec(given.name, given.dtype, given.shape, batched))
    return tuple(specs)
