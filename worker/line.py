"""The connection to one master: frames in and out, and what becomes of it. It decides nothing.

It is a DEALER socket, and beside it, where the master is on the same machine, a direct connection: see
cluster/direct.py.
"""

import dataclasses
import logging
import select
import socket
import time
from collections.abc import Callable, Sequence

import msgpack
import zmq
from zmq.utils.monitor import recv_monitor_message

from mindspore_serving.cluster.codec import COPIED_BYTES, decode, encode
from mindspore_serving.cluster.direct import MAX_FRAME_BYTES
from mindspore_serving.cluster.errors import FrameError, VersionMismatch
from mindspore_serving.cluster.messages import BatchDone, FromMaster, FromWorker, Register
from mindspore_serving.cluster.session_events import Event, LinkLost, LinkMade, LinkRefused, MessageArrived, Misheard
from mindspore_serving.cluster.tensors import Buffer
from mindspore_serving.worker.answer_frames import answer_frames
from mindspore_serving.worker.curve import WorkerKeys
from mindspore_serving.worker.direct_door import DirectDoor
from mindspore_serving.worker.handshakes import HEARD, Handshakes
from mindspore_serving.worker.watches import READABLE, Watches

logger = logging.getLogger("mindspore_serving.worker")

_NOBLOCK = int(zmq.NOBLOCK)  # joining pyzmq's own, an enum, takes longer than a small send
_MORE = int(zmq.NOBLOCK | zmq.SNDMORE)


class Line:
    """Made, used and closed in one thread, which waits by its `watches`.

    `direct`: whether to talk past ZeroMQ where that is possible.
    """

    def __init__(
        self,
        context: "zmq.Context[zmq.Socket[bytes]]",
        endpoint: str,
        keys: WorkerKeys | None,
        worker_id: str,
        watches: Watches,
        direct: bool,
    ) -> None:
        self._endpoint = endpoint
        self._watches = watches
        self._events: list[Event] = []  # what the door has brought
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
        watches.watch(endpoint, self._monitor, self._fates)
        watches.watch(endpoint, self._dealer, self._messages)
        self._door: DirectDoor | None = None
        if direct and not endpoint.startswith("inproc:"):
            try:
                self._door = DirectDoor(self._watch, watches.unwatch, self._arrived, self._lost)
            except OSError as error:
                logger.warning("no direct connection to the master at %s, only ZeroMQ: %s", endpoint, error.strerror)
        self._dealer.connect(endpoint)

    def send(self, message: FromWorker) -> None:
        """Puts a message on its way, if there is a connection."""
        if isinstance(message, Register):
            if complaint := self._handshakes.asked(time.monotonic()):
                logger.warning("%s: %s", self._endpoint, complaint)
            if self._door is not None:
                message = dataclasses.replace(message, direct=self._door.offer(message.registration))
        if isinstance(message, BatchDone):
            frames = answer_frames(message, self._pack_header)
        else:
            frames = encode(message, self._pack_header)
        if self._door is not None and not isinstance(message, Register) and self._door.send(frames):
            return
        last = frames.pop()
        try:
            for frame in frames:
                self._dealer.send(frame, _MORE, copy=len(frame) < COPIED_BYTES)
            self._dealer.send(last, _NOBLOCK, copy=len(last) < COPIED_BYTES)
        except zmq.Again:
            # No connection: whoever waited at that master is gone, and we register again when there is one.
            logger.debug("%s not sent: no connection to the master", type(message).__name__)
        self._watches.ask_again(self._dealer)

    @property
    def is_direct(self) -> bool:
        """What is sent takes the direct connection: other threads may send too, one at a time."""
        return self._door is not None and self._door.is_open

    @property
    def is_blocked(self) -> bool:
        """await_room() is due."""
        return self._door is not None and self._door.is_blocked

    def await_room(self) -> None:
        """Sends the rest when the kernel takes it."""
        if self._door is not None:
            self._door.await_room()

    def pause(self) -> bool:
        """look() takes the place of the watches, until resume(). False where there is nothing to look at."""
        return self._door is not None and self._door.pause()

    def sight(self, bell: socket.socket) -> "select.poll | None":
        """What to sleep by until the direct connection brings something, or the bell has rung; None: there is none."""
        return None if self._door is None else self._door.sight(bell)

    def look(self) -> list[Event]:
        """What the direct connection has brought meanwhile."""
        if self._door is not None:
            self._door.look()
        found, self._events = self._events, []
        return found

    def resume(self) -> None:
        """The watches again."""
        if self._door is not None:
            self._door.resume()

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
        return self._decoded(frames)

    def _decoded(self, frames: Sequence[Buffer]) -> list[Event]:
        try:
            message = decode(frames)
            if not isinstance(message, FromMaster):
                raise FrameError(f"a master does not say {type(message).__name__}")
        except FrameError as error:
            self._blame(error)
            return [Misheard()]
        self._handshakes.answered()
        return [MessageArrived(message)]

    def _watch(self, source: socket.socket, take: Callable[[], None], events: int = READABLE) -> None:
        def take_events() -> list[Event]:
            take()
            found, self._events = self._events, []
            return found

        self._watches.watch(self._endpoint, source, take_events, events)

    def _arrived(self, frames: Sequence[Buffer]) -> None:
        self._events += self._decoded(frames)

    def _lost(self) -> None:
        self._events.append(LinkLost())

    def close(self) -> None:
        """With its linger: see above."""
        if self._door is not None:
            self._door.close()
        self._watches.unwatch(self._monitor)
        self._watches.unwatch(self._dealer)
        self._dealer.disable_monitor()
        self._monitor.close(0)
        self._dealer.close()

    def _blame(self, error: FrameError) -> None:
        if not self._blamed or isinstance(error, VersionMismatch):
            self._blamed = True
            logger.warning("message of the master at %s dropped: %s", self._endpoint, error)
