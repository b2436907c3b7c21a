"""Adds a stage to the method that is being defined, after checking what it is given."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from mindspore_serving.cluster.errors import ServableError
from mindspore_serving.worker.declarations import Collector, Declarations, MethodDraft, Model, Placeholder, Stage


def append_stage(
    collector: Collector,
    draft: MethodDraft,
    work: Model | Callable[..., Any],
    args: tuple[Any, ...],
    outputs_count: int,
    batch_size: int | None,
    tag: str | None,
) -> Any:
    """Returns the stage's placeholder, or a tuple of them. Raises ServableError."""
    for value in args:
        check_placeholder(draft, value, "Each value of parameter *args")
    if isinstance(work, Model):
        _check_model(collector, work, len(args), outputs_count)
    else:
        _check_function(collector, work, len(args), outputs_count, batch_size is not None, tag or "Stage function")
    results = draft.new_values(outputs_count)
    function = "" if isinstance(work, Model) else f"{collector.servable}.{_name(work)}"
    stage = Stage(
        index=len(draft.stages) + 1,
        work=work,
        inputs=tuple(value.index for value in args),
        outputs=tuple(value.index for value in results),
        batch_size=batch_size,
        label=tag or f"Function '{function}'",
        place=collector.place(),
    )
    draft.stages.append(stage)
    return results if outputs_count > 1 else results[0]


def placeholders_instead(collector: Collector, *_: Any, outputs_count: Any = 1, **__: Any) -> Any:
    """What a stage that was refused would have returned, so that the rest of the method can be read."""
    if collector.draft is None:
        return None
    count = outputs_count if isinstance(outputs_count, int) and 0 < outputs_count < 1000 else 1
    results = collector.draft.new_values(count)
    return results if count > 1 else results[0]


def check_placeholder(draft: MethodDraft, value: Any, what: str) -> None:
    if not isinstance(value, Placeholder) or value.method != draft.name:
        raise ServableError(
            f"{what} is a placeholder for data and must come from the method inputs or the results of its stages, "
            f"method {draft.name}, but actually {type(value)}"
        )


def check_plain(function: Callable[..., Any], what: str) -> None:
    """What an async function returns is no result, but something to wait for."""
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise ServableError(f"{what} {_name(function)} is an 'async def': write it as a plain 'def'")


def _check_model(collector: Collector, model: Model, inputs: int, outputs: int) -> None:
    if collector.record is not None:
        return  # the file itself will tell which of the uses is wrong
    known = collector.model_uses.setdefault(model, (inputs, outputs))
    for what, given, old in (("inputs", inputs, known[0]), ("outputs", outputs, known[1])):
        if given != old:
            raise ServableError(
                f"RegisterInputOutputInfo failed, {what} count {given} not match old count {old}, "
                f"model file '{model.key}'"
            )


def _check_function(
    collector: Collector, function: Callable[..., Any], inputs: int, outputs: int, batched: bool, label: str
) -> None:
    name = f"{collector.servable}.{_name(function)}"
    check_plain(function, "function")
    if not batched and (fault := _signature_fault(function, inputs)):
        raise ServableError(fault)
    known = collector.functions.setdefault(function, (inputs, outputs, batched))
    if known[2] != batched:
        raise ServableError(
            f"function {name}: parameter 'batch_size' in multiple 'add_stage' should be enabled or disabled "
            "consistently"
        )
    for what, given, last in (("inputs", inputs, known[0]), ("outputs", outputs, known[1])):
        if given != last:
            raise ServableError(f"{label} '{name}' {what} count {given} not match last registered count {last}")


def misfit_batch_functions(declarations: Declarations) -> Iterator[tuple[str, str]]:
    """Where, and why, functions that should take a tuple of instances cannot be called with one argument.

    To be asked once the file has been read: the original tells every other mistake first.
    """
    for method in declarations.methods.values():
        for stage in method.stages:
            if isinstance(stage.work, Model) or stage.batch_size is None:
                continue
            if fault := _signature_fault(stage.work, 1):
                yield stage.place, fault


def _signature_fault(function: Callable[..., Any], arguments: int) -> str | None:
    try:
        signature = inspect.signature(function)
    except ValueError:
        return None  # some functions of C extensions do not tell
    try:
        signature.bind(*(object(),) * arguments)
    except TypeError:
        return (
            f"function {_name(function)} input args count {len(signature.parameters)} not match the count {arguments} "
            "registered in method"
        )
    return None


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__name__", type(function).__name__)
