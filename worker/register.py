"""What a servable_config.py says: the authoring API of both generations. All refusals are RuntimeErrors.

1.2: declare_servable, register_method, call_preprocess, call_preprocess_pipeline, call_servable, call_postprocess and
call_postprocess_pipeline. 2.x: declare_model and add_stage instead. A method's function runs
once, while the servable is loaded, with placeholders; what it calls becomes the method's stages.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from mindspore_serving.cluster.arguments import check_bool, check_int, check_str
from mindspore_serving.cluster.errors import ServableError
from mindspore_serving.worker.declarations import (
    Collector,
    Method,
    MethodDraft,
    Model,
    current_collector,
    current_draft,
    forgiving,
)
from mindspore_serving.worker.device_context import (
    AclOptions,
    AscendDeviceInfo,
    Context,
    CPUDeviceInfo,
    GPUDeviceInfo,
    GpuOptions,
    context_of,
)
from mindspore_serving.worker.method_source import count_results
from mindspore_serving.worker.old_calls import (
    OLD_CALLS,
    call_postprocess,
    call_postprocess_pipeline,
    call_preprocess,
    call_preprocess_pipeline,
    call_servable,
)
from mindspore_serving.worker.stages import append_stage, check_placeholder, check_plain, placeholders_instead

__all__ = [
    "AclOptions",
    "AscendDeviceInfo",
    "CPUDeviceInfo",
    "Context",
    "GPUDeviceInfo",
    "GpuOptions",
    "Model",
    "add_stage",
    "call_postprocess",
    "call_postprocess_pipeline",
    "call_preprocess",
    "call_preprocess_pipeline",
    "call_servable",
    "declare_model",
    "declare_servable",
    "register_method",
]

Function = TypeVar("Function", bound=Callable[..., Any])

_FORMATS = ("MINDIR", "MINDIR_OPT", "MINDIR_LITE", "OM")


def _broken_model(collector: Collector, *_: Any, **__: Any) -> Model:
    model = Model((), True, frozenset())  # without files: there is nothing to load
    collector.models.append(model)
    return model


@forgiving(_broken_model)
def declare_model(
    model_file: str | Sequence[str],
    model_format: str,
    with_batch_dim: bool = True,
    options: AclOptions | GpuOptions | Mapping[str, str] | None = None,
    without_batch_dim_inputs: int | Sequence[int] | None = None,
    context: Context | None = None,
    config_file: str | None = None,
) -> Model:
    """Declares a model of this servable: a MindIR file in each version's folder, or several that are its subgraphs.

    with_batch_dim: the first dimension of the model's inputs and outputs counts instances, and an instance's tensor
    comes without it; False: an instance's tensor is the whole input. without_batch_dim_inputs: indices of inputs that
    have no such dimension all the same. context: threads, cores and device infos; options: its old form.
    config_file: of the original's Lite backend, which is not used here: anything but None is refused.

    Raises RuntimeError for arguments that cannot be.
    """
    collector = current_collector("declare_model")
    files = (model_file,) if isinstance(model_file, str) else model_file
    if not isinstance(files, list | tuple) or not files:
        raise ServableError(f"Parameter 'model_file' should be str or tuple/list of str, but actually {type(files)}")
    for file in files:
        check_str("model_file", file)
    check_str("model_format", model_format)
    if model_format.upper() not in _FORMATS:
        raise ServableError("model format can only be OM, MindIR or MindIR_Lite, case ignored")
    if model_format.upper() != "MINDIR":
        raise ServableError(
            f"model file '{files[0]}': format {model_format} is made for another backend, export it as MindIR"
        )
    check_bool("with_batch_dim", with_batch_dim)
    if config_file is not None:
        raise ServableError(
            f"config_file '{config_file}' is for the Lite backend of MindSpore Serving 2.x: use context=Context(...)"
        )
    used = {file for model in collector.models for file in model.files}
    for number, file in enumerate(files):
        if file in used or file in files[:number]:
            raise ServableError(f"model file '{file}' has already been used")
    model = Model(
        tuple(files),
        with_batch_dim,
        _indices("without_batch_dim_inputs", without_batch_dim_inputs),
        context_of(options, context),
        collector.place(),
    )
    collector.models.append(model)
    return model


@forgiving(_broken_model)
def declare_servable(
    servable_file: str,
    model_format: str,
    with_batch_dim: bool = True,
    options: AclOptions | GpuOptions | Mapping[str, str] | None = None,
    without_batch_dim_inputs: int | Sequence[int] | None = None,
) -> Model:
    """The 1.2 name of declare_model, for a servable's one model."""
    check_str("servable_file", servable_file)
    return declare_model(servable_file, model_format, with_batch_dim, options, without_batch_dim_inputs)


