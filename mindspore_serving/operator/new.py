"""`mindspore-serving new`: writes a servable for a MindIR file, and checks it."""

import json
import keyword
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mindspore_serving.cluster.errors import SetupError
from mindspore_serving.operator.check import check
from mindspore_serving.operator.config import NewConfig
from mindspore_serving.operator.interruption import until_interrupted
from mindspore_serving.telling import report
from mindspore_serving.worker.config_module import CONFIG_FILE
from mindspore_serving.worker.declarations import Model
from mindspore_serving.worker.loaded_model import ReadyModel
from mindspore_serving.worker.mindir_file import DYNAMIC, read_inputs, shape_text
from mindspore_serving.worker.mindspore_model import load, set_device
from mindspore_serving.worker.target import Target
from mindspore_serving.worker.work_thread import WorkThread

METHOD = "predict"


def run(config: NewConfig, notify: Callable[[str], None]) -> int:
    """Writes the folder and prints how to serve it. Raises ServingError, and leaves nothing behind then."""
    del notify  # this is no service
    folder = (config.directory / config.name).resolve()
    if folder.exists():
        raise SetupError(f"'{folder}' exists already: choose another NAME or --directory")
    if not config.model.is_file():
        raise SetupError(f"--model '{config.model}' is not a file")
    return until_interrupted(lambda: _write(config, folder))


def _write(config: NewConfig, folder: Path) -> int:
    models = WorkThread("MindSpore")
    batched, graph = models.call(lambda: _load(config.model.resolve(), config.batch))
    models.close()
    text = _config_text(config, batched, graph)
    try:
        (folder / "1").mkdir(parents=True)
        shutil.copyfile(config.model, folder / "1" / config.model.name)
        (folder / CONFIG_FILE).write_text(text)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise SetupError(f"'{folder}' cannot be written: {error.strerror or error}") from error
    mistakes = check([folder], 0, Target())
    if not mistakes:
        report(f"written to {folder}. Serve it with:\n  mindspore-serving up {folder}")
    return 1 if mistakes else 0


def _load(path: Path, batch: bool) -> tuple[bool, ReadyModel]:
    target = Target()
    inputs = read_inputs(path, target)
    batched = batch or all(given.shape[:1] == (DYNAMIC,) for given in inputs)
    set_device(target)
    (graph,) = load(Model((path.name,), batched, frozenset()), path.parent, target)
    return batched, graph


def _config_text(config: NewConfig, batched: bool, graph: ReadyModel) -> str:
    names = _names([spec.name for spec in graph.inputs])
    outputs = ["y"] if graph.outputs_count == 1 else [f"y{number + 1}" for number in range(graph.outputs_count)]
    takes = [_value(name, spec.dtype, spec.instance_shape) for name, spec in zip(names, graph.inputs, strict=True)]
    gives = [_value(name, spec.dtype, spec.shape) for name, spec in zip(outputs, graph.outputs, strict=True)]
    listed = ", ".join(f'"{name}"' for name in outputs)
    model_file = json.dumps(config.model.name, ensure_ascii=False)
    return f'''"""The servable {config.name}: one model, called as it is. Made by `mindspore-serving new`."""

from mindspore_serving.server import register

model = register.declare_model(model_file={model_file}, model_format="MindIR", with_batch_dim={batched})


@register.register_method(output_names=[{listed}])
def {METHOD}({", ".join(names)}):
    """Takes {", ".join(takes)}; gives {", ".join(gives)}: of each instance."""
    return register.add_stage(model, {", ".join(names)}, outputs_count={graph.outputs_count})
'''


def _value(name: str, dtype: "np.dtype[Any]", shape: tuple[int, ...]) -> str:
    return f"{name} {dtype} {shape_text(shape)}"


def _names(given: Sequence[str]) -> list[str]:
    """The model's own names as Python takes them, each once."""
    names: list[str] = []
    for number, text in enumerate(given, 1):
        name = re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_")
        if not name.isidentifier() or keyword.iskeyword(name) or name in (*names, "model", "register"):
            name = f"x{number}"
        names.append(name)
    return names
