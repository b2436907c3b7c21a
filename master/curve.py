"""The control port's keys: the master's own pair, and the workers that it admits, read again on change."""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import zmq

from mindspore_serving.cluster.errors import SetupError
from mindspore_serving.cluster.key_files import (
    MASTER_SECRET,
    MOST_BYTES,
    PUBLIC_SUFFIX,
    WORKERS,
    KeyPair,
    check_secret_mode,
    parse_key_file,
)

logger = logging.getLogger("mindspore_serving.master")

_MOST_WORKERS = 4096  # keys that are read; more is a mistake
_Stamp = tuple[tuple[str, int, int], ...]  # name, time of change, bytes


class AdmittedWorkers:
    """The public keys in a folder, by name. Adding, changing and deleting a file counts from the next connection on."""

    def __init__(self, folder: Path) -> None:
        """Raises SetupError for a folder or a file that cannot be read."""
        self.folder = folder
        self._stamp: _Stamp | None = None
        self._names: Mapping[bytes, str] = {}
        self._complaint = ""
        self._refresh()
        if not self._names:
            logger.warning("there is no worker's key in '%s': make one with keygen --worker NAME", folder)

    def name_of(self, public_key: bytes) -> str | None:
        """The name of the file with this key (Z85), None when there is none."""
        try:
            self._refresh()
        except SetupError as error:
            if str(error) != self._complaint:
                self._complaint = str(error)
                logger.warning("the workers' keys stay as they were: %s", error)
        else:
            self._complaint = ""
        return self._names.get(public_key)

    def _refresh(self) -> None:
        try:
            with os.scandir(self.folder) as entries:
                files = sorted(entry.name for entry in entries if entry.name.endswith(PUBLIC_SUFFIX))
            if len(files) > _MOST_WORKERS:
                raise SetupError(f"'{self.folder}' holds {len(files)} keys, which is more than {_MOST_WORKERS}")
            stats = [(self.folder / name).stat() for name in files]
            stamp = tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in zip(files, stats, strict=True))
            if stamp != self._stamp:
                pairs = {name: _read(self.folder / name, with_secret=False) for name in files}
                self._names = {pair.public: name.removesuffix(PUBLIC_SUFFIX) for name, pair in pairs.items()}
                self._stamp = stamp
        except OSError as error:
            raise SetupError(f"'{error.filename or self.folder}' cannot be read: {error.strerror}") from error


@dataclass(frozen=True)
class MasterKeys:
    """What the control port needs to be a CURVE server."""

    pair: KeyPair
    admitted: AdmittedWorkers


def read_master_keys(folder: Path) -> MasterKeys:
    """The keys that `mindspore-serving keygen` wrote there. Raises SetupError, which never shows them."""
    if not zmq.has("curve"):
        raise SetupError("--curve-dir: this ZeroMQ was built without CURVE: install pyzmq from PyPI's wheels")
    path = folder / MASTER_SECRET
    if not path.exists():
        raise SetupError(f"--curve-dir '{folder}' has no {MASTER_SECRET}: mindspore-serving keygen '{folder}' makes it")
    try:
        pair = _read(path, with_secret=True)
    except OSError as error:
        raise SetupError(f"'{path}' cannot be read: {error.strerror}") from error
    assert pair.secret is not None
    if zmq.curve_public(pair.secret) != pair.public:
        raise SetupError(f"'{path}' is damaged: its two keys do not belong together")
    return MasterKeys(pair, AdmittedWorkers(folder / WORKERS))


def _read(path: Path, *, with_secret: bool) -> KeyPair:
    with path.open("rb") as file:
        if with_secret and not check_secret_mode(os.fstat(file.fileno()).st_mode, path):
            logger.warning("'%s' can be read by its group: chmod 600 if that is not meant", path)
        return parse_key_file(file.read(MOST_BYTES + 1), path, with_secret=with_secret)
