"""Target: what a servable_config.py says. The bytes choose its words: as a whole program they would be run.

Declarations, or a ServableError in one line.
"""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from mindspore_serving.cluster.errors import ServableError
from mindspore_serving.worker.config_module import examine_config, run_config

_VALUES = (
    *(
        "x",
        "y",
        "model",
        "f",
        "'a.mindir'",
        "'../b'",
        "''",
        "['a', 'b']",
        "[]",
        "None",
        "True",
        "-1",
        "0",
        "1",
        "2**70",
    ),
    *("1.5", "'MindIR'", "'nonsense'", "{}", "(x, y)", "register", "lambda a: a", "object()", "[[]]", "b'x'", "'y'"),
)
_NAMES = (
    *("declare_model", "declare_servable", "add_stage", "register_method", "call_preprocess", "call_servable"),
    *(
        "call_postprocess",
        "call_preprocess_pipeline",
        "AclOptions",
        "GpuOptions",
        "Context",
        "CPUDeviceInfo",
        "nothing",
    ),
)
_KEYWORDS = (
    *("model_file", "model_format", "with_batch_dim", "options", "without_batch_dim_inputs", "context", "config_file"),
    *("outputs_count", "batch_size", "tag", "output_names", "nonsense"),
)
_HEAD = "from mindspore_serving.server import register\ndef f(a):\n    return a\nx = y = model = None\n"

SEEDS = [
    bytes([0, 0, 1, 2, 5, 1, 16, 0, 3, 1, 1, 25, 2, 2, 0, 2, 3, 0, 7, 13]),
    bytes([1, 0, 2, 5, 16, 0, 1, 2, 1, 3, 7, 13, 0, 2, 0, 0, 0]),
    bytes(range(60)),
    b"",
]


def _text(data: bytes) -> str:
    source = iter(data)
    lines = [_HEAD]
    while (kind := next(source, None)) is not None:
        match kind % 4:
            case 0:
                lines.append(f"model = {_call(source)}\n")
            case 1:
                names = ", ".join(f"p{number}" for number in range(next(source, 0) % 4))
                lines.append(
                    f"@{_call(source)}\ndef m{next(source, 0) % 3}({names}):\n    x = {_call(source)}\n    return x\n"
                )
            case 2:
                lines.append(f"x, y = {_call(source)}\n")
            case _:
                lines.append(
                    f"@register.register_method(output_names={_value(source)})\n"
                    f"def m{next(source, 0) % 3}(x, y=None):\n    y = {_call(source)}\n    return {_value(source)}\n"
                )
    return "".join(lines)


def _call(source: Iterator[int]) -> str:
    name = _NAMES[next(source, 0) % len(_NAMES)]
    shape = next(source, 0)
    words = [_value(source) for _ in range(shape % 4)]
    keywords = {_KEYWORDS[next(source, 0) % len(_KEYWORDS)]: _value(source) for _ in range(shape // 4 % 4)}
    return f"register.{name}({', '.join([*words, *(f'{key}={value}' for key, value in keywords.items())])})"


def _value(source: Iterator[int]) -> str:
    return _VALUES[next(source, 0) % len(_VALUES)]


def run(data: bytes) -> None:
    """Writes the file, and reads it as a worker does and as `mindspore-serving check` does."""
    folder = Path(tempfile.mkdtemp()) / "fuzzed"
    folder.mkdir()
    try:
        (folder / "servable_config.py").write_text(_text(data))
        _, mistakes = examine_config(folder, "fuzzed")
        assert all("\n" not in mistake for mistake in mistakes)
        try:
            run_config(folder, "fuzzed")
        except ServableError as error:
            text = str(error)
            assert mistakes
            assert "\n" not in text
        else:
            assert not mistakes
    finally:
        shutil.rmtree(folder.parent)
