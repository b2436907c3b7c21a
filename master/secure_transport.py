"""TLS upon a plain connection.

asyncio's gives the last answer and the peer's goodbye one time-out together, and does not tell how much is unsent.
"""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Callable
from typing import Any

from mindspore_serving.master.socket_transport import Owner, SocketTransport

logger = logging.getLogger("mindspore_serving.master")

_SENT_AT_ONCE = 256 << 10  # of an answer, that are kept in both forms


class SecureTransport:
    """The owner of a SocketTransport, and what looks like one to an owner, whom it makes when the peer is secure."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        context: ssl.SSLContext,
        inbox: memoryview,
        make_owner: Callable[[], Owner],
        handshake_seconds: float,
        on_handshake: Callable[["SecureTransport"], object],
    ) -> None:
        """inbox: where connections receive; on_handshake: it is secure, or never will be. Once."""
        self._loop = loop
        self._context = context
        self._inbox = inbox
        self._make_owner = make_owner
        self._on_handshake = on_handshake
        self._received, self._to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._received, self._to_send, server_side=True)
        self._plain: SocketTransport
        self._owner: Owner | None = None
        self._is_reading = True
        self._is_closing = False
        self._late: asyncio.TimerHandle | None = loop.call_later(handshake_seconds, self.abort)

    # What the plain connection tells.

    def connection_made(self, transport: SocketTransport) -> None:
        self._plain = transport

    def get_buffer(self, _: int) -> memoryview:
        return self._inbox

    def buffer_updated(self, count: int) -> None:
        self._received.write(self._inbox[:count])
        try:
            if self._late is not None:
                self._tls.do_handshake()
                self._end_handshake()
                self._owner = self._make_owner()
                self._owner.connection_made(self)
            self._read()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            logger.debug("a client is not secure: %s", error)
            self._flush()  # it is told why
            self._leave()
        self._flush()

    def pause_writing(self) -> None:
        if self._owner is not None:
            self._owner.pause_writing()

    def resume_writing(self) -> None:
        if self._owner is not None:
            self._owner.resume_writing()

    def connection_lost(self, error: Exception | None) -> None:
        self._end_handshake()
        owner, self._owner = self._owner, None
        if owner is not None:
            owner.connection_lost(error)

    # What the owner asks and tells: as of a SocketTransport.

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`sslcontext`: that it is secure; `socket`: the connected one, to ask."""
        return self._context if name == "sslcontext" else self._plain.get_extra_info(name, default)

    def get_write_buffer_size(self) -> int:
        """So many bytes are unsent."""
        return self._plain.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int) -> None:
        """The owner is told when more than that is unsent, and when a quarter of it is."""
        self._plain.set_write_buffer_limits(high)

    def resume_reading(self) -> None:
        """From now on the owner gets what comes."""
        if not self._is_reading:
            self._is_reading = True
            self._plain.resume_reading()
            self._loop.call_soon(self._plain.hand_over, 0)  # what has come before

    def pause_reading(self) -> None:
        """Until resume_reading() it does not."""
        self._is_reading = False
        self._plain.pause_reading()

    def write(self, data: bytes) -> None:
        """Sends this, now or as soon as the peer takes it."""
        if self.is_closing():
            return
        left = memoryview(data)
        try:
            while left:
                sent = self._tls.write(left)  # not within the slice: mypyc would make the call twice
                left = left[sent:]
                if self._to_send.pending >= _SENT_AT_ONCE:
                    self._flush()
        except ssl.SSLError as error:  # half a KeyUpdate has come: until its end, TLS may write nothing
            logger.debug("a client is not secure: %s", error)
            self.abort()
        self._flush()

    def can_write_eof(self) -> bool:
        """In TLS an end of writing would be one of reading too."""
        return False

    def is_closing(self) -> bool:
        """Whether it is closed, or will be."""
        return self._is_closing or self._plain.is_closing()

    def close(self) -> None:
        """Closes when all is sent, and a goodbye behind it: none is waited for."""
        if not self.is_closing():
            with contextlib.suppress(ssl.SSLError):
                self._tls.unwrap()
            self._flush()
            self._leave()

    def abort(self) -> None:
        """Closes at once."""
        self._plain.abort()

    # The rest.

    def _read(self) -> None:
        """Hands on what came, until more has to come: raises SSLWantReadError, or SSLError for what is no TLS."""
        while self._owner is not None and self._is_reading and not self.is_closing():
            inbox = self._owner.get_buffer(-1)
            content = self._tls.read(len(inbox))
            if not content:  # the peer has said goodbye
                self.close()
                return
            inbox[: len(content)] = content
            self._owner.buffer_updated(len(content))

    def _flush(self) -> None:
        if self._to_send.pending:
            self._plain.write(self._to_send.read())

    def _leave(self) -> None:
        self._is_closing = True
        self._plain.close()

    def _end_handshake(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
            self._on_handshake(self)
