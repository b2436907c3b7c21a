"""The compiled hot path is used when it was made of the sources that are here, and otherwise never."""

import ast
import os
import re
import shutil
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

import mindspore_serving
from mindspore_serving import compiled
from mindspore_serving.compiled import BUILT, KERNELS, LIBRARY, SWITCH, digest, file_stem
from tests.processes import ROOT

NAMES = ["top.one", "top.two"]
# A program beside a package `top`, where `mindspore_serving.compiled` lies as in our tree.
PROGRAM = """
import sys
from top.compiled import enable
print(enable())
print(type(sys.meta_path[0]).__name__ == "_Finder")
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A package whose compiled modules are empty files: good to be found, not to be loaded."""
    folder = tmp_path / "top" / "compiled"
    folder.mkdir(parents=True)
    shutil.copy(compiled.__file__, folder)
    (tmp_path / "top" / "__init__.py").touch()
    for name in NAMES:
        (tmp_path / "top" / f"{name[4:]}.py").write_text(f"# {name}\n")
    for name in (LIBRARY, *NAMES):
        (folder / (file_stem(name) + EXTENSION_SUFFIXES[0])).touch()
    kernels = tmp_path.joinpath(*KERNELS.split("."))
    kernels.mkdir(parents=True)
    (kernels / "one.c").write_text("/* of C */\n")
    (folder / BUILT).write_text("\n".join([digest(str(tmp_path), NAMES), *NAMES, ""]))
    return tmp_path


def enabled(tree: Path, **variables: str) -> list[str]:
    """Why it is not enabled, and whether compiled modules would be found then."""
    environment = {key: value for key, value in os.environ.items() if key not in (SWITCH, "PYTHONPATH")}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(
        command, cwd=tree, env={**environment, **variables}, capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.splitlines()


def test_modules_that_cannot_be_loaded_are_left_alone(tree: Path) -> None:
    """They are looked at: they fit their sources."""
    why_not, found = enabled(tree)
    assert why_not.startswith(f"it was compiled, and cannot be loaded here: {tree}/top/compiled/{LIBRARY}.")
    assert found == "False"


def test_a_damaged_list_of_modules_counts_as_none(tree: Path) -> None:
    for damaged in (b"", b"\xff\xfe"):
        (tree / "top" / "compiled" / BUILT).write_bytes(damaged)
        assert "it was not compiled" in enabled(tree)[0]


def test_changed_sources_run_themselves(tree: Path) -> None:
    (tree / "top" / "two.py").write_text("# changed\n")
    assert enabled(tree) == [
        "its sources have changed since it was compiled: `make compiled` does it again",
        "False",
    ]
    (tree / "top" / "two.py").unlink()  # a copy of a part of the tree
    assert "have changed" in enabled(tree)[0]


def test_changed_sources_in_c_count_as_well(tree: Path) -> None:
    tree.joinpath(*KERNELS.split("."), "one.c").write_text("/* of another */\n")
    assert "its sources have changed" in enabled(tree)[0]


def test_modules_of_another_python_are_left_alone(tree: Path) -> None:
    file = tree / "top" / "compiled" / (file_stem("top.two") + EXTENSION_SUFFIXES[0])
    file.rename(file.with_name("top-two.cpython-30-of-another.so"))
    assert enabled(tree) == ["it was compiled for another Python", "False"]


def test_without_a_compiler_the_sources_run(tree: Path) -> None:
    (tree / "top" / "compiled" / BUILT).unlink()
    assert "a C compiler and Python's headers" in enabled(tree)[0]


def test_the_environment_can_choose_the_sources(tree: Path) -> None:
    assert enabled(tree, **{SWITCH: "0"}) == [f"{SWITCH}=0 is set", "False"]


@pytest.mark.skipif(mindspore_serving.WHY_NOT_COMPILED is not None, reason=str(mindspore_serving.WHY_NOT_COMPILED))
def test_what_was_compiled_is_what_runs_here() -> None:
    made_of, *built = (ROOT / "mindspore_serving" / "compiled" / BUILT).read_text().split()
    assert made_of == digest(str(ROOT), built)
    assert compiled.kernel_library() is not None
    program = "import importlib, sys\nfor name in sys.argv[1:]: print(importlib.import_module(name).__file__)"
    done = subprocess.run(
        [sys.executable, "-c", program, *built], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    files = done.stdout.split()
    assert len(files) == len(built) and all(file.endswith(EXTENSION_SUFFIXES[0]) for file in files)


# A package, and what has its types where the name is another one.
TYPES = {
    "google": "types-protobuf",
    "grpc": "types-grpcio",
    "msgpack": "msgpack-types",
    "msgpack_numpy": "msgpack-numpy",
    "zmq": "pyzmq",
}


def hot_modules() -> list[Path]:
    """What setup.py compiles."""
    (hot,) = [
        ast.literal_eval(node.value)
        for node in ast.parse((ROOT / "setup.py").read_text()).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "HOT"
    ]
    return [ROOT / package.replace(".", "/") / f"{name}.py" for package in hot for name in hot[package].split()]


def test_what_compiled_modules_import_is_there_where_they_are_compiled() -> None:
    """Where pip builds the package, there is nothing but this; a type that is not known there stops all of mypyc."""
    (requires,) = re.findall(r"requires = \[(.*?)\]\n", (ROOT / "pyproject.toml").read_text(), re.DOTALL)
    known = set(re.findall(r'"([\w-]+)', requires))
    imported = (
        {name for file in hot_modules() for name in imports(file)} - sys.stdlib_module_names - {"mindspore_serving"}
    )
    assert {"numpy", "zmq"} <= imported
    assert {TYPES.get(name, name) for name in imported} <= known


def imports(file: Path) -> set[str]:
    """The top names of what a module imports."""
    nodes = list(ast.walk(ast.parse(file.read_text())))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return {name.partition(".")[0] for name in plain | {n.module or "" for n in nodes if isinstance(n, ast.ImportFrom)}}


@pytest.mark.parametrize("path", hot_modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_compiled_coroutine_waits_while_it_handles_an_exception(path: Path) -> None:
    """mypyc leaves the exception behind in the thread: what is raised later has it for its context, and keeps it."""
    waits = (ast.Await, ast.Yield, ast.YieldFrom, ast.AsyncFor, ast.AsyncWith)
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Try):
            handling = [*node.handlers, *node.finalbody]
            found += [each.lineno for part in handling for each in ast.walk(part) if isinstance(each, waits)]
        elif isinstance(node, ast.AsyncWith):
            found.append(node.lineno)
    assert found == []
