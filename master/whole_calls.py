"""RESTful calls that came whole, head and body in one read: answered without a task and an ASGI application.

That takes half the time of a small one. uvicorn treats such an exchange as one that it has made itself: it looks at the
same attributes, and tells of news by `message_event`.
"""

import logging
from collections.abc import Callable, Sequence

from mindspore_serving.master.promise import Promise
from mindspore_serving.master.rest_json import write_error
from mindspore_serving.master.service_table import OWN_FAULT_TEXT, STOPPING_TEXT

logger = logging.getLogger("mindspore_serving.master")

Answer = Callable[[str, bytes], Promise[bytes] | None]  # to a path and a body; None: ask the ASGI application

_FIELDS = b"content-type: application/json\r\ncontent-length: %d\r\n\r\n"
_CLOSE = b"connection: close\r\n"


class WholeCall:
    """One exchange. `fields`: of every answer's head; `write`, `close`: the transport's; `on_response`: it is over."""

    def __init__(
        self,
        work: Promise[bytes],
        keep_alive: bool,
        fields: Sequence[tuple[bytes, bytes]],
        write: Callable[[bytes], None],
        close: Callable[[], None],
        on_response: Callable[[], None],
    ) -> None:
        self.keep_alive = keep_alive
        self.disconnected = False
        self.response_started = False
        self.response_complete = False
        self._work = work
        self._fields = fields
        self._write = write
        self._close = close
        self._on_response = on_response

    @property
    def message_event(self) -> "WholeCall":
        """What uvicorn sets."""
        return self

    def start(self) -> None:
        """From now on it may be answered."""
        self._work.when_done(self._hear)

    def set(self) -> None:
        """There is news: the client has gone."""
        if self.disconnected:
            self._work.cancel()

    def stop(self) -> None:
        """The door closes: whoever waits still hears that."""
        if not self.response_complete:
            self._work.cancel()
            self._say(b"503 Service Unavailable", write_error(STOPPING_TEXT))

    def _hear(self, work: Promise[bytes]) -> None:
        if work.error is None:
            self._say(b"200 OK", work.result())
        else:
            logger.error("a fault of the master's own", exc_info=work.error)
            self._say(b"500 Internal Server Error", write_error(OWN_FAULT_TEXT))

    def _say(self, status: bytes, body: bytes) -> None:
        self.response_started = self.response_complete = True
        parts = [b"HTTP/1.1 ", status, b"\r\n"]
        for name, value in self._fields:
            parts += (name, b": ", value, b"\r\n")
        if not self.keep_alive:
            parts.append(_CLOSE)
        parts += (_FIELDS % len(body), body)
        self._write(b"".join(parts))
        if not self.keep_alive:
            self._close()
        self._on_response()
