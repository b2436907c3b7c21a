"""A worker's keys for a control port with CURVE, and what a handshake that failed means."""

import errno
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

# The master closes without a word when it cannot read what a worker says: a wrong master.key. One that stops does too.
CLOSES_THAT_REFUSE = 5
_DENIED = 400  # ZeroMQ RFC 27: final, while 300 and 500 are not
_MECHANISM_MISMATCH = 0x11000002  # ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH of zmq.h


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


class Handshakes:
    """Judges what a DEALER's monitor tells of its handshakes. One for each socket."""

    def __init__(self, keys: WorkerKeys | None) -> None:
        self._keys = keys
        self._closes = 0

    def refusal(self, event: int, value: int) -> str | None:
        """Why it makes no sense to try again; None when it does. `event` and `value`: zmq_socket_monitor(3)."""
        keys = self._keys
        match event:
            case zmq.Event.HANDSHAKE_SUCCEEDED:
                self._closes = 0
            case zmq.Event.HANDSHAKE_FAILED_AUTH if value == _DENIED:
                key = f"the key {keys.pair.public.decode()} in '{keys.folder}'" if keys else "this worker"
                return f"{key} is not admitted: add its worker.key to {_ADMITTED}"
            case zmq.Event.HANDSHAKE_FAILED_PROTOCOL if value != _MECHANISM_MISMATCH:
                return "what listens there does not speak the control protocol: is it the --ctrl port of a master?"
            case zmq.Event.HANDSHAKE_FAILED_PROTOCOL if keys is None:
                return f"it admits only workers with a key: give this one --curve-dir, with a key of {_ADMITTED}"
            case zmq.Event.HANDSHAKE_FAILED_PROTOCOL:
                return "it has no keys, and this worker has: start the master with --curve-dir, or this worker without"
            case zmq.Event.HANDSHAKE_FAILED_NO_DETAIL if keys and value in (errno.EPIPE, errno.ECONNRESET):
                self._closes += 1
                if self._closes == CLOSES_THAT_REFUSE:
                    path = keys.folder / MASTER_PUBLIC
                    return (
                        "it does not understand this worker: either it has no keys and should be started with "
                        f"--curve-dir, or '{path}' is not the public key of this very master"
                    )
        return None


_ADMITTED = "the folder 'workers' in the master's --curve-dir"


def _read(path: Path, *, with_secret: bool) -> KeyPair:
    try:
        with path.open("rb") as file:
            if with_secret and not check_secret_mode(os.fstat(file.fileno()).st_mode, path):
                logger.warning("'%s' can be read by its group: chmod 600 if that is not meant", path)
            return parse_key_file(file.read(MOST_BYTES + 1), path, with_secret=with_secret)
    except OSError as error:
        raise SetupError(f"'{path}' cannot be read: {error.strerror}") from error
