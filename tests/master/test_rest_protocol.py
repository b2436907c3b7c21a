"""HTTP connections of the RESTful door: requests of every kind, cut anywhere, get their answers, once and in order."""

import asyncio
import json
import re
from collections.abc import Sequence
from typing import NamedTuple, cast

import uvicorn
from httptools import HttpRequestParser
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from mindspore_serving.master.http_limits import HttpLimits
from mindspore_serving.master.promise import Promise, kept
from mindspore_serving.master.rest_protocol import protocol_with
from mindspore_serving.master.whole_calls import Headers, Reply

many = settings(max_examples=200)
UPGRADE = b"connection: upgrade\r\nupgrade: h2c\r\n"


class Pipe(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.is_closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.is_closed
        self.writes.append(bytes(data))

    def close(self) -> None:
        self.is_closed = True

    def get_write_buffer_size(self) -> int:
        return 1

    def is_closing(self) -> bool:
        return self.is_closed

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class Asked(NamedTuple):
    """A request as it is sent, and its answer: a status and, where an application made it, a body."""

    sent: bytes
    status: int
    body: bytes | None

    def __repr__(self) -> str:
        return f"Asked({self.sent[:80]!r}, {len(self.sent)} bytes, {self.status})"


def answer_of(path: str, body: bytes) -> bytes:
    return json.dumps([path, body.decode("latin-1")]).encode()


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Tells what it was asked."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            break
    answer = answer_of(scope["path"], body)
    await asyncio.sleep(0)
    head = [(b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": answer})


class Whole:
    """Answers whole calls at once, later, or not at all, as their bodies begin."""

    urls = re.compile(rb"/model/[\w./:-]+")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def answer(self, url: str, headers: Headers, body: bytes) -> Promise[Reply] | None:
        assert (b"host", b"x") in headers
        if body.startswith(b"n"):
            return None
        reply = Reply(answer_of(url, body))
        if body.startswith(b"k"):
            return kept(reply)
        promise: Promise[Reply] = Promise()
        self._loop.call_later(0.0, self._loop.call_soon, promise.keep, reply)
        return promise

    def explain(self, error: BaseException) -> Reply:
        raise AssertionError from error


def post(path: str, body: bytes, fields: bytes, chunks: Sequence[bytes] | None) -> Asked:
    head = b"POST %s HTTP/1.1\r\nhost: x\r\n%s" % (path.encode(), fields)
    if chunks is None:
        return Asked(head + b"content-length: %d\r\n\r\n" % len(body) + body, 200, answer_of(path, body))
    coded = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks if chunk)
    sent = head + b"transfer-encoding: chunked\r\n\r\n" + coded + b"0\r\n\r\n"
    return Asked(sent, 200, answer_of(path, b"".join(chunks)))


paths = st.sampled_from(["/model/add:echo", "/model/add/version/1:echo", "/other"])
bodies = st.sampled_from([b"", b"k", b"now", b"later", b"kept" * 30, b"later" * 4000])
requests = st.builds(
    post,
    paths,
    bodies,
    st.sampled_from([b"", b"", UPGRADE, b"x-more: y\r\n"]),
    st.none() | st.lists(bodies, max_size=3),
)
last_ones = st.sampled_from(
    [
        Asked(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 200, answer_of("/healthz", b"")),
        Asked(b"POST /model/a:b HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 1\r\n\r\nk", 200, None),
        Asked(b"GET /x HTTP/1.0\r\n\r\n", 200, None),
        Asked(b"GET /x HTTP/1.1\r\n\r\n", 400, None),
        Asked(b"\0", 400, None),
        Asked(b"POST /model/a:b HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nz\r\n", 400, None),
        Asked(b"POST /x HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip\r\n\r\n", 501, None),
        Asked(b"GET /x HTTP/1.1\r\nhost: x\r\nx: " + b"y" * 40_000 + b"\r\n\r\n", 431, None),
    ]
)


def replies(received: bytes) -> list[tuple[int, bytes]]:
    found = []
    while received:
        head, _, received = received.partition(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        (length,) = [int(line.split()[1]) for line in lines if line.startswith(b"content-length:")]
        found.append((int(lines[0].split()[1]), received[:length]))
        received = received[length:]
    return found


async def converse(pieces: Sequence[bytes], turns: Sequence[int]) -> list[bytes]:
    """What a connection writes in answer to these pieces, with so many turns of the loop behind each."""
    loop = asyncio.get_running_loop()
    config = uvicorn.Config(
        application, interface="asgi3", lifespan="off", ws="none", log_config=None, access_log=False
    )
    config.load()
    protocol = protocol_with(HttpLimits(), [Whole(loop)])(config, ServerState(), {}, loop)
    pipe = Pipe()
    protocol.connection_made(pipe)
    for number, piece in enumerate(pieces):
        if pipe.is_closed:
            break
        protocol.data_received(piece)
        for _ in range(turns[number % len(turns)]):
            await asyncio.sleep(0)
    for _ in range(10_000):
        if pipe.is_closed:
            break
        await asyncio.sleep(0)
    assert pipe.is_closed
    protocol.connection_lost(None)
    return pipe.writes


def cut(sent: bytes, sizes: Sequence[int]) -> list[bytes]:
    pieces: list[bytes] = []
    at = 0
    while at < len(sent):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(sent[at : at + size])
        at += size
    return pieces


@many
@given(
    st.lists(requests, max_size=6),
    last_ones,
    st.none() | st.lists(st.integers(1, 5000), min_size=1),
    st.lists(st.integers(0, 3), min_size=1),
)
def test_each_request_gets_its_answer_in_order_however_it_is_cut(
    asked: list[Asked], last: Asked, sizes: list[int] | None, turns: list[int]
) -> None:
    everything = [*asked, last]
    pieces = [one.sent for one in everything] if sizes is None else cut(b"".join(one.sent for one in everything), sizes)
    answers = replies(b"".join(asyncio.run(converse(pieces, turns))))
    assert [status for status, _ in answers] == [one.status for one in everything]
    for (_, body), one in zip(answers, everything, strict=True):
        assert one.body is None or body == one.body


def test_nothing_is_served_behind_a_refusal_that_waits() -> None:
    first = post("/other", b"later", b"", None)
    head = b"GET /x HTTP/1.1\r\nhost: x\r\nx: "
    pieces = [first.sent, head, b"y" * 20_000, b"\r\n\r\nGET /x HTTP/1.1\r\nhost: x\r\n\r\n"]
    answers = replies(b"".join(asyncio.run(converse(pieces, [0]))))
    assert [status for status, _ in answers] == [200, 431]


def test_an_answer_is_one_write_unless_it_is_large() -> None:
    last = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    for body, writes in ((b"now", 1), (b"n" * 100_000, 2)):
        for path in ("/model/add:echo", "/other"):
            sent = post(path, body, b"", None).sent
            written = asyncio.run(converse([sent, last], [20]))
            assert len(written) == writes + 1
            assert [status for status, _ in replies(b"".join(written))] == [200, 200]


def test_a_call_with_a_known_head_passes_the_parser_by_and_others_do_not_suffer() -> None:
    """A known call first, then one behind whose answer the next two wait, known and not."""
    known, waits, other = (post("/model/add:echo", body, b"", None) for body in (b"know", b"wait", b"more of it"))
    last = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    pieces = [known.sent, known.sent, waits.sent, waits.sent, other.sent, known.sent[:-2], known.sent[-2:], last]
    answers = replies(b"".join(asyncio.run(converse(pieces, [3, 3, 0, 0, 3]))))
    assert [body for _, body in answers[:-1]] == [one.body for one in (known, known, waits, waits, other, known)]


def test_a_known_call_that_ends_its_connection_is_the_last() -> None:
    closing = post("/model/add:echo", b"know", b"connection: close\r\n", None).sent
    known: list[bytes] = []

    async def twice() -> None:
        loop = asyncio.get_running_loop()
        config = uvicorn.Config(application, interface="asgi3", lifespan="off", ws="none", log_config=None)
        config.load()
        kind = protocol_with(HttpLimits(), [Whole(loop)])
        for number in range(2):
            pipe = Pipe()
            connection = kind(config, ServerState(), {}, loop)
            connection.connection_made(pipe)
            if number:
                connection.parser = cast(HttpRequestParser, None)  # nobody parses it again
            connection.data_received(closing)
            assert pipe.is_closed
            connection.data_received(closing)
            connection.connection_lost(None)
            known.extend(pipe.writes)

    asyncio.run(twice())
    assert len(known) == 2
    assert known[0] == known[1]
    assert b"\r\nconnection: close\r\n" in known[1]


def test_an_idle_connection_ends_though_its_last_answer_is_still_being_read() -> None:
    async def ask() -> Pipe:
        loop = asyncio.get_running_loop()
        config = uvicorn.Config(application, interface="asgi3", lifespan="off", ws="none", log_config=None)
        config.load()
        connection = protocol_with(HttpLimits(idle_seconds=0.0), [Whole(loop)])(config, ServerState(), {}, loop)
        pipe = Pipe()
        connection.connection_made(pipe)
        connection.data_received(post("/model/add:echo", b"know", b"", None).sent)
        connection.pause_writing()
        for _ in range(100):
            await asyncio.sleep(0)
        connection.connection_lost(None)
        return pipe

    pipe = asyncio.run(ask())
    assert pipe.is_closed
    assert len(replies(b"".join(pipe.writes))) == 1
