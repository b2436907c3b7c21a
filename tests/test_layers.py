"""Who may import whom (the table is this project's design), and that every file says what it is for."""

import ast
import sys
from pathlib import Path

import pytest

from tests.processes import ROOT

OURS = "mindspore_serving"
FOLDERS = ("cluster", "master", "worker", "client")
# folder -> what it may import of ours; `__main__` and mindspore_serving's own files may import anything
MAY_IMPORT = {
    "cluster": ("cluster",),
    "client": ("client", "proto"),
    "master": ("cluster", "master", "proto", "telling"),
    "worker": ("cluster", "compiled", "telling", "worker"),
}
# The core decides; it neither waits, nor talks, nor asks for the time.
IMPURE = {
    "asyncio", "datetime", "grpc", "logging", "multiprocessing", "numpy", "os", "queue", "random", "secrets", "select",
    "selectors", "signal", "socket", "subprocess", "threading", "time", "uuid", "zmq",
}  # fmt: skip
MINDSPORE_FILES = ("mindir_file.py", "mindspore_model.py")
FILES = sorted(
    file
    for folder in (*FOLDERS, "mindspore_serving", "examples", "tests", "benchmarks")
    for file in (ROOT / folder).rglob("*.py")
    if "_pb2" not in file.name and not any(parent.is_symlink() for parent in file.parents)
)


def imports(file: Path) -> list[str]:
    """Every module that the file imports, wherever in it."""
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


def test_the_files_were_found() -> None:
    found = {file.relative_to(ROOT).parts[0] for file in FILES}
    assert found == {*FOLDERS, "mindspore_serving", "examples", "tests", "benchmarks"}


@pytest.mark.parametrize("folder", FOLDERS)
def test_each_folder_imports_only_what_it_may(folder: str) -> None:
    allowed = tuple(f"{OURS}.{name}." for name in MAY_IMPORT[folder])
    for file in (ROOT / folder).rglob("*.py"):
        if file.name == "__main__.py":
            continue
        for name in imports(file):
            if name == OURS or name.startswith(f"{OURS}."):
                assert f"{name}.".startswith(allowed), f"{file} imports {name}"


def test_the_core_is_pure() -> None:
    for file in (ROOT / "cluster").rglob("*.py"):
        assert not {name.partition(".")[0] for name in imports(file)} & IMPURE, file


def test_only_the_model_files_import_mindspore_and_only_when_it_is_used() -> None:
    for file in FILES:
        if file.relative_to(ROOT).parts[0] in (*FOLDERS, OURS) and file.name not in MINDSPORE_FILES:
            assert not [name for name in imports(file) if name.partition(".")[0] == "mindspore"], file
    for name in MINDSPORE_FILES:
        top = ast.parse((ROOT / "worker" / name).read_text()).body
        assert "mindspore" not in [alias.name for node in top if isinstance(node, ast.Import) for alias in node.names]


def test_nobody_imports_the_folders_by_their_bare_names() -> None:
    for file in FILES:
        if file.relative_to(ROOT).parts[0] == "examples":
            continue
        assert not {name.partition(".")[0] for name in imports(file)} & {*FOLDERS, "proto"}, file


def test_nothing_is_unpickled_or_evaluated() -> None:
    for file in FILES:
        if file.relative_to(ROOT).parts[0] in (*FOLDERS, OURS):
            assert not {name.partition(".")[0] for name in imports(file)} & {"pickle", "marshal", "shelve", "dill"}, (
                file
            )
            calls = [node.func for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
            assert not [call for call in calls if isinstance(call, ast.Name) and call.id in ("eval", "exec")], file


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_file_says_first_what_it_is_for(file: Path) -> None:
    text = file.read_text()
    assert not text or text.startswith(('"""', "# "))


def test_the_interpreter_is_one_we_promise() -> None:
    assert (3, 10) <= sys.version_info[:2] <= (3, 12)
