"""A worker's keys for a control port with CURVE."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path

import zmq

from mindspore_serving.cluster.errors import SetupError
from mindspore_serving.cluster.key_files import (
    FOR_WORKERS,
    MASTER_PUBLIC,
    MASTER_SECRET,
    MOST_BYTES,
    WORKER_SECRET,
    KeyPair,
    check_secret_mode,
    parse_key_file,
)

logger = logging.getLogger("mindspore_serving.worker")


@dataclass(frozen=True)
class WorkerKeys:
    """What a worker needs to talk to a master with keys."""

    folder: Path
    pair: KeyPair
    master: bytes  # its public key


def read_worker_keys(folder: Path) -> WorkerKeys:
    """The keys in a folder that `mindspore-serving keygen` wrote. Raises SetupError, which never shows them."""
    if not zmq.has("curve"):
        raise SetupError("--curve-dir: this ZeroMQ was built without CURVE: install pyzmq from PyPI's wheels")
    for name in (WORKER_SECRET, MASTER_PUBLIC):
        if not (folder / name).exists():
            hint = f"give this worker a folder of '{folder / FOR_WORKERS}'"
            if not (folder / MASTER_SECRET).exists():
                hint = "copy here what keygen --worker wrote"
            raise SetupError(f"--curve-dir '{folder}' has no {name}: {hint}")
    pair, master = _read(folder / WORKER_SECRET, with_secret=True), _read(folder / MASTER_PUBLIC, with_secret=False)
    assert pair.secret is not None
    if zmq.curve_public(pair.secret) != pair.public:
        raise SetupError(f"'{folder / WORKER_SECRET}' is damaged: its two keys do not belong together")
    return WorkerKeys(folder, pair, master.public)


def _read(path: Path, *, with_secret: bool) -> KeyPair:
    try:
        with path.open("rb") as file:
            if with_secret and not check_secret_mode(os.fstat(file.fileno()).st_mode, path):
                logger.warning("'%s' can be read by its group: chmod 600 if that is not meant", path)
            return parse_key_file(file.read(MOST_BYTES + 1), path, with_secret=with_secret)
    except OSError as error:
        raise SetupError(f"'{path}' cannot be read: {error.strerror}") from error
