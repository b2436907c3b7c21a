"""HTTP connections with bounds that uvicorn lacks: large and late heads, floods, endless bodies, readers that stall.

A head is the request line and the headers. What is refused here is told in a line of text, behind the answers to the
requests that were sent before.
"""

import asyncio
from collections.abc import Sequence
from enum import Enum, auto
from http import HTTPStatus
from typing import Any, cast

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from mindspore_serving.master.http_heads import RefusedHead, check_head, check_size, refusal, without_upgrade
from mindspore_serving.master.http_limits import HttpLimits
from mindspore_serving.master.http_watches import IdleWatch, StallWatch
from mindspore_serving.master.joined_writes import JoinedWrites
from mindspore_serving.master.known_heads import KnownHeads
from mindspore_serving.master.whole_calls import Calls, WholeCall, WholeHead

INBOX_BYTES = 256 << 10
_SLICE_BYTES = 16 * 1024  # parsed at once: as many requests as these may hold wait behind one that is answered


class _Place(Enum):
    """How far the parser is in what the client sends."""

    START = auto()  # nothing has come
    HEAD = auto()
    BODY = auto()
    BETWEEN = auto()  # two requests


_BETWEEN = (_Place.START, _Place.BETWEEN)
_BARE = (_Place.HEAD, _Place.BODY)


class _Awaited(Enum):
    NOTHING = auto()
    HEAD = auto()
    REST_OF_BODY = auto()  # of a request that is answered already


