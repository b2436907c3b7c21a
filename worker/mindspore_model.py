"""MindSpore itself: choosing the device, loading MindIR files. Besides, mindir_file imports mindspore.

Every function here runs on the process's MindSpore thread, and imports mindspore there: commands must start without it.
"""

import contextlib
import ctypes
import gc
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mindspore_serving.cluster.errors import ServableError
from mindspore_serving.worker import kernels
from mindspore_serving.worker.call_costs import cpu_clock, wall_clock
from mindspore_serving.worker.declarations import Model
from mindspore_serving.worker.device_context import Context
from mindspore_serving.worker.graph_calls import Execute, GraphCalls
from mindspore_serving.worker.loaded_model import InputSpec, LoadedModel, ReadyModel, first_line
from mindspore_serving.worker.mindir_file import DYNAMIC, FileInput, has_branches, read_inputs
from mindspore_serving.worker.rewrites import AS_IT_IS, Rewriting
from mindspore_serving.worker.rewritten_file import rewritten_file, straight_graph_of
from mindspore_serving.worker.stacked_model import can_be_stacked, in_one_call, stacked
from mindspore_serving.worker.straight_calls import StraightCalls
from mindspore_serving.worker.target import Target
from mindspore_serving.worker.unreadable import unreadable

logger = logging.getLogger("mindspore_serving.worker")


def set_device(target: Target) -> None:
    """Chooses the device for everything this process loads. Raises ServableError when it is not there."""
    if target.device_type == "CPU":
        kernels.start()
    import mindspore

    # MindSpore collects garbage at each compilation: 70 ms, unless its own 160 thousand objects are left out.
    gc.freeze()
    try:
        if target.device_type == "CPU":
            mindspore.set_device("CPU")  # MindSpore knows one CPU; our device id only names the worker
        else:
            mindspore.set_device(target.device_type, target.device_id)
    except Exception as error:
        raise ServableError(f"device {target} cannot be used: {first_line(error)}") from error


def flush_output() -> None:
    """What MindSpore has printed leaves now: at the end of the process it would stand behind the reason of its end."""
    ctypes.CDLL(None).fflush(None)


def set_kernel_threads(count: int) -> None:
    """How many threads one operator may use, from the start of MindSpore's runtime on: it can be said once."""
    import mindspore

    try:
        mindspore.device_context.cpu.op_tuning.threads_num(count)
    except RuntimeError:  # by another model of this process, or by a servable_config.py
        logger.info("MindSpore's threads were chosen before: %s for an operator come too late", count)


def set_one_thread() -> None:
    """Has the thread that calls compute alone: MindSpore starts none for operators. It can be said once, as above.

    threads_num() takes one at least, besides the one that dispatches, while what it sets may be 0. Raises ServableError
    where MindSpore has no such thing.
    """
    import mindspore

    try:
        with contextlib.suppress(RuntimeError):  # said before, as above
            mindspore.runtime.dispatch_threads_num(1)
            mindspore.device_context.cpu.op_tuning.RuntimeConf.get_instance().set_op_threads_num(0)
    except AttributeError as error:
        raise ServableError(f"MindSpore keeps threads for its operators: {first_line(error)}") from error


def load(
    model: Model,
    folder: Path,
    target: Target,
    may_stack: Callable[[Path], bool] = lambda _: False,
    *,
    rewriting: Rewriting = AS_IT_IS,
) -> tuple[ReadyModel, ...]:
    """Loads and warms a declared model of this version's folder, each of its files. Raises ServableError.

    may_stack: whether to run several instances of a file without a batch axis in one call. rewriting: how graphs are
    written anew before.
    """
    if model.context is not None:
        _apply(model.context, target)
    try:
        loaded = tuple(_load_file(model, folder / file, target, may_stack, rewriting) for file in model.files)
    except OSError as error:
        raise unreadable(error, "model file") from error
    flush_output()
    sizes = sorted({graph.batch_size for graph in loaded})
    if len(sizes) > 1:
        raise ServableError(f"model files '{model.key}': subgraphs need one batch size, but theirs are {sizes}")
    return loaded


def _load_file(
    model: Model, path: Path, target: Target, may_stack: Callable[[Path], bool], rewriting: Rewriting
) -> ReadyModel:
    if not path.is_file():
        raise ServableError(f"model file '{path}' not exist, it is declared in servable_config.py")
    given = read_inputs(path, target)
    inputs = _specs(path, model, given)
    clock = cpu_clock if target.device_type == "CPU" else wall_clock
    together = all(spec.batched for spec in inputs if spec.shape[:1] == (DYNAMIC,))
    calls, open_tensors = open_graph(path, given, target, rewriting, together=together)
    loaded = LoadedModel(inputs, calls, open_tensors, path, clock)
    if not can_be_stacked(loaded):
        return loaded
    if calls.straight is not None:
        return in_one_call(loaded, calls.straight.one_by_one, clock)
    return stacked(loaded, partial(_open_stacked, path, given, target, rewriting), clock) if may_stack(path) else loaded


