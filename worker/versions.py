"""The version folders of a servable: canonical positive decimals only, so not 01, ², -1 or a file called 1."""

import re
import unicodedata
from pathlib import Path

from mindspore_serving.cluster.errors import NoSuchVersion
from mindspore_serving.worker.unreadable import unreadable

_VERSION = re.compile("[1-9][0-9]{0,8}")  # ASCII digits; nine of them are more versions than anybody has


def find_versions(folder: Path) -> list[int]:
    """The versions in a servable's folder, in order. Raises ServableError where it cannot be read."""
    try:
        if not folder.is_dir():
            return []
        return sorted(
            int(entry.name) for entry in folder.iterdir() if _VERSION.fullmatch(entry.name) and entry.is_dir()
        )
    except OSError as error:
        raise unreadable(error, "folder") from error


def misnamed_versions(folder: Path) -> list[tuple[str, str]]:
    """Folders that look like versions and are not taken for such, each with a name that would be."""
    found = []
    for entry in sorted(folder.iterdir()):
        name = entry.name.removeprefix("v").removeprefix("-")
        if entry.is_dir() and name[:1].isnumeric() and not _VERSION.fullmatch(entry.name):
            digits = "".join(str(int(unicodedata.numeric(c))) for c in name if c.isnumeric()).lstrip("0")
            found.append((entry.name, digits[:9] or "1"))
    return found


def choose_version(folder: Path, version: int) -> int:
    """The version to load: the one asked for, or the newest for 0. Raises NoSuchVersion when it is not there."""
    found = find_versions(folder)
    listed = ", ".join(map(str, found)) or "none"
    place = f"servable directory: '{folder.parent}', servable name: '{folder.name}'"
    if version and version not in found:
        raise NoSuchVersion(
            f"There is no specified version directory of models, specified version number: {version}, {place}, "
            f"found versions: {listed}"
        )
    if not found:
        raise NoSuchVersion(
            "There is no valid version directory of models while there are models declared in servable_config.py, "
            f"{place}: put the model files into '{folder / '1'}'"
        )
    return version or found[-1]
