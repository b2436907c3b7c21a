"""The RESTful door and those who mean it ill: slow heads, floods, bodies without end, readers that stall, huge JSON."""

import contextlib
import gc
import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from starlette.types import Receive, Scope, Send

from mindspore_serving.cluster.addresses import Address
from mindspore_serving.cluster.errors import RequestRefused
from mindspore_serving.cluster.messages import BatchDone
from mindspore_serving.cluster.results import Results
from mindspore_serving.cluster.tensors import Stacked, Tensor
from mindspore_serving.master.http_limits import HttpLimits
from mindspore_serving.master.predict import Predictions
from mindspore_serving.master.promise import Promise
from mindspore_serving.master.rest_api import MEGABYTE, RestDoor
from mindspore_serving.master.rest_body import BODIES_HELD
from mindspore_serving.master.rest_json import read_instances, write_reply
from mindspore_serving.master.rest_protocol import BoundedProtocol, _Place
from mindspore_serving.master.tokens import Tokens
from mindspore_serving.master.whole_calls import Calls, Headers, Reply
from tests.master.rest_client import RestClient
from tests.master.running_master import WAIT_SECONDS, RunningMaster
from tests.processes import until

SOON = 0.05  # seconds: a limit that a test waits for
HEAD = b"POST /model/add:echo HTTP/1.1\r\nhost: x\r\n"


@contextmanager
def door(master: RunningMaster, limits: HttpLimits, tokens: Tokens | None = None) -> Iterator[tuple[RestDoor, Address]]:
    """A door of its own at the desk of `master`."""

    async def open_door() -> tuple[RestDoor, Address]:
        opened = RestDoor(master.server._desk, 1, limits=limits, tokens=tokens)
        address = opened.bind(Address("127.0.0.1", 0))
        await opened.start()
        return opened, address

    opened, address = master.run(open_door())
    yield opened, address
    master.run(opened.stop())


def connect(address: Address) -> socket.socket:
    return socket.create_connection(address, WAIT_SECONDS)


def everything(connection: socket.socket) -> bytes:
    """What comes until the other side closes."""
    received = b""
    with connection:
        while True:
            try:
                chunk = connection.recv(65536)
            except ConnectionResetError:
                return received
            if not chunk:
                return received
            received += chunk


def test_a_head_that_is_never_complete_ends(master: RunningMaster) -> None:
    with door(master, HttpLimits(head_seconds=SOON)) as (_, address):
        silent, slow, second = (connect(address) for _ in range(3))
        slow.sendall(HEAD + b"x-slow: ")
        second.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n" + HEAD)
        assert everything(silent) == b""
        assert everything(slow).startswith(b"HTTP/1.1 408 ")
        answers = everything(second)
        assert answers.startswith(b"HTTP/1.1 200 ")
        assert b"HTTP/1.1 408 " in answers


