"""The RESTful door and those who mean it ill: slow heads, floods, bodies without end, readers that stall, huge JSON."""

import contextlib
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from mindspore_serving.cluster.addresses import Address
from mindspore_serving.cluster.errors import RequestRefused
from mindspore_serving.cluster.messages import BatchDone
from mindspore_serving.cluster.tensors import Stacked, Tensor
from mindspore_serving.master.predict import Predictions
from mindspore_serving.master.rest_api import MEGABYTE, RestDoor
from mindspore_serving.master.rest_body import BODIES_HELD
from mindspore_serving.master.rest_json import read_instances, write_reply
from mindspore_serving.master.rest_protocol import HttpLimits
from tests.master.rest_client import RestClient
from tests.master.running_master import WAIT_SECONDS, RunningMaster
from tests.processes import until

SOON = 0.05  # seconds: a limit that a test waits for
HEAD = b"POST /model/add:echo HTTP/1.1\r\nhost: x\r\n"


@contextmanager
def door(master: RunningMaster, limits: HttpLimits) -> Iterator[tuple[RestDoor, Address]]:
    """A door of its own at the desk of `master`."""

    async def open_door() -> tuple[RestDoor, Address]:
        opened = RestDoor(master.server._desk, 1, limits=limits)
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
    "flood",
    [
        HEAD + b"x-header: y\r\n" * 10_000,
        HEAD + b"x: " + b"y" * 200_000,
        b"POST /" + b"x" * 200_000,
        b"\x16\x03\x01" + bytes(1000),  # the hello of a TLS client
        HEAD + b"content-length: -1\r\n\r\n",
        HEAD + b"content-length: 1\r\ncontent-length: 2\r\n\r\n",
        HEAD + b"content-length: 99999999999999999999999\r\ntransfer-encoding: gzip\r\n\r\n",
        HEAD + b"transfer-encoding: chunked\r\n\r\nffffffffffffffffffffffff\r\n",
    ],
)
def test_a_flood_of_headers_and_what_is_no_http_is_refused(master: RunningMaster, flood: bytes) -> None:
    with door(master, HttpLimits(rest_seconds=SOON)) as (_, address):
        connection = connect(address)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the door does not wait for its end
            connection.sendall(flood)
        received = everything(connection)
        assert received == b"" or received.split()[1] in (b"400", b"501")


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
        status, _, answer = client.exchange(b" " * 1000, "/model/add:echo")
        assert (status, json.loads(answer)) == (
            503,
            {"error_msg": "the master holds too many large requests: send it again later"},
        )
        for connection in waiting:
            connection.close()
        until(lambda: not opened._room.held_bytes, "the end of the bodies")
        assert client.exchange(b" " * 1000, "/model/add:echo")[0] == 200
        client.connection.close()


def test_empty_arrays_that_a_reply_would_have_to_spell_out_are_refused() -> None:
    """orjson ended the process over one of shape [2, 4294967296, 0]."""
    empty = Tensor("|i1", (2, 1 << 32, 0), b"")
    many = Tensor("|i1", (1 << 20, 0), b"")
    refused = {"error_msg": "Failed to construct the response: more than 4194304 empty arrays"}
    assert json.loads(write_reply(Predictions(("y",), [(empty,)]))) == refused
    assert json.loads(write_reply(Predictions(("y",), [(many,)] * 5))) == refused
    assert json.loads(write_reply(Predictions(("y",), [(Tensor("|i1", (2, 0), b""),)]))) == {
        "instances": [{"y": [[], []]}]
    }
    with pytest.raises(RequestRefused, match="invalid shape value"):
        read_instances(b'{"instances": {"x": {"b64": "", "type": "int8", "shape": [2, 4294967296, 0]}}}')
