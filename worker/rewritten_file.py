"""A model file as rewrites/ writes it anew, for as long as MindSpore reads it. Runs on MindSpore's thread."""

import contextlib
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mindspore_serving.worker.mindir_file import parse
from mindspore_serving.worker.rewrites import ALL, Rewriting, rewrite

logger = logging.getLogger("mindspore_serving.worker")

_MOST_BYTES = 512 << 20  # a larger one would take seconds of each start, and its size in memory twice


def places(path: Path, rewriting: Rewriting = ALL) -> dict[Rewriting, int]:
    """In how many places rules of each of these kinds would write a file otherwise; nothing where it must stay."""
    return _rewritten(path, rewriting)[0]


@contextlib.contextmanager
def rewritten_file(path: Path, rewriting: Rewriting) -> Iterator[Path]:
    """Gives a file that holds the rewritten model, which goes afterwards; `path` itself where nothing changes."""
    found: dict[Rewriting, int] = {}
    model: Any = None
    if rewriting:
        found, model = _rewritten(path, rewriting)
    file = path
    with contextlib.ExitStack() as stack:
        try:
            if any(found.values()):
                # A folder that nobody else may read.
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="mindspore-serving-"))
                written = Path(folder) / path.name
                written.write_bytes(model.SerializeToString())
                file = written
        except OSError as error:
            logger.warning("model file '%s' is loaded as it is, rewritten it finds no place: %s", path, error)
        yield file


def _rewritten(path: Path, rewriting: Rewriting) -> tuple[dict[Rewriting, int], Any]:
    """In how many places, and the ModelProto. An encrypted file is none: its plain text must not lie on a disk."""
    if path.stat().st_size > _MOST_BYTES:
        return {}, None
    try:
        model = parse(path.read_bytes())
    except ValueError:
        return {}, None
    try:
        return ({} if _has_data_elsewhere(model) else rewrite(model, rewriting)), model
    except Exception:
        logger.exception("model file '%s' is not rewritten: a fault of ours", path)
        return {}, None


def _has_data_elsewhere(model: Any) -> bool:
    """Its parameters lie in files beside it, which are found from where it lies."""
    return any(parameter.HasField("external_data") for parameter in model.graph.parameter)