def test_a_head_that_comes_drop_by_drop_has_no_more_time_than_one_that_stops(master: RunningMaster) -> None:
    with door(master, HttpLimits(head_seconds=SOON)) as (_, address), connect(address) as slow:
        slow.settimeout(SOON / 10)
        received = b""
        slow.sendall(HEAD)
        while not received:
            slow.sendall(b"x")
            try:
                received = slow.recv(100)
            except TimeoutError:
                continue
        assert received.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    ("flood", "status", "text"),
    [
        (HEAD + b"x-header: y\r\n" * 10_000, b"431", b"the request line and the headers have more than"),
        (HEAD + b"x: " + b"y" * 200_000, b"431", b"the request line and the headers have more than"),
        (b"POST /" + b"x" * 200_000, b"431", b"the request line and the headers have more than"),
        (b"\x16\x03\x01" + bytes(1000), b"400", b"this is no HTTP request"),  # the hello of a TLS client
        (HEAD + b"content-length: -1\r\n\r\n", b"400", b"Content-Length"),
        (HEAD + b"content-length: 1\r\ncontent-length: 2\r\n\r\n", b"400", b"Content-Length"),
        (HEAD + b"content-length: 99999999999999999999999\r\n\r\n", b"400", b"Content-Length"),
        (HEAD + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n", b"400", b"Content-Length"),
        (HEAD + b"transfer-encoding: gzip, chunked\r\n\r\n", b"501", b"Transfer-Encoding may be chunked"),
        (HEAD + b"transfer-encoding: chunked\r\n\r\nffffffffffffffffffffffff\r\n", b"400", b"this is no HTTP"),
        (HEAD + b"host: y\r\n\r\n", b"400", b"a request has one header 'Host', given 2"),
        (b"GET /healthz HTTP/1.1\r\n\r\n", b"400", b"a request has one header 'Host', given 0"),
        *(
            (b"GET /healthz HTTP/1.1\r\nhost: %s\r\n\r\n" % host, b"400", b"'Host' names no host")
            for host in (b"a b", b"a/b", b"u@a", b"a:b", b"a:1:2", b"[::1", b"\xc3\xa4")
        ),
        (b"GET /healthz HTTP/2.0\r\nhost: x\r\n\r\n", b"505", b"versions 1.0 and 1.1"),
        (b"GET /healthz\r\n\r\n", b"505", b"versions 1.0 and 1.1"),
        (b"GET ?x HTTP/1.1\r\nhost: x\r\n\r\n", b"400", b"this is no HTTP request"),
        (b"GET http://x HTTP/1.1\r\nhost: x\r\n\r\n", b"400", b"its URL cannot be read"),
        (b"CONNECT x:80 HTTP/1.1\r\nhost: x\r\n\r\n", b"501", b"CONNECT is for proxies"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"400", b"this is no HTTP request"),
    ],
)
def test_a_flood_of_headers_and_what_is_no_http_is_refused(
    master: RunningMaster, flood: bytes, status: bytes, text: bytes
) -> None:
    with door(master, HttpLimits(rest_seconds=SOON)) as (_, address):
        connection = connect(address)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the door does not wait for its end
            connection.sendall(flood)
        received = everything(connection)
        # A door that closes while more is under way destroys its last words.
        assert (len(flood) > 100_000 and received == b"") or (received.split()[1] == status and text in received)


@pytest.mark.parametrize(
    "flood", [b"0\r\nx: " + b"y" * 200_000, b"0\r\n" + b"x: y\r\n" * 40_000, b"1;" + b"x" * 200_000]
)
@pytest.mark.parametrize("content", [b"", b"14000\r\n" + b" " * 0x14000 + b"\r\n"])
def test_a_body_without_content_ends(master: RunningMaster, content: bytes, flood: bytes) -> None:
    with door(master, HttpLimits()) as (_, address):
        connection = connect(address)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the door does not wait for its end
            connection.sendall(HEAD + b"transfer-encoding: chunked\r\n\r\n" + content + flood)
        assert everything(connection)[:13] in (b"", b"HTTP/1.1 431 ")  # what is under way may destroy last words


@pytest.mark.parametrize("host", [b"", b"a_b.example:80", b"127.0.0.1:", b"[fe80::1%25eth0]:5900", b"%2Ftmp%2Fx"])
def test_a_host_may_be_any_name(master: RunningMaster, host: bytes) -> None:
    with door(master, HttpLimits()) as (_, address):
        connection = connect(address)
        connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: " + host + b"\r\n" + CLOSING + b"\r\n")
        assert everything(connection).startswith(b"HTTP/1.1 200 ")


def test_a_client_of_http_1_0_is_not_told_to_continue(master: RunningMaster) -> None:
    with door(master, HttpLimits()) as (_, address):
        for version, status in ((b"1.0", b"200"), (b"1.1", b"100")):
            connection = connect(address)
            url = b"POST /model/add:nope HTTP/%s\r\nhost: x\r\n" % version
            connection.sendall(url + CLOSING + b"expect: 100-continue\r\ncontent-length: 2\r\n\r\n{}")
            assert everything(connection).split()[1] == status


