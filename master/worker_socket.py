"""The ROUTER socket that workers connect to: frames in and out, read by the event loop. It decides nothing.

A worker on this machine offers a connection past ZeroMQ when it registers: what follows takes that way.
"""

import asyncio
import errno
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

import msgpack
import zmq
from zmq.utils.monitor import recv_monitor_message

from mindspore_serving.cluster.addresses import Address, Endpoint, UnixPath, for_zeromq
from mindspore_serving.cluster.codec import COPIED_BYTES, decode, encode, encode_gathered
from mindspore_serving.cluster.direct import MAX_FRAME_BYTES, DirectOffer
from mindspore_serving.cluster.errors import FrameError, SetupError, VersionMismatch
from mindspore_serving.cluster.key_files import KeyPair
from mindspore_serving.cluster.messages import BatchDone, FromMaster, FromWorker, Refused, Register, RunBatch
from mindspore_serving.cluster.tensors import Buffer
from mindspore_serving.master.direct_line import DirectLine, connect
from mindspore_serving.master.free_address import check_free
from mindspore_serving.master.zap import DOMAIN

logger = logging.getLogger("mindspore_serving.master")

# Joining pyzmq's own, which are enums, takes longer than a small send.
_NOBLOCK, _MORE = int(zmq.NOBLOCK), int(zmq.NOBLOCK | zmq.SNDMORE)
_EVENTS, _POLLIN = int(zmq.EVENTS), int(zmq.POLLIN)

_MAX_BLAMED = 1024  # peers whose malformed frames were logged: each once

# zmq.h: ZMQ_PROTOCOL_ERROR_ZMTP_... -> what it means at a port without keys, and at one with
_TURNED_AWAY = {
    0x11000001: (
        "its handshake could not be read",
        "its handshake could not be read: a worker's master.key should be this master's",
    ),
    0x11000002: (
        "it came with a key, and this master has none: start the master with --curve-dir, or the worker without",
        "it came without a key: start workers with --curve-dir",
    ),
}


