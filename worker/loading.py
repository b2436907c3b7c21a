"""From a folder to a Servable: runs servable_config.py, chooses the version, loads and warms the models."""

import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from mindspore_serving.cluster.errors import ServableError
from mindspore_serving.cluster.messages import MethodSpec
from mindspore_serving.worker import mindspore_model
from mindspore_serving.worker.config import OFF
from mindspore_serving.worker.config_module import CONFIG_FILE, can_be_compiled, run_config
from mindspore_serving.worker.declarations import Declarations, Method, Model, Stage
from mindspore_serving.worker.engine_settings import EngineSettings, apply_environment, cpu_flags, default_settings
from mindspore_serving.worker.limits import unfit_models
from mindspore_serving.worker.loaded_model import ReadyModel
from mindspore_serving.worker.method_types import input_types, output_types
from mindspore_serving.worker.model_call import ModelCall
from mindspore_serving.worker.servable import Servable
from mindspore_serving.worker.stacking import may_stack
from mindspore_serving.worker.target import Target
from mindspore_serving.worker.tuning import Finding, find_settings
from mindspore_serving.worker.unreadable import unreadable
from mindspore_serving.worker.versions import choose_version, find_versions
from mindspore_serving.worker.work_thread import WorkThread

logger = logging.getLogger("mindspore_serving.worker")

# Instances that take about so long together are worth sending at once to a model without batch dimension: enough to
# hide the way there and back, little enough that several workers share one request.
_WORTH_SECONDS = 0.004
_MOST_UNBATCHED = 32
_WITHOUT_MODEL = 8


def load_servable(
    directory: Path, name: str, version: int, target: Target, models: WorkThread, tune: str = OFF
) -> Servable:
    """Loads `directory`/`name` for a device; version 0 is the newest. `models` is the process's MindSpore thread.

    tune: "auto", "again" or "off", as --tune has it. Raises ServableError in one line that says what to mend.
    """
    folder = find_folder(directory, name)
    settings, _ = set_up_engine(folder, version, target, tune)  # before the config, which may import MindSpore
    # On the MindSpore thread from the start: a servable_config.py may call MindSpore itself.
    declarations = models.call(lambda: run_config(folder, name))
    version = choose_version(folder, version) if declarations.models else version or 1

    def refuse(_: str, error: ServableError) -> None:
        place = f"servable directory: '{folder.parent}', servable name: '{name}', version number: {version}"
        raise ServableError(f"Load model failed, {place}, {error}") from error

    loaded = models.call(lambda: load_models(declarations, folder / str(version), target, refuse, settings, tune))
    for model, subgraphs in loaded.items():
        model.bind(ModelCall(model, subgraphs, models))
    first = {model: subgraphs[0] for model, subgraphs in loaded.items()}
    return Servable(name, version, declarations.methods, method_specs(declarations, first), first, models)


def find_folder(directory: Path, name: str) -> Path:
    """The servable's folder. Raises ServableError when it is none."""
    directory = directory.resolve()
    folder = directory / name
    place = f"servable directory '{directory}', servable name '{name}'"
    try:
        if not folder.is_dir():
            raise ServableError(f"Load servable config failed, directory '{folder}' not exist, {place}")
        if not (folder / CONFIG_FILE).is_file():
            raise ServableError(f"Load servable config failed, file '{folder / CONFIG_FILE}' not exist, {place}")
    except OSError as error:
        raise unreadable(error, "folder") from error
    return folder


def set_up_engine(folder: Path, version: int, target: Target, tune: str) -> tuple[EngineSettings, Finding | None]:
    """Makes the environment what suits this version's models best. Returns the settings, and what was measured.

    Raises ServableError when the user's own choice makes no sense.
    """
    if target.device_type != "CPU":
        return EngineSettings(), None
    default = default_settings(os.environ, cpu_flags())
    known = find_versions(folder)
    version = version or max(known, default=0)
    # Whoever wrote a config that is no Python is told so at once, not when its models have been measured.
    may_load = version in known and can_be_compiled(folder)
    finding = find_settings(folder, version, target, tune) if may_load else None
    settings = finding.settings if finding and finding.seconds else default
    too_late = apply_environment(settings, os.environ, sys.modules)
    if too_late:
        logger.info("%s", too_late)
    elif settings != EngineSettings():
        logger.info("MindSpore runs with %s", finding or settings)
    return settings, finding