def test_a_head_that_comes_in_pieces_before_a_body_is_no_larger_for_that(master: RunningMaster) -> None:
    body = json.dumps({"instances": {"x": 1}}).encode().ljust(40_000)
    with door(master, HttpLimits()) as (opened, address):
        connection = connect(address)
        connections = opened._server.server_state.connections
        first, second = b"POST /model/add:nope HTTP/1.1\r\n", b"host: x\r\n" + CLOSING
        connection.sendall(first)
        until(lambda: connections, "the connection")
        (protocol,) = connections
        assert isinstance(protocol, BoundedProtocol)
        until(lambda: protocol._place is _Place.HEAD, "the request line")
        connection.sendall(second)
        until(lambda: protocol._bare_bytes == len(second), "two of the headers")
        connection.sendall(b"content-length: %d\r\n\r\n" % len(body) + body)
        assert everything(connection).startswith(b"HTTP/1.1 200 ")


def test_a_reader_who_leaves_little_unread_is_dropped_too(master: RunningMaster) -> None:
    with door(master, HttpLimits(stalled_seconds=SOON)) as (opened, address):
        connection = connect(address)
        connections = opened._server.server_state.connections
        connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
        (protocol,) = connections
        assert isinstance(protocol, BoundedProtocol)
        master.run(leave_unread(protocol))
        until(lambda: not connections, "the end of the connection")
        connection.close()


async def leave_unread(protocol: BoundedProtocol) -> None:
    """The kernel takes what it can of last words; a little more waits here."""
    socket_ = protocol.transport.get_extra_info("socket")
    with contextlib.suppress(BlockingIOError):
        while True:
            socket_.send(bytes(1 << 16))
    protocol._last_words = b"x" * 1000
    protocol._end()
    assert protocol.transport.is_closing() and protocol.transport.get_write_buffer_size() == 1000


def test_a_connection_that_asks_nothing_more_ends_by_itself(master: RunningMaster) -> None:
    with door(master, HttpLimits(idle_seconds=SOON)) as (_, address):
        idle = connect(address)
        idle.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        answer = everything(idle)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("what", [b"GET /healthz", b"POST /model/add:nope", b"POST /v2/models/add.nope/infer"])
def test_a_connection_that_has_ended_is_gone_before_anybody_looks_for_garbage(
    master: RunningMaster, what: bytes
) -> None:
    def there() -> int:
        return sum(isinstance(found, BoundedProtocol) for found in gc.get_objects())

    with door(master, HttpLimits()) as (_, address):
        gc.collect()
        gc.disable()
        try:
            for _ in range(3):
                connection = connect(address)
                connection.sendall(what + b" HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}")
                assert everything(connection).startswith(b"HTTP/1.1 ")
            until(lambda: there() == 0, "their end")
        finally:
            gc.enable()


def test_connections_beyond_the_limit_are_turned_away_and_the_others_served(master: RunningMaster) -> None:
    with door(master, HttpLimits(connections=2)) as (_, address):
        first, second = RestClient(address), RestClient(address)
        for client in (first, second):
            assert client.exchange(b"", "/healthz", "GET")[0] == 200
        assert everything(connect(address)).startswith(b"HTTP/1.1 503 ")
        assert second.exchange(b"", "/healthz", "GET")[0] == 200
        first.connection.close()
        while everything(ask_health(address)).startswith(b"HTTP/1.1 503 "):
            pass  # the door hears of it a moment later
        second.connection.close()


def ask_health(address: Address) -> socket.socket:
    connection = connect(address)
    connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    return connection


def test_a_body_that_goes_on_after_its_answer_is_cut(master: RunningMaster) -> None:
    with door(master, HttpLimits(rest_seconds=SOON)) as (_, address):
        connection = connect(address)
        connection.sendall(HEAD + b"content-length: 1099511627776\r\n\r\n")
        assert b"http message is bigger than 1048576" in everything(connection)


def test_a_client_that_does_not_read_its_answer_is_dropped(master: RunningMaster) -> None:
    with door(master, HttpLimits(stalled_seconds=SOON)) as (opened, address):
        connection = connect(address)
        body = json.dumps({"instances": {"x": 1}}).encode()
        connection.sendall(HEAD + b"content-length: %d\r\n\r\n" % len(body) + body)
        batch = master.workers[0].next_batch()
        large = np.zeros(20_000_000, "<i1")
        master.workers[0].say(BatchDone(batch.batch_id, (Stacked("|i1", (1, *large.shape), large.tobytes()),)))
        connections = opened._server.server_state.connections
        until(lambda: connections, "the connection")
        until(lambda: not connections, "the end of the connection")
        assert len(everything(connection)) < large.size


