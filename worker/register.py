"""What a servable_config.py says: the authoring API of both generations. All refusals are RuntimeErrors.

1.2: declare_servable, register_method, call_preprocess, call_preprocess_pipeline, call_servable, call_postprocess and
call_postprocess_pipeline. 2.x: declare_model and add_stage instead. A method's function runs
once, while the servable is loaded, with placeholders; what it calls becomes the method's stages.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from mindspore_serving.cluster.arguments import check_bool, check_int, check_str
from mindspore_serving.cluster.errors import ServableError
from mindspore_serving.worker.declarations import (
    Collector,
    Method,
    MethodDraft,
    Model,
    Placeholder,
    Stage,
    current_collector,
    current_draft,
)
from mindspore_serving.worker.method_source import count_results

__all__ = [
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
# The order that old-style calls must keep in a method.
_OLD_CALLS = {
    "call_preprocess": 1,
    "call_preprocess_pipeline": 1,
    "call_servable": 2,
    "call_postprocess": 3,
    "call_postprocess_pipeline": 3,
}


def declare_model(
    model_file: str | Sequence[str],
    model_format: str,
    with_batch_dim: bool = True,
    options: Any = None,
    without_batch_dim_inputs: int | Sequence[int] | None = None,
) -> Model:
    """Declares a model of this servable: a MindIR file in each version's folder.

    with_batch_dim: the first dimension of the model's inputs and outputs counts instances, and an instance's tensor
    comes without it; False: an instance's tensor is the whole input. without_batch_dim_inputs: indices of inputs that
    have no such dimension all the same. options: of a backend of the original; not needed here, and not used.

    Raises RuntimeError for arguments that cannot be.
    """
    collector = current_collector("declare_model")
    files = [model_file] if isinstance(model_file, str) else model_file
    if not isinstance(files, list | tuple) or not files:
        raise ServableError(f"Parameter 'model_file' should be str or tuple/list of str, but actually {type(files)}")
    for file in files:
        check_str("model_file", file)
    if len(files) > 1:
        raise ServableError(f"model_file {list(files)}: several subgraph files of one model cannot be loaded on a CPU")
    check_str("model_format", model_format)
    if model_format.upper() not in _FORMATS:
        raise ServableError("model format can only be OM, MindIR or MindIR_Lite, case ignored")
    if model_format.upper() != "MINDIR":
        raise ServableError(
            f"model file '{files[0]}': format {model_format} is made for another backend, export it as MindIR"
        )
    check_bool("with_batch_dim", with_batch_dim)
    if any(model.file == files[0] for model in collector.models):
        raise ServableError(f"model file '{files[0]}' has already been used")
    model = Model(files[0], with_batch_dim, _indices("without_batch_dim_inputs", without_batch_dim_inputs))
    collector.models.append(model)
    return model


def declare_servable(
    servable_file: str,
    model_format: str,
    with_batch_dim: bool = True,
    options: Any = None,
    without_batch_dim_inputs: int | Sequence[int] | None = None,
) -> Model:
    """The 1.2 name of declare_model, for a servable's one model."""
    check_str("servable_file", servable_file)
    return declare_model(servable_file, model_format, with_batch_dim, options, without_batch_dim_inputs)


def register_method(output_names: str | Sequence[str]) -> Callable[[Function], Function]:
    """Decorates a function that defines a method: its parameters are the inputs' names, `output_names` the results'.

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

    def register(function: Function) -> Function:
        _define(collector, function, tuple(outputs))
        return function

    return register


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
    return _add(collector, draft, stage, args, outputs_count, batch_size, tag)


def call_preprocess(preprocess_fun: Callable[..., Any], *args: Any) -> Any:
    """1.2: the function before the model, called with one instance's values."""
    return _old_call("call_preprocess", preprocess_fun, args, None, "Preprocess")


def call_preprocess_pipeline(preprocess_fun: Callable[..., Any], *args: Any) -> Any:
    """1.2: the function before the model, called with a tuple of instances; it returns or yields a result for each."""
    return _old_call("call_preprocess_pipeline", preprocess_fun, args, 0, "Preprocess")


def call_servable(*args: Any) -> Any:
    """1.2: the servable's one model."""
    collector = current_collector("call_servable")
    if not collector.models:
        raise ServableError("There is no model declared, you can use declare_model to declare models")
    if len(collector.models) > 1:
        raise ServableError(
            "There are more than one servable declared when the interface 'call_servable' is used, "
            "use 'add_stage' to replace 'call_servable'"
        )
    return _old_call("call_servable", collector.models[0], args, None, None)


def call_postprocess(postprocess_fun: Callable[..., Any], *args: Any) -> Any:
    """1.2: the function after the model, called with one instance's values."""
    return _old_call("call_postprocess", postprocess_fun, args, None, "Postprocess")