class BoundedProtocol(HttpToolsProtocol):
    """One connection. uvicorn makes it; of the class are `limits`, and `calls`, to ask about calls that came whole.

    `is_parting`, of the class too: a call that comes from now on is its connection's last.
    A call whose head is known (`heads`) passes the parser by, which stands between two requests.
    """

    limits = HttpLimits()
    calls: Sequence[Calls] = ()
    heads = KnownHeads()
    is_parting = False
    inbox = memoryview(b"")  # where connections receive; what lies there is copied before another one receives

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._place = _Place.START
        self._bare_bytes = 0  # of a head that is not complete, or of a body, without content: see _count_bare
        self._begins_here = False  # in the slice that is parsed now: a head, or content
        self._unread: bytes | memoryview = b""  # received, and not parsed yet
        self._received = b""  # what is parsed, where it begins with a request
        self._held: list[bytes] | None = None  # of a request that may come whole: what has come of its body
        self._asked: Calls | None = None  # about that one
        self._refused_head: RefusedHead | None = None  # which the parser stops at
        self._last_words = b""  # to say when all is answered that came before; nothing is read any more
        self._writes: asyncio.Transport  # of answers
        self._awaited: tuple[_Awaited, object] = (_Awaited.NOTHING, None)
        self._late: asyncio.TimerHandle | None = None
        self._idle = IdleWatch(self.loop, self.limits.idle_seconds, self._is_idle, self._end)
        self._stalled: StallWatch  # of `_writes`

    # What the transport tells.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._writes = cast(asyncio.Transport, JoinedWrites(transport, self.loop))
        self._stalled = StallWatch(self.loop, self.limits.stalled_seconds, transport)
        if len(self.connections) > self.limits.most_connections:
            self._refuse(refusal(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections", "retry-after: 1\r\n"))
        self._watch()

    def get_buffer(self, _: int) -> memoryview:
        return self.inbox

    def buffer_updated(self, count: int) -> None:
        self.data_received(bytes(self.inbox[:count]))

    def data_received(self, data: bytes) -> None:
        if self._last_words or self.transport.is_closing():
            return
        if not (self._is_idle() and not self.flow.write_paused and self._answer_known(data)):
            self._unread = b"".join((self._unread, data)) if self._unread else data
            self._read()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unread = b""
        super().connection_lost(exc)
        if self._late is not None:
            self._late.cancel()
        self._idle.close()
        self._stalled.close()
        if self._has_answered():
            self.cycle = cast(RequestResponseCycle, None)  # it would stay, as the watch

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled.begin()

    # What the parser tells.

    def on_message_begin(self) -> None:
        self._place = _Place.HEAD
        self._count_anew()
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._place is _Place.HEAD:  # what comes behind a body is none of the request's
            super().on_header(name, value.rstrip(b" \t"))  # RFC 9112 §5: blanks behind a value are none of it

    def on_headers_complete(self) -> None:
        try:
            check_head(self.parser.get_method(), self.url, self.parser.get_http_version(), self.headers)
        except RefusedHead as refused:
            self._refused_head = refused
            raise
        if not self.parser.should_upgrade():  # see without_upgrade
            if self._may_come_whole():
                self._held = []
            else:
                self._begin()
            self._place = _Place.BODY
            self._count_anew()

    def on_body(self, body: bytes) -> None:
        self._count_anew()
        if self._held is None:
            super().on_body(body)
        else:
            self._held.append(body)

    def on_message_complete(self) -> None:
        if self._place is _Place.BODY:
            self._place = _Place.BETWEEN
            if self._held is not None and self._answer_whole(b"".join(self._held)):
                self._held = None
                return
            self._let_go()
            super().on_message_complete()

    # What the answer tells.

    def on_response_complete(self) -> None:
        if self.pipeline:
            super().on_response_complete()  # begins with the next one
        elif self._last_words:
            self._end()
        elif not self.transport.is_closing():
            self.flow.resume_reading()
            self._idle.begin()
        self._stalled.begin()
        if self._unread:
            self.loop.call_soon(self._read)
        self._watch()

    # What the door asks, and tells.

    @property
    def is_asking(self) -> bool:
        """Whether a request is coming, or the first one is to be expected."""
        return self._place is not _Place.BETWEEN and not self.transport.is_closing()

    def stop(self) -> None:
        """Last words to a client who still waits."""
        if isinstance(self.cycle, WholeCall):
            self.cycle.stop()

    # The rest.

    def _read(self) -> None:
        """Parses what has come, until a request has to wait for the answer to the one before."""
        while self._unread and not self.pipeline and not self.transport.is_closing():
            data, self._unread = self._unread, b""
            if len(data) > _SLICE_BYTES:
                whole = memoryview(data)
                data, self._unread = whole[:_SLICE_BYTES], whole[_SLICE_BYTES:]
            self._parse(data)

    def _parse(self, data: bytes | memoryview) -> None:
        self._received = data if isinstance(data, bytes) and self._place in _BETWEEN else b""
        self._begins_here = False
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            (end,) = upgrade.args
            head = without_upgrade(self.parser.get_method(), self.url, self.parser.get_http_version(), self.headers)
            self.parser = HttpRequestParser(self)
            self._unread = b"".join((head, data[end:], self._unread))
        except HttpParserError as error:
            refused = self._refused_head
            if refused is not None:
                self._refuse(refused.words())
            else:
                # Of a method of uvicorn's, httptools tells nothing but that it has raised.
                reason = "its URL cannot be read" if isinstance(error, HttpParserCallbackError) else error
                self._refuse(refusal(HTTPStatus.BAD_REQUEST, f"this is no HTTP request: {reason}"))
        self._let_go()
        if self._place in _BARE and not self._begins_here:
            self._count_bare(len(data))

    def _count_anew(self) -> None:
        self._bare_bytes = 0
        self._begins_here = True

    def _count_bare(self, count: int) -> None:
        """Bytes that have ended no head and had no content of a body: the parser may keep them all."""
        self._bare_bytes += count
        try:
            check_size(self._bare_bytes)
        except RefusedHead as refused:
            self._refuse(refused.words())

    def _may_come_whole(self) -> bool:
        """Whether this may be a call that is answered without the application."""
        self._asked = next((calls for calls in self.calls if calls.urls.fullmatch(self.url)), None)
        if self._asked is None or self.flow.write_paused:
            return False
        if self.parser.get_method() != b"POST" or self.parser.get_http_version() != "1.1":
            return False
        if any(name == b"transfer-encoding" for name, _ in self.headers):
            return False
        return not self.expect_100_continue and self._has_answered()

    def _answer_whole(self, body: bytes) -> bool:
        assert self._asked is not None
        head = WholeHead(self._asked, self.url.decode(), self.headers, len(body), self.parser.should_keep_alive())
        if not self._answer(head, body):
            return False
        self.heads.learn(self._received, head)
        return True

    def _answer_known(self, data: bytes) -> bool:
        head = self.heads.find(data)
        if head is None or not self._answer(head, data[len(data) - head.body_bytes :]):
            return False
        self._place = _Place.BETWEEN
        return True

    def _answer(self, head: WholeHead, body: bytes) -> bool:
        work = head.ask(body)
        if work is None:
            return False
        fields, transport = self.server_state.default_headers, self.transport
        call = WholeCall(work, head, fields, transport.write, transport.close, self.on_response_complete)
        call.keep_alive = call.keep_alive and not self.is_parting
        self.cycle = cast(RequestResponseCycle, call)
        call.start()
        return True

    def _let_go(self) -> None:
        """What did not come whole is for the application."""
        held, self._held = self._held, None
        if held is not None:
            self._begin()
            for body in held:
                super().on_body(body)

    def _begin(self) -> None:
        self.expect_100_continue &= self.parser.get_http_version() != "1.0"  # RFC 9110 §10.1.1
        super().on_headers_complete()
        self.cycle.transport = self._writes
        if self.is_parting:
            self.cycle.keep_alive = False

    def _refuse(self, last_words: bytes) -> None:
        """Says so and closes, when all is answered that came before."""
        if self._last_words:
            return
        self._last_words = last_words
        self._unread = b""
        if self._place is _Place.BODY:
            waits = bool(self.pipeline)
            if waits:
                self.pipeline.popleft()  # the request that is refused, the newest
            elif self.cycle.response_started:
                self._last_words = b""
        else:
            waits = not self._has_answered()
        if not waits:
            self._end()

    def _end(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(self._last_words)
            self.transport.close()
            self._stalled.begin()

    def _watch(self) -> None:
        """Sets the timer for what the client has to send next; one that runs for the same thing goes on."""
        kind = self._what_is_awaited()
        awaited = (kind, None if kind is _Awaited.NOTHING else self.cycle)
        if awaited == self._awaited:
            return
        self._awaited = awaited
        if self._late is not None:
            self._late.cancel()
            self._late = None
        if awaited[0] is not _Awaited.NOTHING and not self.transport.is_closing():
            seconds = self.limits.head_seconds if awaited[0] is _Awaited.HEAD else self.limits.rest_seconds
            self._late = self.loop.call_later(seconds, self._on_late)

    def _what_is_awaited(self) -> _Awaited:
        if self._place is _Place.BETWEEN:  # then IdleWatch looks
            return _Awaited.NOTHING
        if self._place is not _Place.BODY:
            return _Awaited.HEAD
        return _Awaited.REST_OF_BODY if self.cycle.response_complete else _Awaited.NOTHING

    def _on_late(self) -> None:
        if self._place is _Place.HEAD:
            self._refuse(refusal(HTTPStatus.REQUEST_TIMEOUT, "the headers of the request came too slowly"))
        else:
            self._end()

    def _has_answered(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _is_idle(self) -> bool:
        """Whether nothing is asked, nor begins to be."""
        return self._place in _BETWEEN and not self._unread and self._has_answered()


def protocol_with(limits: HttpLimits, calls: Sequence[Calls] = ()) -> type[BoundedProtocol]:
    """The protocol with these limits, and these to ask about calls that come whole."""

    class Limited(BoundedProtocol):
        pass

    Limited.limits = limits
    Limited.calls = calls
    Limited.heads = KnownHeads()
    Limited.inbox = memoryview(bytearray(INBOX_BYTES))
    return Limited