@forgiving(lambda *_, **__: lambda function: function)
def register_method(output_names: str | Sequence[str], *, idempotent: bool = True) -> Callable[[Function], Function]:
    """Decorates a function that defines a method: its parameters are the inputs' names, `output_names` the results'.

    idempotent: False for a method that may run at most once for an instance, since it changes something elsewhere. When
    its worker is lost meanwhile, the caller gets an error that says so, instead of a second try.

    Raises RuntimeError for a method that cannot be.
    """
    collector = current_collector("register_method")
    outputs = (output_names,) if isinstance(output_names, str) else output_names
    if not isinstance(outputs, list | tuple) or not outputs:
        raise ServableError(
            f"Parameter 'output_names' should be str or tuple/list of str, but actually {type(output_names)}"
        )
    for name in outputs:
        check_str("output_names", name)
    if len(set(outputs)) != len(outputs):
        raise ServableError(f"Parameter 'output_names' {list(outputs)} should not be repeated")

    check_bool("idempotent", idempotent)

    def register(function: Function) -> Function:
        _define(collector, function, tuple(outputs), idempotent)
        return function

    return register


@forgiving(placeholders_instead)
def add_stage(
    stage: Model | Callable[..., Any],
    *args: Any,
    outputs_count: int,
    batch_size: int | None = None,
    tag: str | None = None,
) -> Any:
    """Adds a step to the method: a model, or a function; `args` are the method's inputs or results of earlier steps.

    batch_size: None calls the function with one instance's values; 0 or N with a tuple of instances, each a tuple of
    values (as many as came together, or at most N), and it returns or yields a result for each.
    tag: how error texts name the step. Returns a placeholder, or a tuple of outputs_count placeholders.
    """
    collector, draft = current_draft("add_stage")
    if draft.old_calls:
        raise ServableError(f"method {draft.name}: add_stage and {draft.old_calls[0]} cannot be used together")
    draft.has_add_stage = True
    check_int("outputs_count", outputs_count, 1)
    if batch_size is not None:
        check_int("batch_size", batch_size)
    if tag is not None:
        check_str("tag", tag)
    if not isinstance(stage, Model) and not callable(stage):
        if isinstance(stage, str):
            raise ServableError(f"Stage function '{stage}': the original's built-in functions do not exist here")
        raise ServableError(f"Parameter 'stage' should be a function or a model, but actually {type(stage)}")
    return append_stage(collector, draft, stage, args, outputs_count, batch_size, tag)


@forgiving(lambda *_, **__: None)
def _define(collector: Collector, function: Callable[..., Any], outputs: tuple[str, ...], idempotent: bool) -> None:
    name = function.__name__
    check_plain(function, "method")
    inputs = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is not inspect.Parameter.POSITIONAL_OR_KEYWORD:
            raise ServableError(f"'{name}' input {parameter.name} cannot be {parameter.kind.name} !")
        inputs.append(parameter.name)
    draft = MethodDraft(name, outputs, count_results(function, OLD_CALLS, len(outputs)))
    placeholders = draft.new_values(len(inputs))
    collector.draft = draft
    try:
        returned = function(*placeholders)
    finally:
        collector.draft = None
    if draft.old_calls and "call_servable" not in draft.old_calls:
        raise ServableError(f"method {name}: Not find the invoke of 'call_servable'")
    returned = returned if isinstance(returned, tuple | list) else (returned,)
    for value in returned:
        check_placeholder(draft, value, "Each value returned")
    if len(returned) != len(outputs):
        raise ServableError(f"Method return output size {len(returned)} not match registered {len(outputs)}")
    if name in collector.methods:
        raise ServableError(f"Method {name} has been registered more than once.")
    collector.methods[name] = Method(
        name, tuple(inputs), outputs, tuple(draft.stages), tuple(value.index for value in returned), idempotent
    )


def _indices(name: str, value: Any) -> frozenset[int]:
    if value is None:
        return frozenset()
    items = [value] if isinstance(value, int) else value
    if not isinstance(items, list | tuple):
        raise ServableError(f"Parameter '{name}' should be int or tuple/list of int, but actually {type(value)}")
    for item in items:
        if isinstance(item, bool) or not isinstance(item, int):
            raise ServableError(f"Parameter '{name}' should be int or tuple/list of int")
        if item < 0:
            raise ServableError(f"The item value '{item}' in parameter '{name}' should be >= 0")
    if len(set(items)) != len(items):
        raise ServableError(f"The items of parameter '{name}' should not be repeated")
    return frozenset(items)
