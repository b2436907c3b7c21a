"""Runs the hot path as setup.py has compiled it, if that is here and was made of the sources that are here.

The sources are Python, and run as they are. mypyc makes extension modules of them, which take two thirds of the CPU.
They lie in this folder, beside BUILT, which says what they were made of; without a C compiler there are none. So does
the library of worker/kernels/, which is C.
"""

import os
import sys
import zlib
from collections.abc import Iterable, Sequence
from glob import glob
from importlib import import_module
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, ModuleSpec
from types import ModuleType

SWITCH = "MINDSPORE_SERVING_COMPILED"  # 0 in the environment: run the sources
BUILT = "built.txt"  # a digest, then the names of the modules
LIBRARY = "mindspore_serving__mypyc"  # what they share
KERNELS = "mindspore_serving.worker.kernels"  # no module: MindSpore loads it
_FOLDER = os.path.dirname(os.path.abspath(__file__))
_is_enabled = False
_ROOT = os.path.dirname(os.path.dirname(_FOLDER))  # of the import root


def digest(root: str, names: Iterable[str]) -> str:
    """What these modules' sources are, and those in C, as far as a mistake would tell. Raises OSError."""
    found = 0
    for path in [*(os.path.join(root, *name.split(".")) + ".py" for name in names), *c_sources(root)]:
        with open(path, "rb") as file:
            found = zlib.crc32(file.read(), found)
    return f"{found:08x}"


def c_sources(root: str) -> list[str]:
    """The files that the library of worker/kernels/ is made of."""
    return sorted(glob(os.path.join(root, *KERNELS.split("."), "*.[ch]")))


def file_stem(name: str) -> str:
    """What a compiled module's file is called, before its suffix."""
    return name.replace(".", "-")


def compiled_file(name: str) -> str:
    """Where the compiled module of this name lies, if there is one."""
    return os.path.join(_FOLDER, file_stem(name) + EXTENSION_SUFFIXES[0])


def kernel_library() -> str | None:
    """The library of worker/kernels/, if it was made of the sources that are here; None if it is not to be used."""
    path = compiled_file(KERNELS)
    return path if _is_enabled and os.path.exists(path) else None


class _Finder:
    """Finds the compiled modules; the others are found as usual."""

    def __init__(self, names: Iterable[str]) -> None:
        self._files = {name: compiled_file(name) for name in (LIBRARY, *names)}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        file = self._files.get(fullname)
        if file is None:
            return None
        spec = ModuleSpec(fullname, ExtensionFileLoader(fullname, file), origin=file)
        spec.has_location = True
        return spec

    def is_complete(self) -> bool:
        """Whether every file is there: those of another Python's are called otherwise."""
        return all(map(os.path.exists, self._files.values()))


def enable() -> str | None:
    """Whatever of the hot path is imported from now on is compiled, if it may be. Returns why not."""
    global _is_enabled
    if os.environ.get(SWITCH) == "0":
        return f"{SWITCH}=0 is set"
    try:
        with open(os.path.join(_FOLDER, BUILT), encoding="ascii") as file:
            made_of, *names = file.read().split()
    except (OSError, ValueError):  # there is none, or it is damaged
        return "it was not compiled when this was installed: a C compiler and Python's headers make it faster"
    finder = _Finder(names)
    if not finder.is_complete():
        return "it was compiled for another Python"
    try:
        is_up_to_date = digest(_ROOT, names) == made_of
    except OSError:  # a copy of a part of the tree
        is_up_to_date = False
    if not is_up_to_date:
        return "its sources have changed since it was compiled: `make compiled` does it again"
    sys.meta_path.insert(0, finder)
    try:
        import_module(LIBRARY)
    except ImportError as error:  # made on another machine, or damaged
        sys.meta_path.remove(finder)
        return f"it was compiled, and cannot be loaded here: {error}"
    _is_enabled = True
    return None
