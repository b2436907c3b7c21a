"""What tuning found, kept for the next start: a file for each model, machine and choice of the user's.

The folder is $XDG_CACHE_HOME/mindspore-serving/tuning, else ~/.cache/...; it may be deleted at any time. Where neither
variable says where, it is one below /tmp that is this user's alone: what another one had put there would decide how
MindSpore runs. A file is
written whole or not at all, and one that cannot be read counts as absent. Of several workers that start together one
measures: it holds a lock, which ends with its process.
"""

import fcntl
import hashlib
import json
import logging
import os
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

logger = logging.getLogger("mindspore_serving.worker")

_CHUNK = 1 << 20
_POLL_SECONDS = 0.05


def cache_folder(environment: Mapping[str, str]) -> Path | None:
    """Where findings are kept; None: nowhere."""
    cache, home = environment.get("XDG_CACHE_HOME", ""), environment.get("HOME", "")
    if not os.path.isabs(cache) and not home:
        return _folder_of_this_user()
    base = Path(cache) if os.path.isabs(cache) else Path(home) / ".cache"
    return base / "mindspore-serving" / "tuning"


def _folder_of_this_user() -> Path | None:
    folder = Path(tempfile.gettempdir()) / f"mindspore-serving-tuning-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return None
    is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077
    return folder if is_ours else None


def content_key(files: Iterable[Path], facts: Iterable[str]) -> str:
    """A name for these files' contents together with these facts."""
    digest = hashlib.blake2b(digest_size=16)
    for fact in facts:
        digest.update(fact.encode() + b"\0")
    for path in files:
        digest.update(path.stat().st_size.to_bytes(8, "little"))
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    return digest.hexdigest()


def read(folder: Path | None, key: str) -> dict[str, Any] | None:
    """What was kept under this key; None when there is nothing, or nothing that can be used."""
    if folder is None:
        return None
    try:
        found = json.loads((folder / f"{key}.json").read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def write(folder: Path | None, key: str, finding: Mapping[str, Any]) -> None:
    """Keeps it. Where that is not possible, says so: the next start measures again."""
    if folder is None:
        logger.warning("what was measured is not kept, and is measured again: $HOME and $XDG_CACHE_HOME say no place")
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=folder, prefix=f"{key}.")
        try:
            with os.fdopen(descriptor, "w") as file:
                json.dump(finding, file)
            os.replace(name, folder / f"{key}.json")
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        logger.warning("what was measured cannot be kept in '%s', and is measured again: %s", folder, error.strerror)


@contextmanager
def alone(folder: Path | None, key: str, deadline: float) -> Iterator[bool]:
    """Holds the key's lock, or goes on without it (False) at the deadline (monotonic), or where no lock can be."""
    if folder is None:
        yield False
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / f"{key}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        yield False
        return
    try:
        yield _locked(descriptor, deadline)
    finally:
        os.close(descriptor)


def _locked(descriptor: int, deadline: float) -> bool:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_SECONDS)
        except OSError:
            return False
        else:
            return True