def load_models(
    declarations: Declarations,
    folder: Path,
    target: Target,
    on_fault: Callable[[str, ServableError], None],
    settings: EngineSettings,
    tune: str = OFF,
) -> dict[Model, tuple[ReadyModel, ...]]:
    """The models of a version's folder. Each fault goes to `on_fault`, which raises it or takes it down.

    settings: say how many threads an operator may use, unless a Context does, and whether graphs are rewritten. tune:
    as load_servable has it.
    """
    loaded: dict[Model, tuple[ReadyModel, ...]] = {}
    if declarations.models:
        mindspore_model.set_device(target)
        if not any(model.context and model.context.thread_num for model in declarations.models):
            _set_threads(settings)

    def can_stack(file: Path) -> bool:
        return may_stack(file, target, settings, tune)

    for model in declarations.models:
        try:
            loaded[model] = mindspore_model.load(model, folder, target, can_stack, rewriting=settings.rewriting)
        except ServableError as error:
            on_fault(model.place, error)
    for method in declarations.methods.values():
        for stage in method.stages:
            if isinstance(stage.work, Model) and stage.work in loaded:
                # A stage runs the first subgraph; Model.call runs any.
                for text in _misfits(method, stage, loaded[stage.work][0]):
                    on_fault(stage.place, ServableError(text))
    for place, text in unfit_models(declarations.methods, {model: graphs[0] for model, graphs in loaded.items()}):
        on_fault(place, ServableError(text))
    return loaded


def _set_threads(settings: EngineSettings) -> None:
    """Of several servables in a process, the first one decides."""
    if settings.one_thread:
        try:
            mindspore_model.set_one_thread()
        except ServableError as error:
            logger.warning("%s", error)
    elif settings.kernel_threads:
        mindspore_model.set_kernel_threads(settings.kernel_threads)


def method_specs(declarations: Declarations, loaded: Mapping[Model, ReadyModel]) -> tuple[MethodSpec, ...]:
    """What the master is told of the methods."""
    return tuple(_spec(method, loaded) for method in declarations.methods.values())


def _misfits(method: Method, stage: Stage, model: ReadyModel) -> Iterator[str]:
    for what, given, defined in (
        ("inputs", len(stage.inputs), len(model.inputs)),
        ("outputs", len(stage.outputs), model.outputs_count),
    ):
        if given != defined:
            yield (
                f"The {what} count {given} in register_method not equal to the count {defined} defined in "
                f"model, method {method.name}, model file '{model.path}'"
            )


def _spec(method: Method, loaded: Mapping[Model, ReadyModel]) -> MethodSpec:
    """A method's batch size is the largest of its models' or functions'."""
    models = [loaded[stage.work] for stage in method.stages if isinstance(stage.work, Model)]
    sizes = [_most(model) for model in models]
    functions = [stage.batch_size for stage in method.stages if stage.batch_size]
    if not models:
        # A function that takes all instances together may pass them to Model.call.
        called = [_most(model) for model in loaded.values()]
        size = max(functions, default=max([_WITHOUT_MODEL, *called]))
    elif max(sizes) > 1:
        size = max(sizes)
    else:
        seconds = sum(model.seconds_per_call for model in models)
        size = min(_MOST_UNBATCHED, max(1, int(_WORTH_SECONDS / seconds)))
    types = input_types(method, loaded), output_types(method, loaded)
    return MethodSpec(method.name, method.inputs, method.outputs, size, method.idempotent, *types)


def _most(model: ReadyModel) -> int:
    return model.plan.most
