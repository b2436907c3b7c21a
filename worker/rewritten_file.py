"""A model file as rewrites/ writes it anew, for as long as MindSpore reads it. Runs on MindSpore's thread."""

import contextlib
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mindspore_serving.worker.mindir_file import parse
from mindspore_serving.worker.rewrites import ALL, AS_IT_IS, Rewriting, rewrite
from mindspore_serving.worker.rewrites.straight import MOST_BYTES, StraightGraph, straight_graph

logger = logging.getLogger("mindspore_serving.worker")

_MOST_BYTES = 512 << 20  # for a larger one rules would take seconds of each start
_BRANCHES_STAY = (
    "model file '%s' has branches, and parameters in further files: MindSpore 2.10 may compute such a model wrongly or "
    "not at all if they depend on shapes. Export it with a fixed number of instances to be sure"
)


def places(path: Path, rewriting: Rewriting = ALL) -> dict[Rewriting, int]:
    """In how many places rules of each of these kinds would write a file otherwise; nothing where it must stay.

    Of the others without kernels: these may leave nothing to them.
    """
    found = _rewritten(path, rewriting)[0]
    if Rewriting.KERNELS not in rewriting:
        return found
    others = _rewritten(path, rewriting & ~Rewriting.KERNELS)[0]
    return {kind: found[kind] if kind == Rewriting.KERNELS else others.get(kind, 0) for kind in found}


@contextlib.contextmanager
def rewritten_file(path: Path, rewriting: Rewriting, *, together: bool = True) -> Iterator[Path]:
    """Gives a file that holds the rewritten model, which goes afterwards; `path` itself where nothing changes.

    together: the open first sizes of all its inputs are the same, as those of instances are.
    """
    _, model = _rewritten(path, rewriting, together)
    file = path
    with contextlib.ExitStack() as stack:
        try:
            if model is not None:
                # A folder that nobody else may read.
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix=_prefix()))
                written = Path(folder) / path.name
                written.write_bytes(model.SerializeToString())
                file = written
        except OSError as error:
            logger.warning("model file '%s' is loaded as it is, rewritten it finds no place: %s", path, error)
        yield file


def remove_copies() -> None:
    """Those that this process has made and not yet removed: for an end in the middle of a load."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_prefix()}*"):
        shutil.rmtree(folder, ignore_errors=True)


def _prefix() -> str:
    return f"mindspore-serving-{os.getpid()}-model-"


def straight_graph_of(file: Path) -> StraightGraph | None:
    """What a file that was rewritten computes, if that can be done without MindSpore."""
    return straight_graph(parse(file.read_bytes())) if file.stat().st_size <= MOST_BYTES else None


def _rewritten(path: Path, rewriting: Rewriting, together: bool = True) -> tuple[dict[Rewriting, int], Any]:
    """In how many places, and the ModelProto, or None if it stays.

    So does an encrypted file: its plain text must not lie on a disk.
    """
    if path.stat().st_size > _MOST_BYTES:
        rewriting &= Rewriting.RUNNABLE
    try:
        model = parse(path.read_bytes())
    except ValueError:
        return {}, None
    has_branches = bool(model.functions)
    if _has_data_elsewhere(model):
        if has_branches:
            logger.warning(_BRANCHES_STAY, path)
        return {}, None
    try:
        found = rewrite(model, rewriting, together=together)
        return found, model if any(found.values()) or (has_branches and not model.functions) else None
    except Exception as error:
        logger.warning("model file '%s' is not rewritten: a fault of ours, unless it is damaged: %r", path, error)
        logger.debug("where that came up", exc_info=True)
        less = rewriting & Rewriting.RUNNABLE if rewriting & ~Rewriting.RUNNABLE else AS_IT_IS
        return _rewritten(path, less, together) if rewriting else ({}, None)


def _has_data_elsewhere(model: Any) -> bool:
    """Its parameters lie in files beside it, which are found from where it lies."""
    return any(parameter.HasField("external_data") for parameter in model.graph.parameter)
