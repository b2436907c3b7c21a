"""Looks at a servable as a worker would, and goes on after a mistake: for `mindspore-serving check`."""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from mindspore_serving.cluster.errors import ServableError
from mindspore_serving.cluster.messages import MethodSpec
from mindspore_serving.worker.config import OFF
from mindspore_serving.worker.config_module import CONFIG_FILE, examine_config
from mindspore_serving.worker.declarations import Declarations, Model
from mindspore_serving.worker.loaded_model import ReadyModel
from mindspore_serving.worker.loading import find_folder, load_models, method_specs, set_up_engine
from mindspore_serving.worker.target import Target
from mindspore_serving.worker.tuning import Finding
from mindspore_serving.worker.versions import choose_version, find_versions, misnamed_versions
from mindspore_serving.worker.work_thread import WorkThread


@dataclass(frozen=True)
class Inspection:
    """What was found. `mistakes`: one line each, `file:line: text` where there is a line; empty for a good servable.

    `methods` is empty when there are mistakes: what a worker would tell the master is not known then.
    """

    folder: Path
    versions: tuple[int, ...]
    version: int
    declarations: Declarations
    models: dict[Model, tuple[ReadyModel, ...]]
    methods: tuple[MethodSpec, ...]
    mistakes: tuple[str, ...]
    finding: Finding | None = None


def inspect_servable(
    directory: Path, name: str, version: int, target: Target, models: WorkThread, tune: str = OFF
) -> Inspection:
    """Everything about `directory`/`name`. Raises ServableError when there is no such servable to look at."""
    folder = find_folder(directory, name)
    settings, finding = set_up_engine(folder, version, target, tune)
    declarations, mistakes = models.call(lambda: examine_config(folder, name))
    mistakes += [
        f"{folder / wrong}: is not taken for a version, only a number such as {right} is"
        for wrong, right in misnamed_versions(folder)
    ]
    loaded: dict[Model, tuple[ReadyModel, ...]] = {}
    known = [model for model in declarations.models if model.files]
    if declarations.models:
        try:
            version = choose_version(folder, version)
        except ServableError as error:
            mistakes.append(f"{folder / CONFIG_FILE}: {error}")
        else:
            to_load = Declarations(tuple(known), declarations.methods)

            def take_down(place: str, error: ServableError) -> None:
                mistakes.append(f"{place or folder / CONFIG_FILE}: {error}")

            place = folder / str(version)
            loaded = models.call(lambda: load_models(to_load, place, target, take_down, settings, tune))
    first = {model: subgraphs[0] for model, subgraphs in loaded.items()}
    return Inspection(
        folder,
        tuple(find_versions(folder)),
        version or 1,
        declarations,
        loaded,
        () if mistakes else method_specs(declarations, first),
        tuple(sorted(mistakes, key=_line)),
        finding,
    )


def _line(mistake: str) -> int:
    """Where in its file: mistakes are told in the order in which one would mend them, those of no line last."""
    line = re.match(r".+?\.py:(\d+): ", mistake)
    return int(line[1]) if line else sys.maxsize
