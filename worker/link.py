"""The worker's connection to one master: a thread that owns a DEALER socket and drives a Session with real time."""

import contextlib
import logging
import queue
import socket
import threading
import time
from collections.abc import Callable

import zmq
from zmq.utils.monitor import recv_monitor_message

from mindspore_serving.cluster.codec import INLINE_BYTES, MAX_FRAME_BYTES, decode, encode
from mindspore_serving.cluster.errors import FrameError, VersionMismatch
from mindspore_serving.cluster.messages import BatchDone, FromMaster, FromWorker, RunBatch
from mindspore_serving.cluster.session import (
    Action,
    BatchFinished,
    Close,
    DrainRequested,
    Event,
    LinkLost,
    LinkMade,
    LinkRefused,
    MessageArrived,
    Offer,
    Report,
    Run,
    Send,
    Session,
    SessionState,
    Tick,
)
from mindspore_serving.worker.curve import Handshakes, WorkerKeys

logger = logging.getLogger("mindspore_serving.worker")

_HEARD = (
    zmq.Event.DISCONNECTED
    | zmq.Event.HANDSHAKE_SUCCEEDED
    | zmq.Event.HANDSHAKE_FAILED_AUTH
    | zmq.Event.HANDSHAKE_FAILED_PROTOCOL
    | zmq.Event.HANDSHAKE_FAILED_NO_DETAIL
)

Submit = Callable[[RunBatch, Callable[[BatchDone], None]], None]


