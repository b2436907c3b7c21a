"""A model file as rewrites/ writes it anew, for as long as MindSpore reads it. Runs on MindSpore's thread."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mindspore_serving.worker.mindir_file import parse
from mindspore_serving.worker.rewrites import rewrite

_MOST_BYTES = 512 << 20  # a larger one would take seconds of each start, and its size in memory twice


def places(path: Path) -> int:
    """In how many places this file would be written otherwise; 0 where it must stay as it is."""
    return _rewritten(path)[0]


@contextlib.contextmanager
def rewritten_file(path: Path) -> Iterator[Path]:
    """Gives a file that holds the rewritten model, which goes afterwards; `path` itself where nothing changes.

    Raises OSError when there is no room for one.
    """
    count, content = _rewritten(path)
    if not count:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="mindspore-serving-") as folder:  # nobody else may read it
        file = Path(folder) / path.name
        file.write_bytes(content)
        yield file


def _rewritten(path: Path) -> tuple[int, bytes]:
    """An encrypted file is no protobuf, and stays: its plain text must not lie on a disk."""
    if path.stat().st_size > _MOST_BYTES:
        return 0, b""
    try:
        model = parse(path.read_bytes())
    except ValueError:
        return 0, b""
    count = 0 if _has_data_elsewhere(model) else rewrite(model)
    return count, model.SerializeToString() if count else b""


def _has_data_elsewhere(model: Any) -> bool:
    """Its parameters lie in files beside it, which are found from where it lies."""
    return any(parameter.HasField("external_data") for parameter in model.graph.parameter)
