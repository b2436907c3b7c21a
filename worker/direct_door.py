"""Where a master on this machine connects to its worker past ZeroMQ: see cluster/direct.py."""

import contextlib
import logging
import mmap
import os
import secrets
import select
import socket
from collections.abc import Callable, Sequence
from typing import Protocol

from mindspore_serving.cluster.direct import (
    MOST_HEADER_BYTES,
    TOKEN_BYTES,
    DirectOffer,
    FrameReader,
    Outbox,
    parts_of,
)
from mindspore_serving.cluster.errors import FrameError
from mindspore_serving.cluster.tensors import Buffer
from mindspore_serving.worker.answer_memory import AnswerMemory
from mindspore_serving.worker.watches import NOTHING, READABLE, WRITABLE

logger = logging.getLogger("mindspore_serving.worker")

_BUFFER_BYTES = 4 << 20  # of the kernel's, which gives less where the administrator says so
_ACCESS = (mmap.ACCESS_READ, mmap.ACCESS_WRITE)  # to what a master hands over: memory for its frames, and for ours
_MOST_MEMORIES = len(_ACCESS)
_MOST_STRANGERS = 8  # connections that have not proven yet that they are the master's


class Watch(Protocol):
    """Calls `take` whenever the source is ready. Once more for the same source: from now on so."""

    def __call__(self, source: socket.socket, take: Callable[[], None], events: int = READABLE) -> None: ...


class _Stranger:
    """What one has said so far, and the descriptors that it has handed over."""

    def __init__(self) -> None:
        self.said = b""
        self.fds: list[int] = []