class Link(threading.Thread):
    """Talks to the master from start() until it is drained or refused.

    `on_registered` and `on_closed(refusal)` are called from this thread, the first one at every registration.
    """

    def __init__(
        self,
        context: "zmq.Context[zmq.Socket[bytes]]",
        endpoint: str,
        keys: WorkerKeys | None,
        worker_id: str,
        offer: Offer,
        submit: Submit,
        on_registered: Callable[[], None],
        on_closed: Callable[[str | None], None],
    ) -> None:
        super().__init__(name=f"link to {endpoint}")
        self._context = context
        self._endpoint = endpoint
        self._keys = keys
        self._handshakes = Handshakes(keys)
        self._worker_id = worker_id
        self._session = Session(offer, time.monotonic())
        self._submit = submit
        self._on_registered = on_registered
        self._on_closed = on_closed
        # Other threads put events here and wake this one, which alone touches the ZeroMQ socket.
        self._inbox: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._alarm, self._waker = socket.socketpair()
        self._alarm.setblocking(False)
        self._waker.setblocking(False)
        self._blamed = False

    def drain(self, seconds: float) -> None:
        """Finish what is open, at most this long, then close. From any thread."""
        self._post(DrainRequested(time.monotonic() + seconds))

    def run(self) -> None:
        dealer = self._context.socket(zmq.DEALER)
        for option, value in (
            (zmq.ROUTING_ID, self._worker_id.encode("ascii")),
            (zmq.IMMEDIATE, 1),  # nothing is queued for a master that is not there
            (zmq.LINGER, 1000),  # the last answers still leave
            (zmq.MAXMSGSIZE, MAX_FRAME_BYTES),
            (zmq.RECONNECT_IVL, 100),
            (zmq.RECONNECT_IVL_MAX, 2000),
            (zmq.HEARTBEAT_IVL, 1000),
            (zmq.HEARTBEAT_TIMEOUT, 3000),
            (zmq.HEARTBEAT_TTL, 3000),
            (zmq.TCP_KEEPALIVE, 1),
            (zmq.TCP_KEEPALIVE_IDLE, 30),
            (zmq.TCP_KEEPALIVE_INTVL, 5),
            (zmq.TCP_KEEPALIVE_CNT, 3),
        ):
            dealer.setsockopt(option, value)
        if "[" in self._endpoint:
            dealer.setsockopt(zmq.IPV6, 1)
        if self._keys is not None:
            dealer.setsockopt(zmq.CURVE_SERVERKEY, self._keys.master)
            dealer.setsockopt(zmq.CURVE_PUBLICKEY, self._keys.pair.public)
            dealer.setsockopt(zmq.CURVE_SECRETKEY, self._keys.pair.secret or b"")
        monitor = dealer.get_monitor_socket(_HEARD)
        poller = zmq.Poller()
        for source in (dealer, monitor, self._alarm):
            poller.register(source, zmq.POLLIN)
        try:
            dealer.connect(self._endpoint)
            self._handle(dealer, Tick())
            while self._session.state is not SessionState.CLOSED:
                ready = dict(poller.poll(self._milliseconds()))
                if monitor in ready:
                    self._read_monitor(dealer, monitor)
                if dealer in ready:
                    self._read(dealer)
                if self._alarm.fileno() in ready:
                    self._read_inbox(dealer)
                self._handle(dealer, Tick())
        finally:
            dealer.disable_monitor()
            monitor.close(0)
            dealer.close()  # with its linger: see above
            self._alarm.close()
            self._waker.close()

    def _milliseconds(self) -> int | None:
        wakeup = self._session.next_wakeup()
        return None if wakeup is None else max(0, int((wakeup - time.monotonic()) * 1000) + 1)

    def _read(self, dealer: "zmq.Socket[bytes]") -> None:
        while True:
            try:
                frames = [frame.buffer for frame in dealer.recv_multipart(zmq.NOBLOCK, copy=False)]
            except zmq.Again:
                return
            try:
                message = decode(frames)
                if not isinstance(message, FromMaster):
                    raise FrameError(f"a master does not say {type(message).__name__}")
            except FrameError as error:
                self._blame(error)
            else:
                self._handle(dealer, MessageArrived(message))

    def _read_monitor(self, dealer: "zmq.Socket[bytes]", monitor: "zmq.Socket[bytes]") -> None:
        while monitor.poll(0):
            seen = recv_monitor_message(monitor)
            refusal = self._handshakes.refusal(seen["event"], seen["value"])
            if refusal is not None:
                self._handle(dealer, LinkRefused(refusal))
            elif seen["event"] == zmq.Event.DISCONNECTED:
                self._handle(dealer, LinkLost())
            elif seen["event"] == zmq.Event.HANDSHAKE_SUCCEEDED:
                self._handle(dealer, LinkMade())

    def _read_inbox(self, dealer: "zmq.Socket[bytes]") -> None:
        with contextlib.suppress(BlockingIOError):
            self._alarm.recv(4096)
        while not self._inbox.empty():
            self._handle(dealer, self._inbox.get())

    def _handle(self, dealer: "zmq.Socket[bytes]", event: Event) -> None:
        was_serving = self._session.state is SessionState.SERVING
        for action in self._session.handle(event, time.monotonic()):
            self._carry_out(dealer, action)
        if self._session.state is SessionState.SERVING and not was_serving:
            self._on_registered()

    def _carry_out(self, dealer: "zmq.Socket[bytes]", action: Action) -> None:
        match action:
            case Send(message):
                self._send(dealer, message)
            case Run(batch, registration):
                self._submit(batch, lambda done: self._post(BatchFinished(registration, done)))
            case Report(level, text):
                logger.log(logging.getLevelName(level.upper()), text)
            case Close(refusal):
                self._on_closed(refusal)

    def _send(self, dealer: "zmq.Socket[bytes]", message: FromWorker) -> None:
        frames = encode(message)
        try:
            for index, frame in enumerate(frames):
                more = zmq.SNDMORE if index < len(frames) - 1 else 0
                dealer.send(frame, zmq.NOBLOCK | more, copy=len(frame) < INLINE_BYTES)
        except zmq.Again:
            # No connection: whoever waited at that master is gone, and we register again when there is one.
            logger.debug("%s not sent: no connection to the master", type(message).__name__)

    def _post(self, event: Event) -> None:
        self._inbox.put(event)
        with contextlib.suppress(OSError):  # full: it is being woken already; closed: nobody is left to tell
            self._waker.send(b"\0")

    def _blame(self, error: FrameError) -> None:
        if not self._blamed or isinstance(error, VersionMismatch):
            self._blamed = True
            logger.warning("message of the master at %s dropped: %s", self._endpoint, error)
