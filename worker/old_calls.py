"""The stages of 1.2's spelling: one call before the model, the model, one call after it, in this order."""

from collections.abc import Callable
from typing import Any

from mindspore_serving.cluster.errors import ServableError
from mindspore_serving.worker.declarations import Collector, Model, current_collector, current_draft, forgiving
from mindspore_serving.worker.stages import append_stage, placeholders_instead

# The order that old-style calls must keep in a method.
OLD_CALLS = {
    "call_preprocess": 1,
    "call_preprocess_pipeline": 1,
    "call_servable": 2,
    "call_postprocess": 3,
    "call_postprocess_pipeline": 3,
}


# How the original's texts name what stands at a place of that order.
_PLACES = {
    1: "call_preprocess or call_preprocess_pipeline",
    2: "call_servable",
    3: "call_postprocess or call_postprocess_pipeline",
}


def call_preprocess(preprocess_fun: Callable[..., Any], *args: Any) -> Any:
    """1.2: the function before the model, called with one instance's values."""
    return _old_call("call_preprocess", preprocess_fun, args, None, "Preprocess")


def call_preprocess_pipeline(preprocess_fun: Callable[..., Any], *args: Any) -> Any:
    """1.2: the function before the model, called with a tuple of instances; it returns or yields a result for each."""
    return _old_call("call_preprocess_pipeline", preprocess_fun, args, 0, "Preprocess")


@forgiving(lambda collector, *_, **__: _placeholders(collector, "call_servable"))
def call_servable(*args: Any) -> Any:
    """1.2: the servable's one model."""
    collector = current_collector("call_servable")
    if not collector.models:
        raise ServableError(
            f"RegisterInputOutputInfo failed, cannot find servable {collector.servable}: "
            "There is no model declared, you can use declare_model to declare models"
        )
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


@forgiving(lambda collector, call, *_, **__: _placeholders(collector, call))
def _old_call(
    call: str, work: Model | Callable[..., Any], args: tuple[Any, ...], batch_size: int | None, tag: str | None
) -> Any:
    collector, draft = current_draft(call)
    if draft.has_add_stage:
        raise ServableError(f"method {draft.name}: add_stage and {call} cannot be used together")
    if not isinstance(work, Model) and not callable(work):
        raise ServableError(f"{call}: the original's built-in function '{work}' does not exist here")
    place = OLD_CALLS[call]
    if any(OLD_CALLS[earlier] == place for earlier in draft.old_calls):
        raise ServableError(f"{_PLACES[place]} should not be invoked more than once")
    later = [OLD_CALLS[earlier] for earlier in draft.old_calls if OLD_CALLS[earlier] > place]
    if later:
        raise ServableError(f"{_PLACES[later[0]]} should be invoked after {call}")
    draft.old_calls.append(call)
    if call not in draft.results_of:
        raise ServableError(
            f"method {draft.name}: complex statements such as conditions and loops are not supported in "
            f"register_method when the interface '{call}' is used, use 'add_stage' to replace '{call}'"
        )
    return append_stage(collector, draft, work, args, draft.results_of[call], batch_size, tag)


def _placeholders(collector: Collector, call: str) -> Any:
    count = collector.draft.results_of.get(call, 1) if collector.draft is not None else 1
    return placeholders_instead(collector, outputs_count=count)
