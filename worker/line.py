"""One DEALER socket to one master: frames in and out, and what becomes of the connection. It decides nothing."""

import logging
import time
from collections.abc import Callable

import msgpack
import zmq
from zmq.utils.monitor import recv_monitor_message

from mindspore_serving.cluster.codec import COPIED_BYTES, MAX_FRAME_BYTES, decode, encode
from mindspore_serving.cluster.errors import FrameError, VersionMismatch
from mindspore_serving.cluster.messages import FromMaster, FromWorker, Register
from mindspore_serving.cluster.session_events import Event, LinkLost, LinkMade, LinkRefused, MessageArrived
from mindspore_serving.cluster.tensors import Buffer
from mindspore_serving.worker.curve import WorkerKeys
from mindspore_serving.worker.handshakes import HEARD, Handshakes

logger = logging.getLogger("mindspore_serving.worker")

_NOBLOCK = int(zmq.NOBLOCK)  # joining pyzmq's own, an enum, takes longer than a small send
_MORE = int(zmq.NOBLOCK | zmq.SNDMORE)


class Line:
    """Made, used and closed in one thread, which waits for its `sources`."""

    def __init__(
        self, context: "zmq.Context[zmq.Socket[bytes]]", endpoint: str, keys: WorkerKeys | None, worker_id: str
    ) -> None:
        self._endpoint = endpoint
        self._handshakes = Handshakes(keys)
        self._blamed = False
        self._pack_header = msgpack.Packer().pack
        self._dealer = context.socket(zmq.DEALER)
        for option, value in (
            (zmq.ROUTING_ID, worker_id.encode("ascii")),
            (zmq.IMMEDIATE, 1),  # nothing is queued for a master that is not there
            (zmq.LINGER, 1000),  # the last answers still leave
            (zmq.MAXMSGSIZE, MAX_FRAME_BYTES),
            (zmq.RECONNECT_IVL, 100),
            (zmq.RECONNECT_IVL_MAX, 1000),  # a master that was started again has its workers within two seconds
            (zmq.HEARTBEAT_IVL, 1000),
            (zmq.HEARTBEAT_TIMEOUT, 3000),
            (zmq.HEARTBEAT_TTL, 3000),
            (zmq.TCP_KEEPALIVE, 1),
            (zmq.TCP_KEEPALIVE_IDLE, 30),
            (zmq.TCP_KEEPALIVE_INTVL, 5),
            (zmq.TCP_KEEPALIVE_CNT, 3),
        ):
            self._dealer.setsockopt(option, value)
        if "[" in endpoint:
            self._dealer.setsockopt(zmq.IPV6, 1)
        if keys is not None:
            self._dealer.setsockopt(zmq.CURVE_SERVERKEY, keys.master)
            self._dealer.setsockopt(zmq.CURVE_PUBLICKEY, keys.pair.public)
            self._dealer.setsockopt(zmq.CURVE_SECRETKEY, keys.pair.secret or b"")
        self._monitor = self._dealer.get_monitor_socket(HEARD)
        self._dealer.connect(endpoint)

    @property
    def sources(self) -> "tuple[tuple[zmq.Socket[bytes], Callable[[], list[Event]]], ...]":
        """What to poll, and what to call when it is ready; the fate of the connection goes first."""
        return (self._monitor, self._fates), (self._dealer, self._messages)

    def send(self, message: FromWorker) -> None:
        """Puts a message on its way, if there is a connection."""
        if isinstance(message, Register) and (complaint := self._handshakes.asked(time.monotonic())):
            logger.warning("%s: %s", self._endpoint, complaint)
        frames = encode(message, self._pack_header)
        last = frames.pop()
        try:
            for frame in frames:
                self._dealer.send(frame, _MORE, copy=len(frame) < COPIED_BYTES)
            self._dealer.send(last, _NOBLOCK, copy=len(last) < COPIED_BYTES)
        except zmq.Again:
            # No connection: whoever waited at that master is gone, and we register again when there is one.
            logger.debug("%s not sent: no connection to the master", type(message).__name__)

    def _fates(self) -> list[Event]:
        seen = recv_monitor_message(self._monitor)
        refusal = self._handshakes.refusal(seen["event"], seen["value"])
        if refusal is not None:
            return [LinkRefused(refusal)]
        if seen["event"] == zmq.Event.DISCONNECTED:
            return [LinkLost()]
        return [LinkMade()] if seen["event"] == zmq.Event.HANDSHAKE_SUCCEEDED else []

    def _messages(self) -> list[Event]:
        try:
            # The header is small, and read in Python at once; a tensor stays where ZeroMQ has put it.
            frame = self._dealer.recv(_NOBLOCK, copy=False)
            frames: list[Buffer] = [frame.bytes]
            while frame.more:
                frame = self._dealer.recv(_NOBLOCK, copy=False)
                frames.append(frame.buffer)
        except zmq.Again:
            return []
        try:
            message = decode(frames)
            if not isinstance(message, FromMaster):
                raise FrameError(f"a master does not say {type(message).__name__}")
        except FrameError as error:
            self._blame(error)
            return []
        self._handshakes.answered()
        return [MessageArrived(message)]

    def close(self) -> None:
        """With its linger: see above."""
        self._dealer.disable_monitor()
        self._monitor.close(0)
        self._dealer.close()

    def _blame(self, error: FrameError) -> None:
        if not self._blamed or isinstance(error, VersionMismatch):
            self._blamed = True
            logger.warning("message of the master at %s dropped: %s", self._endpoint, error)
