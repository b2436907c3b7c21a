"""What no master takes of a servable: a worker that registered with it would be dropped, again and again."""

from collections.abc import Iterator, Mapping

from mindspore_serving.cluster.codec import MAX_METHODS
from mindspore_serving.cluster.tensors import ITEM_BYTES
from mindspore_serving.cluster.wire_values import MAX_ARGUMENTS, MAX_BATCH, MAX_NAME
from mindspore_serving.worker.declarations import Declarations, Method, Model, Stage
from mindspore_serving.worker.loaded_model import ReadyModel


def over_limits(declarations: Declarations) -> Iterator[tuple[str, str]]:
    """Where, and what, is too much in a servable_config.py. The place may be empty."""
    methods = declarations.methods.values()
    if len(methods) > MAX_METHODS:
        yield "", f"{len(methods)} methods are registered, at most {MAX_METHODS} can be served"
    for method in methods:
        place = method.stages[0].place if method.stages else ""
        for what, names in (("inputs", method.inputs), ("outputs", method.outputs)):
            if len(names) > MAX_ARGUMENTS:
                yield place, f"method {method.name[:MAX_NAME]} has {len(names)} {what}, at most {MAX_ARGUMENTS} can be"
        for name in (method.name, *method.inputs, *method.outputs):
            if len(name) > MAX_NAME:
                yield place, f"the name {name[:32]}... has {len(name)} characters, at most {MAX_NAME} can be"
        for stage in method.stages:
            if stage.batch_size is not None and stage.batch_size > MAX_BATCH:
                yield stage.place, f"batch_size={stage.batch_size} of {stage.label} is more than {MAX_BATCH}"


def unfit_models(methods: Mapping[str, Method], loaded: Mapping[Model, ReadyModel]) -> Iterator[tuple[str, str]]:
    """Where, and what, does not suit in the models of these methods."""
    for model, ready in loaded.items():
        if ready.plan.most > MAX_BATCH:
            text = f"model file '{ready.path}' has the batch size {ready.plan.most}, at most {MAX_BATCH} can be"
            yield model.place, text
    for method in methods.values():
        for stage in method.stages:
            if isinstance(stage.work, Model) and stage.work in loaded:
                for text in _unfit_outputs(method, stage, loaded[stage.work]):
                    yield stage.place, text


def _unfit_outputs(method: Method, stage: Stage, model: ReadyModel) -> Iterator[str]:
    """Why what this stage's model gives cannot be sent. A function may still make something else of it."""
    for index, (value, output) in enumerate(zip(stage.outputs, model.outputs, strict=False)):
        if value in method.returned and output.dtype.str not in ITEM_BYTES:
            yield (
                f"model file '{model.path}': output {index} has the type {output.dtype}, which no client can be sent: "
                f"cast it in the network, or in a function of method {method.name}"
            )