def call_postprocess_pipeline(postprocess_fun: Callable[..., Any], *args: Any) -> Any:
    """1.2: the function after the model, called with a tuple of instances; it returns or yields a result for each."""
    return _old_call("call_postprocess_pipeline", postprocess_fun, args, 0, "Postprocess")


def _define(collector: Collector, function: Callable[..., Any], outputs: tuple[str, ...]) -> None:
    name = function.__name__
    inputs = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is not inspect.Parameter.POSITIONAL_OR_KEYWORD:
            raise ServableError(f"'{name}' input {parameter.name} cannot be {parameter.kind.name} !")
        inputs.append(parameter.name)
    if name in collector.methods:
        raise ServableError(f"Method {name} has been registered more than once.")
    draft = MethodDraft(name, outputs, count_results(function, _OLD_CALLS, len(outputs)))
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
        _check_placeholder(draft, value, "Each value returned")
    if len(returned) != len(outputs):
        raise ServableError(f"Method return output size {len(returned)} not match registered {len(outputs)}")
    collector.methods[name] = Method(
        name, tuple(inputs), outputs, tuple(draft.stages), tuple(value.index for value in returned)
    )


def _old_call(
    call: str, work: Model | Callable[..., Any], args: tuple[Any, ...], batch_size: int | None, tag: str | None
) -> Any:
    collector, draft = current_draft(call)
    if draft.has_add_stage:
        raise ServableError(f"method {draft.name}: add_stage and {call} cannot be used together")
    if not isinstance(work, Model) and not callable(work):
        raise ServableError(f"{call}: the original's built-in function '{work}' does not exist here")
    place = _OLD_CALLS[call]
    if any(_OLD_CALLS[earlier] == place for earlier in draft.old_calls):
        raise ServableError(f"{call} should not be invoked more than once")
    if any(_OLD_CALLS[earlier] > place for earlier in draft.old_calls):
        raise ServableError(f"{call} should be invoked before {draft.old_calls[-1]}")
    draft.old_calls.append(call)
    if call not in draft.results_of:
        raise ServableError(
            f"method {draft.name}: complex statements such as conditions and loops are not supported in "
            f"register_method when the interface '{call}' is used, use 'add_stage' to replace '{call}'"
        )
    return _add(collector, draft, work, args, draft.results_of[call], batch_size, tag)


def _add(
    collector: Collector,
    draft: MethodDraft,
    work: Model | Callable[..., Any],
    args: tuple[Any, ...],
    outputs_count: int,
    batch_size: int | None,
    tag: str | None,
) -> Any:
    for value in args:
        _check_placeholder(draft, value, "Each value of parameter *args")
    if not isinstance(work, Model):
        _check_function(collector, work, len(args), outputs_count, batch_size is not None)
    results = draft.new_values(outputs_count)
    function = "" if isinstance(work, Model) else f"{collector.servable}.{_name(work)}"
    stage = Stage(
        index=len(draft.stages) + 1,
        work=work,
        inputs=tuple(value.index for value in args),
        outputs=tuple(value.index for value in results),
        batch_size=batch_size,
        label=tag or f"Function '{function}'",
    )
    draft.stages.append(stage)
    return results if outputs_count > 1 else results[0]


def _check_placeholder(draft: MethodDraft, value: Any, what: str) -> None:
    if not isinstance(value, Placeholder) or value.method != draft.name:
        raise ServableError(
            f"{what} is a placeholder for data and must come from the inputs of method {draft.name} "
            f"or the results of its stages, but actually {type(value)}"
        )


def _check_function(
    collector: Collector, function: Callable[..., Any], inputs: int, outputs: int, batched: bool
) -> None:
    name = f"{collector.servable}.{_name(function)}"
    wanted = (object(),) if batched else (object(),) * inputs
    try:
        signature = inspect.signature(function)
    except ValueError:
        signature = None  # some functions of C extensions do not tell
    if signature is not None:
        try:
            signature.bind(*wanted)
        except TypeError:
            raise ServableError(
                f"function {name} input args count {len(signature.parameters)} not match the count "
                f"{len(wanted)} registered in method"
            ) from None
    known = collector.functions.setdefault(function, (inputs, outputs, batched))
    if known[2] != batched:
        raise ServableError(
            f"function {name}: parameter 'batch_size' in multiple 'add_stage' should be enabled or disabled "
            "consistently"
        )
    for what, given, last in (("inputs", inputs, known[0]), ("outputs", outputs, known[1])):
        if given != last:
            raise ServableError(f"Stage function '{name}' {what} count {given} not match last registered count {last}")


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__name__", type(function).__name__)


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
