"""HTTP calls that came whole, head and body in one read: answered without a task and an ASGI application.

That takes half the time of a small one. uvicorn treats such an exchange as one that it has made itself: it looks at the
same attributes, and tells of news by `message_event`.
"""

import asyncio
import re
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Protocol, TypeAlias

from mindspore_serving.master.promise import Promise
from mindspore_serving.master.rest_body import SMALLEST_PACKED, pack

OK = 200
JSON = b"content-type: application/json\r\n"

Headers: TypeAlias = "list[tuple[bytes, bytes]]"  # names in small letters

_STATUSES = {status.value: b"HTTP/1.1 %d %s\r\n" % (status, status.phrase.encode()) for status in HTTPStatus}
_LENGTH = b"content-length: %d\r\n\r\n"
_CLOSE = b"connection: close\r\n"


class Reply:
    """An answer. fields: lines of its head; encoding: what to pack it with, if it is worth it; identity: nothing."""

    def __init__(self, body: bytes, status: int = OK, fields: bytes = JSON, encoding: str = "identity") -> None:
        self.body = body
        self.status = status
        self.fields = fields
        self.encoding = encoding


class Calls(Protocol):
    """What knows the answers to calls of some URLs."""

    @property
    def urls(self) -> re.Pattern[bytes]: ...
    def answer(self, url: str, headers: Headers, body: bytes) -> Promise[Reply] | None:
        """The reply to a call that came whole. None: it is a special one, for the ASGI application."""

    def explain(self, error: BaseException) -> Reply:
        """The reply when waiting for one has raised this; CancelledError: the door closes. Never raises."""


class WholeHead:
    """What the head of a call says that came whole."""

    def __init__(self, calls: Calls, url: str, headers: Headers, body_bytes: int, keep_alive: bool) -> None:
        self.calls = calls
        self.url = url
        self.headers = headers
        self.body_bytes = body_bytes
        self.keep_alive = keep_alive

    def ask(self, body: bytes) -> Promise[Reply] | None:
        """The answer to a call with this head. None: it is for the ASGI application."""
        try:
            return self.calls.answer(self.url, self.headers, body)
        except Exception as error:
            work: Promise[Reply] = Promise()
            work.break_(error)
            return work


class WholeCall:
    """One exchange. `fields`: of every answer's head; `write`, `close`: the transport's; `on_response`: it is over."""

    def __init__(
        self,
        work: Promise[Reply],
        head: WholeHead,
        fields: Sequence[tuple[bytes, bytes]],
        write: Callable[[bytes], None],
        close: Callable[[], None],
        on_response: Callable[[], None],
    ) -> None:
        self.keep_alive = head.keep_alive
        self.disconnected = False
        self.response_started = False
        self.response_complete = False
        self._work = work
        self._calls = head.calls
        self._packing: asyncio.Task[None] | None = None
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
            self._give_up()

    def stop(self) -> None:
        """The door closes: whoever waits still hears that."""
        if not self.response_complete:
            self._give_up()
            self._say(self._calls.explain(asyncio.CancelledError()))

    def _give_up(self) -> None:
        self._work.cancel()
        if self._packing is not None:
            self._packing.cancel()

    def _hear(self, work: Promise[Reply]) -> None:
        reply = work.result() if work.error is None else self._calls.explain(work.error)
        if reply.encoding != "identity" and len(reply.body) >= SMALLEST_PACKED:
            self._packing = asyncio.ensure_future(self._say_packed(reply))
        else:
            self._say(reply)

    async def _say_packed(self, reply: Reply) -> None:
        body = await pack(reply.body, reply.encoding)
        fields = b"%scontent-encoding: %s\r\n" % (reply.fields, reply.encoding.encode())
        self._say(Reply(body, reply.status, fields))

    def _say(self, reply: Reply) -> None:
        self.response_started = self.response_complete = True
        parts = [_STATUSES[reply.status]]
        for name, value in self._fields:
            parts += (name, b": ", value, b"\r\n")
        if not self.keep_alive:
            parts.append(_CLOSE)
        parts += (reply.fields, _LENGTH % len(reply.body), reply.body)
        self._write(b"".join(parts))
        if not self.keep_alive:
            self._close()
        self._on_response()
