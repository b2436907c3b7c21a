"""Answers ZeroMQ's question whether a worker with this key may connect: the ZAP handler, on the master's event loop.

Protocol: ZeroMQ RFC 27 (ZAP), rfc.zeromq.org/spec/27: a request has the frames version, request id, domain, address,
identity, mechanism, credentials; a reply version, request id, status code, status text, user id, metadata.
"""

import asyncio
import logging

import zmq
from zmq.utils import z85

from mindspore_serving.master.curve import AdmittedWorkers

logger = logging.getLogger("mindspore_serving.master")

DOMAIN = b"mindspore-serving"
_ENDPOINT = "inproc://zeromq.zap.01"
_MOST_BLAMED = 1024  # denied keys that were logged: each once
_KEY_BYTES = 32


class ZapHandler:
    """One for each ZeroMQ context. Made, used and closed in the thread of the running event loop."""

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", admitted: AdmittedWorkers) -> None:
        self._admitted = admitted
        self._blamed: set[bytes] = set()
        self._loop = asyncio.get_running_loop()
        self._socket = context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.bind(_ENDPOINT)
        self._loop.add_reader(self._socket.fileno(), self._read)
        self._read()  # the FD tells only of what comes after a first look

    def close(self) -> None:
        """May be called again."""
        if not self._socket.closed:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close(0)

    def _read(self) -> None:
        """Drains the socket: its FD is edge-triggered and says nothing about what is left."""
        while not self._socket.closed:
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            delimiter = frames.index(b"")  # what libzmq asks of inproc has no more than an envelope before it
            envelope, question = frames[: delimiter + 1], frames[delimiter + 1 :]
            self._socket.send_multipart([*envelope, *self._answer(question)])

    def _answer(self, question: list[bytes]) -> list[bytes]:
        version, request_id, domain, address, _, mechanism, *credentials = question
        if version != b"1.0" or domain != DOMAIN or mechanism != b"CURVE" or len(credentials[0]) != _KEY_BYTES:
            return [b"1.0", request_id, b"400", b"not a CURVE key for this master", b"", b""]
        key = z85.encode(credentials[0])
        name = self._admitted.name_of(key)
        if name is None:
            self._blame(key, address.decode("ascii", "replace"))
            return [b"1.0", request_id, b"400", b"this key is not admitted", b"", b""]
        logger.info("control port: the key of worker '%s' connects from %s", name, address.decode("ascii", "replace"))
        return [b"1.0", request_id, b"200", b"OK", name.encode(), b""]

    def _blame(self, key: bytes, address: str) -> None:
        if key not in self._blamed and len(self._blamed) < _MOST_BLAMED:
            self._blamed.add(key)
            folder = self._admitted.folder
            logger.warning(
                "control port: a worker at %s was denied: its public key is %s. To admit it, copy its worker.key to %s",
                address,
                key.decode(),
                folder / "NAME.key",
            )