def test_bodies_that_wait_are_bounded_together(master: RunningMaster) -> None:
    with door(master, HttpLimits()) as (opened, address):
        waiting = [connect(address) for _ in range(BODIES_HELD)]
        for connection in waiting:
            connection.sendall(HEAD + b"content-length: %d\r\n\r\n" % MEGABYTE + b" " * (MEGABYTE - 1))
        until(lambda: opened._room.held_bytes == BODIES_HELD * (MEGABYTE - 1), "the bodies")
        client = RestClient(address)
        assert client.exchange(b" ", "/model/add:echo")[0] == 200  # what comes whole waits nowhere
        status, _, answer = client.exchange(b" " * 20_000, "/model/add:echo")
        assert (status, json.loads(answer)) == (
            503,
            {"error_msg": "the master holds too many large requests: send it again later"},
        )
        for connection in waiting:
            connection.close()
        until(lambda: not opened._room.held_bytes, "the end of the bodies")
        assert client.exchange(b" " * 20_000, "/model/add:echo")[0] == 200
        client.connection.close()


def test_empty_arrays_that_a_reply_would_have_to_spell_out_are_refused() -> None:
    """orjson ended the process over one of shape [2, 4294967296, 0]."""
    empty = Tensor("|i1", (2, 1 << 32, 0), b"")
    many = Tensor("|i1", (1 << 20, 0), b"")
    stacked = Stacked("|i1", (5, 1 << 20, 0), b"")
    refused = {"error_msg": "Failed to construct the response: more than 4194304 empty arrays"}
    assert json.loads(write_reply(Predictions(("y",), Results(1, ((empty,),))))) == refused
    assert json.loads(write_reply(Predictions(("y",), Results(5, ((many,) * 5,))))) == refused
    assert json.loads(write_reply(Predictions(("y",), Results(5, (stacked,))))) == refused
    assert json.loads(write_reply(Predictions(("y",), Results(1, (Stacked("|i1", (1, 2, 0), b""),))))) == {
        "instances": [{"y": [[], []]}]
    }
    with pytest.raises(RequestRefused, match="invalid shape value"):
        read_instances(b'{"instances": {"x": {"b64": "", "type": "int8", "shape": [2, 4294967296, 0]}}}')


def head(path: bytes, length: int = 0, more: bytes = b"") -> bytes:
    method = b"POST" if length else b"GET"
    return b"%s %s HTTP/1.1\r\nhost: x\r\n%scontent-length: %d\r\n\r\n" % (method, path, more, length)


REQUEST = json.dumps({"instances": {"x": 1}}).encode()
CLOSING = b"connection: close\r\n"
UPGRADE = b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n"


def replies(received: bytes) -> list[bytes]:
    """The statuses and bodies of all of them."""
    parts = []
    while received:
        first, _, received = received.partition(b"\r\n\r\n")
        (length,) = re.findall(rb"content-length: (\d+)", first)
        parts += [first.split()[1], received[: int(length)]]
        received = received[int(length) :]
    return parts


def test_a_client_may_send_many_requests_before_it_reads(echoing_master: RunningMaster) -> None:
    with door(echoing_master, HttpLimits()) as (_, address):
        connection = connect(address)
        count = 3000  # of more bytes than are read, and than are parsed, at once
        call = head(b"/model/add:echo", len(REQUEST)) + REQUEST
        threading.Thread(target=connection.sendall, args=(call * count + head(b"/healthz", 0, CLOSING),)).start()
        answers = replies(everything(connection))
        assert answers == [b"200", b'{"instances":[{"y":1}]}'] * count + [b"200", b"ok\n"]


