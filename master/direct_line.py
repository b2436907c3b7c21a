"""A direct connection to one worker of this machine, read and written by the event loop: see cluster/direct.py."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Sequence

from mindspore_serving.cluster.direct import MAX_FRAMES, MOST_HEADER_BYTES, DirectOffer, FrameReader, Outbox, Place
from mindspore_serving.cluster.errors import FrameError
from mindspore_serving.cluster.tensors import Buffer, Frame, as_buffer
from mindspore_serving.master.shared_memory import AnswerMemory, RequestMemory

logger = logging.getLogger("mindspore_serving.master")

_BUFFER_BYTES = 4 << 20  # of the kernel's, which gives less where the administrator says so
_MOST_UNSENT = 4 * MAX_FRAMES  # chunks; a peer that reads so little is as good as gone


class DirectLine:
    """Made by connect(). `on_frames` gets each message; `on_end` is called once if it ends without close().

    `requests`, `answers`: what the peer has descriptors of.
    """

    def __init__(
        self,
        peer: socket.socket,
        on_frames: Callable[[Sequence[Buffer]], None],
        on_end: Callable[[], None],
        requests: RequestMemory | None,
        answers: AnswerMemory | None,
    ) -> None:
        self._peer = peer
        self._requests = requests
        self._on_frames = on_frames
        self._on_end = on_end
        self._reader = FrameReader(None if answers is None else answers.frame_at)
        self._outbox = Outbox()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(peer.fileno(), self._read)
        self._is_blocked = False  # the kernel takes no more for now

    def send(self, frames: Sequence[Frame], key: int | None = None) -> bool:
        """Puts a message on its way; False when the connection has ended, or is stuck.

        With a key, its frames may lie in the shared memory until release(key).
        """
        if self._peer.fileno() < 0 or len(self._outbox) > _MOST_UNSENT:
            return False
        header = as_buffer(frames[0])
        places: Sequence[Place] | None = None
        if key is not None and self._requests is not None and len(frames) > 1 and len(header) <= MOST_HEADER_BYTES:
            places = self._requests.put(key, frames[1:])
        if places is None:
            self._outbox.put([as_buffer(frame) for frame in frames])
        else:
            self._outbox.put_placed(header, places)
        if not self._is_blocked:
            self._write()
        return True

    def release(self, key: int) -> None:
        """The peer has answered this: it reads its frames no more."""
        if self._requests is not None:
            self._requests.give_back(key)

    def close(self) -> None:
        """May be called again."""
        if self._peer.fileno() >= 0:
            self._loop.remove_reader(self._peer.fileno())
            self._loop.remove_writer(self._peer.fileno())
            self._peer.close()
            self._reader = FrameReader()  # the memory of answers goes with the last of them
            if self._requests is not None:
                self._requests.close()
                self._requests = None

    def _write(self) -> None:
        while self._outbox:
            try:
                self._outbox.sent(self._peer.sendmsg(self._outbox.chunks()))
            except BlockingIOError:
                if not self._is_blocked:
                    self._is_blocked = True
                    self._loop.add_writer(self._peer.fileno(), self._go_on)
                return
            except OSError:  # the peer is gone: reading comes to that when it has read its last words
                self._outbox = Outbox()
                return

    def _go_on(self) -> None:
        self._loop.remove_writer(self._peer.fileno())
        self._is_blocked = False
        self._write()

    def _read(self) -> None:
        try:
            count = self._peer.recv_into(self._reader.buffer())
        except BlockingIOError:
            return
        except OSError:
            count = 0
        if count == 0:
            self._end()
            return
        try:
            messages = self._reader.received(count)
        except FrameError as error:
            logger.warning("the direct connection of a worker is closed: %s", error)
            self._end()
            return
        for frames in messages:
            self._on_frames(frames)

    def _end(self) -> None:
        if self._peer.fileno() >= 0:
            self.close()
            self._on_end()


def connect(
    offer: DirectOffer, on_frames: Callable[[Sequence[Buffer]], None], on_end: Callable[[], None]
) -> DirectLine | None:
    """The connection that a worker offers; None when it is on another machine, or in another network namespace."""
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    with contextlib.suppress(OSError):
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            peer.setsockopt(socket.SOL_SOCKET, option, _BUFFER_BYTES)
    requests, answers = None, None
    try:
        peer.connect(offer.address)  # a unix socket's peer has a place free for us, or has not: there is no waiting
        requests, answers = _memories()
        # Nothing was said before the proof, so that there is room for it.
        socket.send_fds(peer, [offer.proof], [memory.fd for memory in (requests, answers) if memory is not None])
    except OSError:
        peer.close()
        return None
    finally:
        for memory in (requests, answers):
            if memory is not None:
                memory.close_descriptor()
    return DirectLine(peer, on_frames, on_end, requests, answers)


def _memories() -> tuple[RequestMemory, AnswerMemory] | tuple[None, None]:
    try:
        requests = RequestMemory()
    except (OSError, AttributeError):  # a sandbox forbids it, or a system other than Linux has none
        return None, None
    try:
        return requests, AnswerMemory()
    except OSError:
        requests.close()
        return None, None
