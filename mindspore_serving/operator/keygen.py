"""`mindspore-serving keygen`: writes the CURVE keys of a master and of the workers that it admits."""

import os
from collections.abc import Callable
from pathlib import Path

import zmq

from mindspore_serving.cluster.errors import SetupError
from mindspore_serving.cluster.key_files import (
    FOR_WORKERS,
    MASTER_PUBLIC,
    MASTER_SECRET,
    PUBLIC_SUFFIX,
    WORKER_PUBLIC,
    WORKER_SECRET,
    WORKERS,
    KeyPair,
    key_file,
)
from mindspore_serving.master.curve import read_master_keys
from mindspore_serving.operator.config import KeygenConfig
from mindspore_serving.telling import report

_DEFAULT_WORKER = "worker"


def run(config: KeygenConfig, notify: Callable[[str], None]) -> int:
    """Writes what is missing and says what to do with it. Raises SetupError; nothing is ever overwritten."""
    del notify  # this is no service
    folder = config.folder
    names = tuple(dict.fromkeys(config.worker)) or (_DEFAULT_WORKER,)
    is_new = not (folder / MASTER_SECRET).exists()
    if not is_new and not config.worker:
        raise SetupError(f"'{folder / MASTER_SECRET}' exists already: --worker NAME adds a worker's keys to it")
    for name in names:
        for path in (folder / WORKERS / f"{name}{PUBLIC_SUFFIX}", folder / FOR_WORKERS / name):
            if path.exists():
                raise SetupError(f"'{path}' exists already: choose another --worker NAME, or delete it")
    try:
        master = _write_master(folder) if is_new else read_master_keys(folder).pair
        for name in names:
            _write_worker(folder, name, master)
    except OSError as error:
        raise SetupError(f"'{error.filename or folder}' cannot be written: {error.strerror}") from error
    if is_new:
        report(f"for the master: --curve-dir {folder}")
    for name in names:
        report(f"for a worker: move {folder / FOR_WORKERS / name} to its machine, and give it as --curve-dir")
    return 0


def _write_master(folder: Path) -> KeyPair:
    pair = _new_pair()
    for part in (folder, folder / WORKERS, folder / FOR_WORKERS):
        part.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write(folder / MASTER_PUBLIC, "The master's public key: every worker needs it.", KeyPair(pair.public))
    _write(folder / MASTER_SECRET, "The master's SECRET key: it never leaves the master's machine.", pair)
    return pair


def _write_worker(folder: Path, name: str, master: KeyPair) -> None:
    pair = _new_pair()
    own = folder / FOR_WORKERS / name
    own.mkdir(mode=0o700, parents=True)
    _write(own / MASTER_PUBLIC, "The public key of the master.", KeyPair(master.public))
    _write(own / WORKER_PUBLIC, f"The public key of worker {name}.", KeyPair(pair.public))
    _write(own / WORKER_SECRET, f"The SECRET key of worker {name}: it belongs on that worker's machine only.", pair)
    # Last: from here on the master admits it.
    _write(folder / WORKERS / f"{name}{PUBLIC_SUFFIX}", f"The public key of worker {name}.", KeyPair(pair.public))


def _new_pair() -> KeyPair:
    return KeyPair(*zmq.curve_keypair())


def _write(path: Path, comment: str, pair: KeyPair) -> None:
    # Through a descriptor with its mode: the secret is at no moment open to others.
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(key_file(comment, pair))