@pytest.mark.parametrize(
    "broken", [b"\x00\r\n\r\n", head(b"/healthz", 0, b"host: y\r\n"), HEAD + b"x: " + b"y" * 40_000]
)
def test_what_was_asked_before_a_mistake_is_answered_first(master: RunningMaster, broken: bytes) -> None:
    with door(master, HttpLimits()) as (_, address):
        connection = connect(address)
        connection.sendall(head(b"/model/add:echo", len(REQUEST)) + REQUEST + broken)
        batch = master.workers[0].next_batch()
        master.workers[0].say(BatchDone(batch.batch_id, batch.columns))
        answers = replies(everything(connection))
        assert answers[:2] == [b"200", b'{"instances":[{"y":1}]}']
        assert answers[2] in (b"400", b"431")


def test_what_was_asked_before_a_broken_body_is_answered_first(master: RunningMaster) -> None:
    with door(master, HttpLimits()) as (_, address):
        connection = connect(address)
        chunked = HEAD + b"transfer-encoding: chunked\r\n\r\n"
        connection.sendall(head(b"/model/add:echo", len(REQUEST)) + REQUEST + chunked + b"no number\r\n")
        batch = master.workers[0].next_batch()
        master.workers[0].say(BatchDone(batch.batch_id, batch.columns))
        assert replies(everything(connection))[::2] == [b"200", b"400"]


def test_what_was_asked_before_a_late_head_is_answered_first(master: RunningMaster) -> None:
    with door(master, HttpLimits(head_seconds=SOON)) as (opened, address):
        connection = connect(address)
        connection.sendall(head(b"/model/add:echo", len(REQUEST)) + REQUEST + HEAD)
        batch = master.workers[0].next_batch()
        (protocol,) = opened._server.server_state.connections
        assert isinstance(protocol, BoundedProtocol)
        until(lambda: protocol._last_words, "the end of the time for the head")
        master.workers[0].say(BatchDone(batch.batch_id, batch.columns))
        assert replies(everything(connection))[::2] == [b"200", b"408"]


def test_a_wish_for_another_protocol_is_ignored(echoing_master: RunningMaster) -> None:
    """Java's HttpClient and `curl --http2` send it with their first request, body and all."""
    with door(echoing_master, HttpLimits()) as (_, address):
        connection = connect(address)
        calls = [head(b"/model/add:echo", len(REQUEST), more) + REQUEST for more in (UPGRADE, UPGRADE, b"")]
        connection.sendall(b"".join(calls) + head(b"/healthz", 0, UPGRADE) + head(b"/healthz", 0, CLOSING))
        answers = replies(everything(connection))
        assert answers == [b"200", b'{"instances":[{"y":1}]}'] * 3 + [b"200", b"ok\n"] * 2


def test_fields_behind_a_body_are_none_of_the_request(master: RunningMaster) -> None:
    """Else they would stand in for headers that were not there when the request was let in."""
    with door(master, HttpLimits()) as (_, address):
        connection = connect(address)
        url = b"POST /v2/models/add/infer HTTP/1.1\r\nhost: x\r\n" + CLOSING
        body = b"2\r\n{}\r\n0\r\ninference-header-content-length: x\r\n\r\n"
        connection.sendall(url + b"transfer-encoding: chunked\r\n\r\n" + body)
        status, text = replies(everything(connection))
        assert status == b"400"
        assert b"Inference-Header-Content-Length" not in text


def chunked(path: bytes, body: bytes) -> bytes:
    """Never a call that came whole."""
    url = b"POST %s HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n" % path
    return url + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


INFERENCE = b'{"inputs": [{"name": "x", "datatype": "INT8", "shape": [1], "data": [1]}]}'


@pytest.mark.parametrize(
    "call",
    [
        head(b"/model/add:echo", len(REQUEST)) + REQUEST,
        chunked(b"/model/add:echo", REQUEST),
        chunked(b"/v2/models/add.echo/infer", INFERENCE),
        head(b"/v2/models/add.echo/infer", len(INFERENCE)) + INFERENCE,
    ],
    ids=["whole", "in parts", "v2 in parts", "v2"],
)
def test_a_call_leaves_the_queue_with_its_client(master: RunningMaster, call: bytes) -> None:
    with door(master, HttpLimits()) as (_, address):
        connection = connect(address)
        connection.sendall(call)
        batch = master.workers[0].next_batch()
        connection.close()
        until(lambda: not master.server._desk._callers, "the end of the call")
        master.workers[0].say(BatchDone(batch.batch_id, batch.columns))