class WorkerSocket:
    """Made, used and closed in the thread of the running event loop."""

    def __init__(
        self,
        context: "zmq.Context[zmq.Socket[bytes]]",
        on_message: Callable[[str, FromWorker], None],
        on_connection_dropped: Callable[[], None],
        on_worker_gone: Callable[[str], None],
        on_nonsense: Callable[[str], None],
    ) -> None:
        self._on_message = on_message
        self._on_worker_gone = on_worker_gone
        self._on_nonsense = on_nonsense
        self._direct: dict[bytes, tuple[DirectOffer, DirectLine]] = {}
        self._on_connection_dropped = on_connection_dropped
        self._blamed: set[bytes] = set()
        self._pack_header = msgpack.Packer().pack
        self._loop = asyncio.get_running_loop()
        self._socket = context.socket(zmq.ROUTER)
        for option, value in (
            (zmq.ROUTER_MANDATORY, 1),  # an unknown or vanished peer is an error, not a silent drop
            (zmq.ROUTER_HANDOVER, 1),  # a worker that reconnects replaces its old, half-dead connection
            (zmq.LINGER, 0),
            (zmq.MAXMSGSIZE, MAX_FRAME_BYTES),
            (zmq.HEARTBEAT_IVL, 1000),  # ZeroMQ's own, answered by its I/O thread even while Python computes
            (zmq.HEARTBEAT_TIMEOUT, 3000),
            (zmq.HEARTBEAT_TTL, 3000),
            (zmq.HANDSHAKE_IVL, 5000),
            (zmq.TCP_KEEPALIVE, 1),
            (zmq.TCP_KEEPALIVE_IDLE, 30),
            (zmq.TCP_KEEPALIVE_INTVL, 5),
            (zmq.TCP_KEEPALIVE_CNT, 3),
        ):
            self._socket.setsockopt(option, value)
        self._turned_away: set[int] = set()  # kinds of failed handshakes that were logged: each once
        self._has_keys = False
        self._monitor = self._socket.get_monitor_socket(zmq.Event.DISCONNECTED | zmq.Event.HANDSHAKE_FAILED_PROTOCOL)
        self._loop.add_reader(self._socket.fileno(), self._read)
        self._loop.add_reader(self._monitor.fileno(), self._read_monitor)
        self._read_monitor()  # the FD tells only of what comes after a first look

    def bind(self, address: Endpoint, keys: KeyPair | None = None) -> Endpoint:
        """Listens there; TCP port 0 chooses a free one. Returns the real address. Raises SetupError.

        With keys, only those get in whom the context's ZapHandler admits. What is bound already stays as it is.
        """
        if keys is not None:
            self._has_keys = True
            self._socket.setsockopt(zmq.CURVE_SERVER, 1)
            self._socket.setsockopt(zmq.CURVE_SECRETKEY, keys.secret or b"")
            self._socket.setsockopt(zmq.ZAP_DOMAIN, DOMAIN)
        if isinstance(address, Address) and ":" in address.host:
            self._socket.setsockopt(zmq.IPV6, 1)
        try:
            if isinstance(address, UnixPath):
                check_free(address)
            self._socket.bind(for_zeromq(address))
        except (OSError, zmq.ZMQError) as error:
            reason = error.strerror or error
            if isinstance(error, zmq.ZMQError) and error.errno == errno.ENODEV:
                reason = "no address of this machine is called so"
            elif isinstance(error, zmq.ZMQError) and error.errno:
                reason = zmq.strerror(error.errno)  # what ZeroMQ says of itself names the address once more
            text = f"Master server start failed, create server failed, address {address}: {reason}"
            raise SetupError(text) from error
        if isinstance(address, UnixPath):
            return address
        endpoint = cast(bytes, self._socket.getsockopt(zmq.LAST_ENDPOINT)).rstrip(b"\0").decode()
        return Address(address.host, int(endpoint.rpartition(":")[2]))

    def bind_inproc(self, endpoint: str) -> None:
        """Listens for workers of this process, under an inproc:// name."""
        self._socket.bind(endpoint)

    def send(self, worker_id: str, message: FromMaster) -> bool:
        """Puts a message on its way; False when there is no connection to this worker."""
        return self._send(worker_id.encode("latin-1"), message)

    def close(self) -> None:
        """May be called again."""
        if self._socket.closed:
            return
        for _, line in self._direct.values():
            line.close()
        self._loop.remove_reader(self._socket.fileno())
        self._loop.remove_reader(self._monitor.fileno())
        self._socket.disable_monitor()
        self._monitor.close(0)
        self._socket.close(0)

    def _send(self, identity: bytes, message: FromMaster) -> bool:
        if (direct := self._direct.get(identity)) is not None:
            batch = message.batch_id if isinstance(message, RunBatch) else None
            return direct[1].send(encode_gathered(message, self._pack_header), batch)
        frames = encode(message, self._pack_header)
        last = frames.pop()
        try:
            self._socket.send(identity, _MORE)
            for frame in frames:
                self._socket.send(frame, _MORE, copy=len(frame) < COPIED_BYTES)
            self._socket.send(last, _NOBLOCK, copy=len(last) < COPIED_BYTES)
        except zmq.ZMQError as error:
            if error.errno not in (zmq.EHOSTUNREACH, zmq.EAGAIN):
                raise
            return False
        finally:
            self._read_soon()
        return True

    def _read_soon(self) -> None:
        # The FD tells only of changes, and any call on the socket may have swallowed one.
        if cast(int, self._socket.getsockopt(_EVENTS)) & _POLLIN:
            self._loop.call_soon(self._read)

    def _read(self) -> None:
        """Drains the socket: its FD is edge-triggered and says nothing about what is left."""
        while not self._socket.closed:
            try:
                frame = self._socket.recv(_NOBLOCK, copy=False)
            except zmq.Again:
                return
            identity = frame.bytes
            frames: list[Buffer] = []
            while frame.more:
                frame = self._socket.recv(_NOBLOCK, copy=False)
                # The header is small, and read in Python at once; a tensor stays where ZeroMQ has put it.
                frames.append(frame.buffer if frames else frame.bytes)
            self._take(identity, frames)

    def _take(self, identity: bytes, frames: Sequence[Buffer]) -> None:
        try:
            message = decode(frames)
            if not isinstance(message, FromWorker):
                raise FrameError(f"a worker does not say {type(message).__name__}")
        except FrameError as error:
            self._blame(identity, error)
            self._on_nonsense(identity.decode("latin-1"))
            return
        if isinstance(message, Register):
            self._accept_offer(identity, message.direct)
        elif isinstance(message, BatchDone) and (direct := self._direct.get(identity)) is not None:
            direct[1].release(message.batch_id)
        self._on_message(identity.decode("latin-1"), message)

    def _accept_offer(self, identity: bytes, offer: DirectOffer | None) -> None:
        """Connects where the worker that registers can be reached directly; what it offered before is over."""
        known = self._direct.get(identity)
        if known is not None and known[0] == offer:
            return  # it has only not heard us yet
        if known is not None:
            del self._direct[identity]
            known[1].close()
        line = None if offer is None else connect(offer, partial(self._take, identity), partial(self._lost, identity))
        if offer is not None and line is not None:
            self._direct[identity] = offer, line

    def _lost(self, identity: bytes) -> None:
        del self._direct[identity]
        self._on_worker_gone(identity.decode("latin-1"))

    def _blame(self, identity: bytes, error: FrameError) -> None:
        if isinstance(error, VersionMismatch):
            self._send(identity, Refused(str(error)))
        if identity not in self._blamed and len(self._blamed) < _MAX_BLAMED:
            self._blamed.add(identity)
            logger.warning("control port: message of peer %r dropped: %s", identity, error)

    def _tell_turned_away(self, fault: int) -> None:
        if fault in self._turned_away or fault not in _TURNED_AWAY:
            return
        self._turned_away.add(fault)
        without, with_keys = _TURNED_AWAY[fault]
        logger.warning("control port: somebody was turned away: %s", with_keys if self._has_keys else without)

    def _read_monitor(self) -> None:
        dropped = False
        while not self._monitor.closed and self._monitor.poll(0):
            seen = recv_monitor_message(self._monitor)
            if seen["event"] == zmq.Event.DISCONNECTED:
                dropped = True
            else:
                self._tell_turned_away(seen["value"])
        if dropped:
            self._on_connection_dropped()
