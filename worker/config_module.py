"""Runs a servable_config.py and returns what it declared; what it raises becomes one line with its file and line."""

import importlib.util
import sys
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

from mindspore_serving.cluster.errors import ServableError, ServingError
from mindspore_serving.worker.declarations import Collector, Declarations, Placeholder, collecting, no_method, place_in
from mindspore_serving.worker.limits import over_limits
from mindspore_serving.worker.stages import misfit_batch_functions

CONFIG_FILE = "servable_config.py"
_MARK = "__is_servable__"  # of packages that were made here


def run_config(folder: Path, name: str) -> Declarations:
    """Imports the file as module `<name>.servable_config`, so that it may import its siblings. Raises ServableError."""
    collector = Collector(name, folder)
    try:
        with collecting(collector):
            _import(folder, name)
        declarations = collector.declarations()
    except BaseException as error:  # also SystemExit: the user's code must not end the process without a reason
        raise ServableError(f"import {name}.servable_config failed, {describe(error, folder)}") from error
    for place, fault in _faults(declarations, folder):
        raise ServableError(f"import {name}.servable_config failed, {place}: {fault}")
    return declarations


def can_be_compiled(folder: Path) -> bool:
    """Whether the file is Python, which is seen without running it. What is wrong there, to run it tells."""
    try:
        SourceFileLoader(folder.name, str(folder / CONFIG_FILE)).get_code(folder.name)
    except (OSError, SyntaxError, ValueError):  # ValueError: a byte of 0
        return False
    return True


def examine_config(folder: Path, name: str) -> tuple[Declarations, list[str]]:
    """Like run_config, but goes on after a mistake: what could be read, and every mistake as `file:line: reason`."""
    mistakes: list[str] = []
    collector = Collector(name, folder, lambda error: mistakes.append(describe(error, folder)))
    try:
        with collecting(collector):
            _import(folder, name)
    except BaseException as error:
        mistakes.append(f"{describe(error, folder)} (the rest of the file was not read)")
    if not collector.methods and not mistakes:
        mistakes.append(f"{folder / CONFIG_FILE}:1: {no_method(name)}")
    declarations = Declarations(tuple(collector.models), dict(collector.methods))
    mistakes += [f"{place}: {fault}" for place, fault in _faults(declarations, folder)]
    return declarations, mistakes


def _faults(declarations: Declarations, folder: Path) -> Iterator[tuple[str, str]]:
    """Where, and what, is wrong in a file that could be read to its end."""
    yield from misfit_batch_functions(declarations)
    for place, fault in over_limits(declarations):
        yield place or f"{folder / CONFIG_FILE}:1", fault


def describe(error: BaseException, folder: Path) -> str:
    """`file:line: reason` in one line; the place is the deepest one in the servable's own code."""
    reason = " ".join(str(error).split())[:1000]
    if not isinstance(error, ServingError):
        reason = f"{type(error).__name__}: {reason}" if reason else type(error).__name__
        if Placeholder.__name__ in reason:
            reason += " (the values in a method are placeholders: compute in a function, and add that with add_stage)"
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}: {type(error).__name__}: {error.msg}"
    return f"{place_in(folder, error) or folder / CONFIG_FILE}: {reason}"


def _import(folder: Path, name: str) -> None:
    if str(folder.parent) not in sys.path:
        sys.path.append(str(folder.parent))  # last: a servable must not hide an installed package
    package = _package(folder, name)
    if f"{package}.servable_config" in sys.modules:
        return  # its __init__.py has imported it
    spec = importlib.util.spec_from_file_location(f"{package}.servable_config", folder / CONFIG_FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[spec.name]
        raise


def _package(folder: Path, name: str) -> str:
    """Makes the folder a package and returns its name: the servable's, unless that is another package's name.

    Its __init__.py is run, if it has one.
    """
    if _is_foreign(folder, name):
        name = f"servable_{name}"
    for module in [m for m in sys.modules if m == name or m.startswith(f"{name}.")]:
        del sys.modules[module]  # of another folder of this name, or an earlier load
    package = ModuleType(name)
    package.__path__ = [str(folder)]
    if (folder / "__init__.py").is_file():
        spec = importlib.util.spec_from_file_location(
            name, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        assert spec is not None
        package = importlib.util.module_from_spec(spec)
    setattr(package, _MARK, True)
    sys.modules[name] = package
    if package.__spec__ is not None and package.__spec__.loader is not None:
        try:
            package.__spec__.loader.exec_module(package)
        except BaseException:
            del sys.modules[name]
            raise
    return name


def _is_foreign(folder: Path, name: str) -> bool:
    if name in sys.stdlib_module_names:
        return True
    known = sys.modules.get(name)
    if getattr(known, "__file__", None) and not hasattr(known, _MARK):
        return True  # a real package or module, not one made here
    try:
        spec = importlib.util.find_spec(name) if known is None else None
    except (ImportError, ValueError):
        return False
    if spec is None or spec.origin is None:
        return False
    place = Path(spec.origin).parent
    return place != folder and not (place / CONFIG_FILE).is_file()  # a servable of this name is none either