def test_who_waits_when_the_door_closes_hears_of_it(master: RunningMaster) -> None:
    with door(master, HttpLimits()) as (_, address):
        whole, slow, v2 = [connect(address) for _ in range(3)]
        whole.sendall(head(b"/model/add:echo", len(REQUEST)) + REQUEST)
        master.workers[0].next_batch()
        v2.sendall(head(b"/v2/models/add.echo/infer", len(INFERENCE)) + INFERENCE)
        slow.sendall(head(b"/model/add:echo", len(REQUEST)))
        slow.sendall(REQUEST)
        until(lambda: len(master.server._desk._callers) == 3, "all calls")
    for connection in (whole, slow):
        assert replies(everything(connection)) == [b"503", b'{"error_msg":"the master is stopping"}']
    told = everything(v2)
    assert replies(told) == [b"503", b'{"error":"the master is stopping"}']
    assert b"\r\nretry-after: 1\r\n" in told


async def nobody(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that answers no call."""
    raise AssertionError(scope["path"])


BINARY = b'{"inputs": [{"name": "x", "datatype": "INT8", "shape": [1], "parameters": {"binary_data_size": 1}}]}'


@pytest.mark.parametrize(
    "call",
    [
        head(b"/model/add:echo", len(REQUEST), CLOSING) + REQUEST,
        head(b"/v2/models/add.echo/infer", len(INFERENCE), CLOSING) + INFERENCE,
        head(
            b"/v2/models/add.echo/versions/1/infer",
            len(BINARY) + 1,
            b"accept-encoding: gzip\r\ninference-header-content-length: %d\r\n" % len(BINARY) + CLOSING,
        )
        + BINARY
        + b"1",
    ],
    ids=["RESTful API", "v2, JSON", "v2, binary"],
)
def test_a_call_that_came_whole_needs_no_application(master: RunningMaster, call: bytes) -> None:
    with door(master, HttpLimits()) as (opened, address):
        opened._server.config.loaded_app = nobody
        connection = connect(address)
        connection.sendall(call)
        master.workers[0].echo()
        assert everything(connection).startswith(b"HTTP/1.1 200 OK\r\n")


TOKEN = "a-token-0123456789"


@pytest.mark.parametrize("given, status", [(TOKEN, b"200"), (TOKEN[::-1], b"401"), (None, b"401")])
def test_a_call_that_came_whole_shows_its_token(
    master: RunningMaster, tmp_path: Path, given: str | None, status: bytes
) -> None:
    file = tmp_path / "tokens"
    file.touch(0o600)
    file.write_text(TOKEN)
    with door(master, HttpLimits(), Tokens(file)) as (opened, address):
        if status == b"200":
            opened._server.config.loaded_app = nobody
        connection = connect(address)
        shown = b"" if given is None else b"authorization: Bearer %s\r\n" % given.encode()
        connection.sendall(head(b"/model/add:echo", len(REQUEST), CLOSING + shown) + REQUEST)
        if status == b"200":
            master.workers[0].echo()
        assert replies(everything(connection))[0] == status


class Broken:
    """Knows the answer to no call."""

    urls = re.compile(rb"/.*")

    def __init__(self, calls: Calls) -> None:
        self.explain = calls.explain

    def answer(self, _url: str, _headers: Headers, _body: bytes) -> Promise[Reply] | None:
        raise ZeroDivisionError


@pytest.mark.parametrize("index, name", [(0, "error_msg"), (1, "error")])
def test_a_fault_of_ours_is_answered_and_logged(
    master: RunningMaster, caplog: pytest.LogCaptureFixture, index: int, name: str
) -> None:
    with door(master, HttpLimits()) as (opened, address):
        protocol = opened._server.config.http_protocol_class
        assert issubclass(protocol, BoundedProtocol)
        protocol.calls = [Broken(protocol.calls[index])]
        connection = connect(address)
        connection.sendall(head(b"/model/add:echo", len(REQUEST), CLOSING) + REQUEST)
        answer = [b"500", b'{"%s":"internal error of the master: see its log"}' % name.encode()]
        assert replies(everything(connection)) == answer
        assert "a fault of the master's own" in caplog.text