def open_graph(
    path: Path,
    inputs: Sequence[FileInput],
    target: Target,
    rewriting: Rewriting = AS_IT_IS,
    *,
    together: bool = True,
) -> tuple[GraphCalls, list[Any]]:
    """A file's graph, and where it has open dimensions the tensors for GraphCalls.open. Raises ServableError.

    together: the open first sizes of all inputs are the same, as those of instances are.
    """
    try:
        calls = _calls(_cell(path, target, rewriting, together), path, inputs)
        is_open = any(DYNAMIC in spec.shape for spec in inputs)
        return calls, [_open_tensor(spec) for spec in inputs] if is_open else []
    except Exception as error:
        raise ServableError(f"model file '{path}' cannot be loaded: {first_line(error)}") from error


@dataclass(frozen=True)
class _Cell:
    """The graph of a file. straight: what computes the same without MindSpore, where something does."""

    graph: Any
    straight: StraightCalls | None = None
    has_branches: bool = False


def forget_compiled(cell: Any) -> None:
    """Its next call compiles it again: what mindspore.ms_memory_recycle() does to all cells of the process."""
    with contextlib.suppress(ImportError, AttributeError):  # this MindSpore has it elsewhere
        from mindspore.graph.api import _cell_graph_executor

        _cell_graph_executor.del_net_res(cell, cell.compile_cache)
        cell.compile_cache.clear()


def _calls(
    cell: _Cell, path: Path, inputs: Sequence[FileInput], forget: Callable[[Any], None] = forget_compiled
) -> GraphCalls:
    from mindspore import Tensor

    # What a batch lies in is not the graph's to change: the memory that a master shares cannot even be written.
    copied = any(given.changed for given in inputs)
    shares_memory = getattr(Tensor, "from_numpy", Tensor)  # which MindSpore says is to go
    to_tensor = Tensor if copied else shares_memory
    ways = (executor(), cell.straight, cell.has_branches, forget)
    return GraphCalls(cell.graph, path, to_tensor, *ways)


def executor() -> Execute | None:
    """MindSpore's own way into a compiled graph. None where this MindSpore has it elsewhere."""
    try:
        from mindspore.graph.api import _cell_graph_executor

        execute: Execute = _cell_graph_executor._graph_executor
    except (ImportError, AttributeError):
        logger.warning("this MindSpore has no direct call that we know: models are called its public way, a bit slower")
        return None
    return execute


def _cell(path: Path, target: Target, rewriting: Rewriting, together: bool = True) -> _Cell:
    import mindspore
    from mindspore import nn

    key = {} if target.dec_key is None else {"dec_key": target.dec_key, "dec_mode": target.dec_mode}
    if target.device_type == "CPU":
        rewriting |= Rewriting.RUNNABLE
    less = rewriting & Rewriting.RUNNABLE
    with rewritten_file(path, rewriting, together=together) as file:
        try:
            loaded = mindspore.load(str(file), **key)
        except Exception as error:
            if file == path or less == rewriting:
                raise
            logger.warning("model file '%s' is not read as it was rewritten: a fault of ours: %s", path, error)
            return _cell(path, target, less, together)
        graph = straight_graph_of(file) if file != path and Rewriting.KERNELS in rewriting else None
        straight = None if graph is None else StraightCalls(graph)
        return _Cell(nn.GraphCell(loaded), straight, has_branches(file, target))


def _open_stacked(path: Path, inputs: Sequence[FileInput], target: Target, rewriting: Rewriting) -> GraphCalls:
    """Calls of a graph that takes several instances. Of a file of its own: vmap changes the graph that it is given."""
    import mindspore
    from mindspore import nn

    class Stacked(nn.Cell):
        def __init__(self, one: Any) -> None:
            super().__init__()
            self.each = mindspore.vmap(one)

        def construct(self, *columns: Any) -> Any:
            return self.each(*columns)

        def __call__(self, *columns: Any) -> Any:
            return self.compile_and_run(*columns)  # as a graph, like a GraphCell, whichever mode the user has set

    def one() -> Any:
        # Without kernels: vmap knows no rule for them, and would call them once for each instance.
        return _cell(path, target, rewriting & ~Rewriting.KERNELS).graph

    def forget(cell: Any) -> None:
        forget_compiled(cell)
        cell.each = mindspore.vmap(one())  # what was compiled has used the other one up

    return _calls(_Cell(Stacked(one())), path, inputs, forget)


def _apply(context: Context, target: Target) -> None:
    """Threads and cores hold for the whole process; a device info only for a worker on such a device."""
    import mindspore

    try:
        if context.cores:
            os.sched_setaffinity(0, context.cores)  # of this thread, and of those that MindSpore starts from it
        if context.thread_num is not None and target.device_type == "CPU":
            set_kernel_threads(context.thread_num)
            kernels.use_threads(context.thread_num)
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


def _open_tensor(spec: FileInput) -> Any:
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
        specs.append(InputSpec(given.name, given.dtype, given.shape, batched, given.rows))
    return tuple(specs)
