"""`mindspore-serving check`: loads servables as a worker would, and says what is in them and what is wrong."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mindspore_serving.cluster.errors import SetupError
from mindspore_serving.cluster.messages import MethodSpec
from mindspore_serving.operator.config import CheckConfig
from mindspore_serving.operator.interruption import until_interrupted
from mindspore_serving.telling import report
from mindspore_serving.worker.config import OFF
from mindspore_serving.worker.config_module import CONFIG_FILE
from mindspore_serving.worker.declarations import Model, Stage
from mindspore_serving.worker.inspection import Inspection, inspect_servable
from mindspore_serving.worker.loaded_model import InputSpec, ReadyModel
from mindspore_serving.worker.mindir_file import DYNAMIC, shape_text
from mindspore_serving.worker.target import Target
from mindspore_serving.worker.work_thread import WorkThread


def run(config: CheckConfig, notify: Callable[[str], None]) -> int:
    """Prints what was found. Returns 1 when there is a mistake. Raises SetupError when there is nothing to look at."""
    del notify  # this is no service
    folders = find_servables(config.path)
    target, tune = config.target(), config.tuning()
    return until_interrupted(lambda: 1 if check(folders, config.version, target, tune) else 0)


def check(folders: list[Path], version: int, target: Target, tune: str = OFF) -> int:
    """Prints what is in these servables. Returns the number of mistakes."""
    models = WorkThread("MindSpore")
    mistakes = 0
    for folder in folders:
        inspection = inspect_servable(folder.parent, folder.name, version, target, models, tune)
        report("\n".join(_describe(inspection)))
        mistakes += len(inspection.mistakes)
    models.close()
    return mistakes


def find_servables(path: Path) -> list[Path]:
    """This servable, or all those in this folder. Raises SetupError when there is none."""
    path = path.resolve()
    if not path.is_dir():
        raise SetupError(f"there is no directory '{path}'")
    if (path / CONFIG_FILE).is_file():
        return [path]
    found = sorted(entry.parent for entry in path.glob(f"*/{CONFIG_FILE}"))
    if not found:
        raise SetupError(f"there is no servable in '{path}': neither it nor a folder in it has a {CONFIG_FILE}")
    return found


def _describe(found: Inspection) -> Iterator[str]:
    versions = ", ".join(map(str, found.versions)) or "none"
    yield f"servable {found.folder.name} in {found.folder.parent}: version {found.version} (found: {versions})"
    for model, subgraphs in found.models.items():
        for file, graph in zip(model.files, subgraphs, strict=True):
            yield f"  model {file}: {_model(graph)}"
    if found.finding is not None:
        yield f"  fastest on this machine: {found.finding}"
    specs = {spec.name: spec for spec in found.methods}
    for name, method in found.declarations.methods.items():
        yield f"  method {name}({', '.join(method.inputs)}) -> {', '.join(method.outputs)}{_batches(specs.get(name))}"
        for stage in method.stages:
            yield f"    stage {stage.index}: {_stage(stage)}"
    yield from (f"  {mistake}" for mistake in found.mistakes)
    count = len(found.mistakes)
    yield "  good" if not count else f"  {count} mistake{'s' if count > 1 else ''}"


def _model(graph: ReadyModel) -> str:
    batched = any(spec.batched for spec in graph.inputs)
    if not batched:
        size = "runs each instance by itself"
    elif graph.batch_size == DYNAMIC:
        size = "runs any number of instances together"
    else:
        size = f"runs {_sizes(graph.sizes)} instances together"
    how = ", by own kernels alone" if graph.is_straight else ""
    inputs = ", ".join(_input(spec, batched) for spec in graph.inputs)
    outputs = ", ".join(f"{spec.dtype} {shape_text(spec.shape)}" for spec in graph.outputs)
    return f"{size}{how}; takes {inputs}; gives {outputs}"


def _sizes(sizes: Sequence[int]) -> str:
    if len(sizes) > 2 and list(sizes) == list(range(1, len(sizes) + 1)):
        return f"up to {sizes[-1]}"
    return " or ".join(map(str, sizes))


def _input(spec: InputSpec, batched: bool) -> str:
    shared = " (shared)" if batched and not spec.batched else ""
    return f"{spec.name} {spec.dtype} {shape_text(spec.instance_shape)}{shared}"


def _batches(spec: MethodSpec | None) -> str:
    return "" if spec is None else f", batches of up to {spec.batch_size}"


def _stage(stage: Stage) -> str:
    if isinstance(stage.work, Model):
        return f"model {stage.work.key or '(not declared rightly)'}"
    how = {None: "per instance", 0: "all instances together"}.get(
        stage.batch_size, f"at most {stage.batch_size} instances together"
    )
    return f"function {getattr(stage.work, '__name__', type(stage.work).__name__)}, {how}"