class DirectDoor:
    """Made, used and closed in one thread; send() may come from others, one at a time.

    `on_frames` gets each message of the master's; `on_lost` is called when its connection ended. Raises OSError where
    there can be no such socket.
    """

    def __init__(
        self,
        watch: Watch,
        unwatch: Callable[[socket.socket], None],
        on_frames: Callable[[Sequence[Buffer]], None],
        on_lost: Callable[[], None],
    ) -> None:
        self._watch = watch
        self._unwatch = unwatch
        self._on_frames = on_frames
        self._on_lost = on_lost
        self._registration = 0
        self._offer = _new_offer(secrets.token_hex(16))
        self._strangers: dict[socket.socket, _Stranger] = {}
        self._is_of_use = True
        self._master: socket.socket | None = None
        self._reader = FrameReader()
        self._outbox = Outbox()
        self._answers: AnswerMemory | None = None
        self._sight = select.poll()  # of the master's connection
        self._long_sight: select.poll | None = None  # the same, and of a bell: who sleeps by it has it alone
        self._is_watched_for_room = False
        self._is_paused = False
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._listener.bind(self._offer.address)
        self._listener.listen(_MOST_STRANGERS)
        watch(self._listener, self._accept)

    def offer(self, registration: int) -> DirectOffer | None:
        """What to tell a master with this registration. A new one ends what there was: it starts afresh.

        None: a master came whose memory cannot be read here, so that it would lose each large batch. ZeroMQ goes on.
        """
        if not self._is_of_use:
            return None
        if registration != self._registration:
            self._registration = registration
            self._offer = _new_offer(self._offer.place)
            self._hang_up()
        return self._offer

    def send(self, frames: Sequence[Buffer]) -> bool:
        """Puts a message on its way; False when the master has not connected."""
        if self._master is None:
            return False
        places = None
        if self._answers is not None:
            if len(frames) == 1:
                self._answers.tidy()
            elif len(frames[0]) <= MOST_HEADER_BYTES:
                places = self._answers.put(frames[1:])
        if places is None:
            self._outbox.put(frames)
        else:
            self._outbox.put_placed(frames[0], places)
        if not self._is_watched_for_room:
            self._write(self._master)
        return True

    @property
    def is_open(self) -> bool:
        """Whether the master has connected."""
        return self._master is not None

    @property
    def is_blocked(self) -> bool:
        """The kernel takes no more for now: await_room() is due."""
        return bool(self._outbox) and not self._is_watched_for_room

    def await_room(self) -> None:
        """Sends the rest when it can. Only in the door's own thread, while send() may come from another one."""
        if self._master is not None:
            self._is_watched_for_room = True
            self._is_paused = False
            self._watch(self._master, self._go_on, READABLE | WRITABLE)

    def close(self) -> None:
        """What the kernel has taken still arrives."""
        self._hang_up()
        for stranger in list(self._strangers):
            self._dismiss(stranger)
        self._unwatch(self._listener)
        self._listener.close()

    def pause(self) -> bool:
        """look() takes the place of the watch, until resume(). False where there is nothing to look at."""
        if self._master is None or self._is_watched_for_room:
            return False
        if not self._is_paused:
            self._is_paused = True
            self._watch(self._master, self._read, NOTHING)
        return True

    def sight(self, bell: socket.socket) -> "select.poll | None":
        """What one thread may sleep by until there is something to read, or the bell has rung; None: no connection."""
        if self._master is not None and self._long_sight is None:
            self._long_sight = select.poll()
            for source in (self._master, bell):
                self._long_sight.register(source, select.POLLIN)
        return self._long_sight

    def look(self) -> None:
        """Reads what is there, if anything."""
        # To ask first costs a quarter of what it costs to be refused by an exception, and there is seldom anything.
        if self._sight.poll(0):
            self._read()

    def resume(self) -> None:
        """The watch again."""
        if self._master is not None and self._is_paused:
            self._is_paused = False
            self._watch(self._master, self._read)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            stranger, _ = self._listener.accept()
            stranger.setblocking(False)
            if len(self._strangers) >= _MOST_STRANGERS:
                self._dismiss(next(iter(self._strangers)))
            self._strangers[stranger] = _Stranger()
            self._watch(stranger, lambda: self._examine(stranger))
            self._examine(stranger)

    def _examine(self, stranger: socket.socket) -> None:
        known = self._strangers.get(stranger)
        if known is None:  # dismissed since
            return
        try:
            more, fds, _, _ = socket.recv_fds(stranger, TOKEN_BYTES - len(known.said), _MOST_MEMORIES)
        except BlockingIOError:
            return
        except OSError:
            more, fds = b"", []
        known.said += more
        known.fds += fds
        if more and len(known.said) < TOKEN_BYTES:
            return
        if not secrets.compare_digest(known.said, self._offer.proof):
            self._dismiss(stranger)  # or a master that has heard an earlier registration
            return
        try:
            memories = [mmap.mmap(fd, 0, access=access) for fd, access in zip(known.fds, _ACCESS, strict=False)]
        except (OSError, ValueError) as error:
            logger.warning("no direct connection to the master, only ZeroMQ: its memory cannot be read: %s", error)
            self._is_of_use = False
            self._dismiss(stranger)
            self._on_lost()
            return
        self._hang_up()
        with contextlib.suppress(OSError):
            for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                stranger.setsockopt(socket.SOL_SOCKET, option, _BUFFER_BYTES)
        # There as long as anybody has a part of it.
        self._reader = FrameReader(parts_of(memoryview(memories[0])) if memories else None)
        self._answers = AnswerMemory(memories[1]) if len(memories) == _MOST_MEMORIES else None
        self._forget(stranger)
        self._master = stranger
        self._sight.register(stranger, select.POLLIN)
        self._watch(stranger, self._read)
        self._read()

    def _dismiss(self, stranger: socket.socket) -> None:
        self._forget(stranger)
        self._unwatch(stranger)
        stranger.close()

    def _forget(self, stranger: socket.socket) -> None:
        for fd in self._strangers.pop(stranger).fds:
            os.close(fd)

    def _hang_up(self) -> None:
        if self._master is not None:
            self._unwatch(self._master)
            self._sight.unregister(self._master)
            self._master.close()
        self._master = None
        self._long_sight = None
        self._reader = FrameReader()
        self._outbox = Outbox()
        self._answers = None
        self._is_watched_for_room = self._is_paused = False

    def _write(self, master: socket.socket) -> None:
        while self._outbox:
            try:
                self._outbox.sent(master.sendmsg(self._outbox.chunks()))
            except BlockingIOError:
                return
            except OSError:  # the master is gone: reading comes to that when it has read its last words
                self._outbox = Outbox()
                return

    def _go_on(self) -> None:
        """There is something to read, or room to write."""
        if self._master is None:
            return
        self._write(self._master)
        if not self._outbox:
            self._is_watched_for_room = False
            self._watch(self._master, self._read)
        self._read()

    def _read(self) -> None:
        if self._master is None:
            return
        try:
            count = self._master.recv_into(self._reader.buffer())
            messages = self._reader.received(count) if count else None
        except BlockingIOError:
            return
        except OSError:
            messages = None
        except FrameError as error:
            logger.warning("the direct connection to the master is closed: %s", error)
            messages = None
        if messages is None:
            self._hang_up()
            self._on_lost()
            return
        for frames in messages:
            self._on_frames(frames)


def _new_offer(place: str) -> DirectOffer:
    return DirectOffer(place, secrets.token_hex(TOKEN_BYTES))
