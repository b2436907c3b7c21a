"""The lean door's own ways: other clients than gRPC's, lost connections, time limits, bounds, GOAWAY, nghttp2."""

import asyncio
import contextlib
import gc
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import h2.config
import h2.connection
import h2.events
import pytest
from hyperframe.frame import Frame, GoAwayFrame, PingFrame

from mindspore_serving.cluster.addresses import Address
from mindspore_serving.master.grpc_messages import message_prefix
from mindspore_serving.master.http2.connection import Connection
from mindspore_serving.master.http2.errors import ErrorCode
from mindspore_serving.master.http2.frames import ACK, Kind, pack
from mindspore_serving.master.http2.limits import Limits
from mindspore_serving.master.lean_door import LeanDoor
from mindspore_serving.master.socket_transport import SocketTransport
from tests.master.running_door import WAIT_SECONDS, RunningDoor
from tests.processes import listens, until

FIELDS = {
    b":method": b"POST",
    b":path": b"",
    b":scheme": b"http",
    b":authority": b"here",
    b"content-type": b"application/grpc",
}


@pytest.fixture
def door() -> Iterator[RunningDoor]:
    running = RunningDoor()
    yield running
    running.close()


class RawClient:
    """A client that may stop in the middle of anything."""

    def __init__(self, door: RunningDoor) -> None:
        assert isinstance(door.address, Address)
        self.socket = socket.create_connection(door.address, WAIT_SECONDS)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding=False))
        self.events: list[h2.events.Event] = []

    def __enter__(self) -> "RawClient":
        self.h2.initiate_connection()
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def call(self, name: str, body: bytes, ended: bool = True, changed: dict[bytes, bytes] | None = None) -> int:
        stream_id = self.h2.get_next_available_stream_id()
        fields = {**FIELDS, b":path": b"/Echo/" + name.encode(), **(changed or {})}
        self.h2.send_headers(stream_id, list(fields.items()))
        self.h2.send_data(stream_id, body, end_stream=ended)
        self.socket.sendall(self.h2.data_to_send())
        return stream_id

    def hear(self, kind: type[Any]) -> Any:
        """The next event of a kind."""
        while not (found := [event for event in self.events if isinstance(event, kind)]):
            content = self.socket.recv(65_536)
            assert content, f"closed without {kind.__name__}"
            self.events += self.h2.receive_data(content)
        self.events.remove(found[0])
        return found[0]

    def wait_for_close(self) -> bytes:
        rest = b""
        while content := self.socket.recv(65_536):
            rest += content
        return rest

    def is_turned_away(self) -> bool:
        with self.socket:
            try:
                return self.socket.recv(1) == b""
            except ConnectionError:
                return True

    def status(self) -> bytes:
        """The gRPC status of the next response without a body."""
        return dict(self.hear(h2.events.ResponseReceived).headers)[b"grpc-status"]  # type: ignore[no-any-return]


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", b"POST /x HTTP/1.0\r\n\r\n"])
def test_an_http_1_client_reads_what_to_do(door: RunningDoor, said: bytes) -> None:
    with RawClient(door) as client:
        client.socket.sendall(said)
        answer = client.wait_for_close()
    assert answer.startswith(b"HTTP/1.1 505 ")
    assert answer.endswith(b"needs HTTP/2: for HTTP/1 use the port that --rest names\n")


def test_garbage_is_not_answered(door: RunningDoor) -> None:
    with RawClient(door) as client:
        client.socket.sendall(b"\x16\x03\x01\x02")
        assert client.wait_for_close() == b""


def test_what_is_not_grpc_gets_415_and_another_method_405(door: RunningDoor) -> None:
    with RawClient(door) as client:
        client.call("Say", b"", changed={b"content-type": b"application/json"})
        assert dict(client.hear(h2.events.ResponseReceived).headers)[b":status"] == b"415"
        client.call("Say", b"", changed={b":method": b"PUT"})
        assert dict(client.hear(h2.events.ResponseReceived).headers)[b":status"] == b"405"


def test_a_request_that_is_no_message_is_refused(door: RunningDoor) -> None:
    with RawClient(door) as client:
        for body in (b"", b"\0\0\0", b"\0\0\0\0\5abc", (message_prefix(b"a") + b"a") * 2, b"\2\0\0\0\0"):
            client.call("Say", body)
            assert client.status() == b"13"
        client.call("Say", b"\1\0\0\0\0", changed={b"grpc-encoding": b"zstd"})
        headers = dict(client.hear(h2.events.ResponseReceived).headers)
        assert (headers[b"grpc-status"], headers[b"grpc-accept-encoding"]) == (b"12", b"identity,gzip,deflate")


def test_a_connection_that_is_lost_cancels_its_handlers(door: RunningDoor) -> None:
    with RawClient(door) as client:
        client.call("Wait", message_prefix(b""))
        assert door.entered.acquire(timeout=WAIT_SECONDS)
    assert door.cancelled.acquire(timeout=WAIT_SECONDS)


def test_a_connection_that_has_ended_is_gone_before_anybody_looks_for_garbage(door: RunningDoor) -> None:
    """Hundreds of them held up all callers for a tenth of a second, when Python did."""

    def connections() -> int:
        return sum(type(found) is Connection for found in gc.get_objects())

    def end_some() -> None:
        for _ in range(5):
            with RawClient(door) as client:
                client.call("Say", message_prefix(b"word") + b"word")
                client.hear(h2.events.StreamEnded)
                assert connections() > 0

    gc.collect()
    gc.disable()
    try:
        end_some()
        until(lambda: connections() == 0, "the end of all connections")
    finally:
        gc.enable()


def test_a_faulty_client_reads_why_its_connection_ends(door: RunningDoor) -> None:
    with RawClient(door) as client:
        client.call("Say", message_prefix(b""))
        client.socket.sendall(pack(Kind.PING, 0, 0, b"1234567"))
        assert client.hear(h2.events.ConnectionTerminated).error_code == ErrorCode.FRAME_SIZE_ERROR
        client.wait_for_close()


def test_keep_alive_pings_are_answered_with_and_without_a_call(door: RunningDoor) -> None:
    with RawClient(door) as client:
        for number in range(100):
            client.h2.ping(number.to_bytes(8, "big"))
            client.socket.sendall(client.h2.data_to_send())
            assert client.hear(h2.events.PingAckReceived).ping_data == number.to_bytes(8, "big")
            if number == 50:
                client.call("Wait", message_prefix(b"x") + b"x")
        door.let_go_on()
        assert client.hear(h2.events.DataReceived).data == message_prefix(b"x") + b"x"


def hear_goodbye(client: RawClient) -> bytes:
    """The ping behind it. The h2 library takes nothing any more once it has read such a frame: it is not shown it."""
    content = b""
    while True:
        while len(content) >= 9:
            frame, length = Frame.parse_frame_header(memoryview(content[:9]))
            if len(content) < 9 + length:
                break
            frame.parse_body(memoryview(content[9 : 9 + length]))
            content = content[9 + length :]
            if isinstance(frame, GoAwayFrame):
                assert frame.last_stream_id == 2**31 - 1
            elif isinstance(frame, PingFrame):
                return bytes(frame.opaque_data)
        more = client.socket.recv(65_536)
        assert more, "closed without a goodbye"
        content += more


def test_a_stopping_door_says_goodbye_and_serves_what_is_open(door: RunningDoor) -> None:
    with RawClient(door) as client:
        client.call("Wait", message_prefix(b"x") + b"x")
        assert door.entered.acquire(timeout=WAIT_SECONDS)
        stopping = asyncio.run_coroutine_threadsafe(door.door.stop(), door.loop)
        hear_goodbye(client)
        door.let_go_on()
        assert b"x" in client.wait_for_close()
    stopping.result(WAIT_SECONDS)


def test_a_parting_door_serves_what_comes_until_the_client_knows_and_lets_nobody_in(door: RunningDoor) -> None:
    with RawClient(door) as client:
        client.call("Say", message_prefix(b"first") + b"first")
        assert client.hear(h2.events.DataReceived).data == message_prefix(b"first") + b"first"
        parting = asyncio.run_coroutine_threadsafe(door.door.part(), door.loop)
        ping = hear_goodbye(client)
        assert isinstance(door.address, Address) and not listens(door.address.port)
        client.call("Say", message_prefix(b"late") + b"late")
        assert client.hear(h2.events.DataReceived).data == message_prefix(b"late") + b"late"
        client.socket.sendall(pack(Kind.PING, ACK, 0, ping))
        parting.result(WAIT_SECONDS)


def test_whoever_has_connected_when_a_door_parts_is_let_in_and_told(door: RunningDoor) -> None:
    async def connect_and_part() -> socket.socket:
        """All in one turn of the door's loop: it has not accepted the client when it parts."""
        assert isinstance(door.address, Address)
        client = socket.create_connection(door.address, WAIT_SECONDS)
        door.loop.create_task(door.door.part())
        return client

    with RawClient(door) as client:
        client.socket.close()
        client.socket = door.run(connect_and_part())
        client.call("Say", message_prefix(b"x") + b"x")
        hear_goodbye(client)


def test_a_client_who_never_knows_holds_up_no_parting(door: RunningDoor) -> None:
    with RawClient(door) as client:
        client.call("Say", message_prefix(b"x") + b"x")
        client.hear(h2.events.DataReceived)
        door.run(door.door.part())  # returns, though nobody reads the ping


def test_a_message_of_100_mb_goes_both_ways() -> None:
    door = RunningDoor(max_message_mb=100)
    body = bytes(range(256)) * (100 << 12)
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(door.target, options=options) as channel:
        say: Any = channel.unary_unary("/Echo/Say")
        assert say(body[:-16]) == body[:-16]
        stream: Any = channel.stream_stream("/Echo/Stream")
        assert [len(reply) for reply in stream(iter([body[: 10 << 20]] * 2))] == [10 << 20] * 2
    door.close()
    assert isinstance(door.door, LeanDoor)
    assert door.door._held == 0


def test_large_requests_that_come_in_turns_do_not_mix(door: RunningDoor) -> None:
    bodies = [bytes([number]) * 48_000 for number in range(4)]
    with contextlib.ExitStack() as opened:
        clients = [opened.enter_context(RawClient(door)) for _ in bodies]
        waiting = []
        for client, body in zip(clients, bodies, strict=True):
            stream_id = client.call("Say", message_prefix(body), ended=False)
            for at in range(0, len(body), 16_000):
                client.h2.send_data(stream_id, body[at : at + 16_000], end_stream=at == 32_000)
            waiting.append(client.h2.data_to_send())
        for at in range(0, len(waiting[0]), 5_000):
            for client, content in zip(clients, waiting, strict=True):
                client.socket.sendall(content[at : at + 5_000])
        for client, body in zip(clients, bodies, strict=True):
            reply = b""
            while len(reply) < 5 + len(body):
                reply += client.hear(h2.events.DataReceived).data
            assert reply == message_prefix(body) + body


def test_a_request_that_does_not_come_on_ends() -> None:
    door = RunningDoor(limits=Limits(grace_seconds=0.0))
    with RawClient(door) as client:
        client.call("Say", message_prefix(bytes(100)) + b"abc", ended=False)
        assert client.status() == b"4"
        client.call("Stream", message_prefix(bytes(100)) + b"abc", ended=False)
        assert client.status() == b"4"
    door.close()


def test_a_reply_that_nobody_fetches_ends() -> None:
    door = RunningDoor(limits=Limits(grace_seconds=0.0))
    with RawClient(door) as client:
        client.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0})
        client.call("Say", message_prefix(b"x") + b"x")
        assert client.hear(h2.events.StreamReset).error_code == ErrorCode.CANCEL
    door.close()


def test_a_client_that_does_not_read_is_not_read_from_and_ends() -> None:
    door = RunningDoor(limits=Limits(grace_seconds=0.0))
    with RawClient(door) as client:
        client.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 2**31 - 1})
        client.h2.increment_flow_control_window(2**31 - 1 - 65_535)
        client.call("Flood", message_prefix(b"1000000") + b"1000000")
        assert isinstance(door.door, LeanDoor)
        connections = door.door._connections
        until(lambda: door.drawn, "the replies to begin")
        until(lambda: not connections, "the connection to be closed")
    assert door.drawn < 1000
    door.close()


def test_unfinished_requests_of_all_clients_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mindspore_serving.master.lean_door.LEAST_HELD_BYTES", 0)
    monkeypatch.setattr("mindspore_serving.master.lean_door.HELD_MESSAGES", 0.03)
    door = RunningDoor()
    with RawClient(door) as client:
        for _ in range(2):
            client.call("Say", message_prefix(bytes(100_000)) + bytes(14_000), ended=False)
        client.call("Say", message_prefix(bytes(100_000)) + bytes(5_000), ended=False)
        assert client.status() == b"8"
    assert isinstance(door.door, LeanDoor)
    lean = door.door
    until(lambda: lean._held == 0, "the bytes to be given up")
    door.close()


def test_one_connection_too_many_takes_the_place_of_an_idle_one(door: RunningDoor) -> None:
    assert isinstance(door.door, LeanDoor)
    lean = door.door
    lean.most_connections = 3
    with RawClient(door) as busy, RawClient(door) as idle:
        busy.call("Wait", message_prefix(b""))
        idle.call("Say", message_prefix(b""))
        idle.hear(h2.events.StreamEnded)
        assert door.entered.acquire(timeout=WAIT_SECONDS)
        with RawClient(door) as third:
            assert idle.hear(h2.events.ConnectionTerminated).error_code == ErrorCode.NO_ERROR
            third.call("Wait", message_prefix(b""))
            assert door.entered.acquire(timeout=WAIT_SECONDS)
            idle.socket.close()
            until(lambda: len(lean._connections) == 2, "the idle connection to be closed")
            with RawClient(door) as fourth:
                fourth.call("Wait", message_prefix(b""))
                assert door.entered.acquire(timeout=WAIT_SECONDS)
                assert RawClient(door).is_turned_away()


def test_a_burst_of_connections_is_bounded_too(door: RunningDoor) -> None:
    assert isinstance(door.door, LeanDoor) and isinstance(door.address, Address)
    lean = door.door
    lean.most_connections = 20
    clients = [socket.create_connection(door.address) for _ in range(60)]
    for client in clients[20:]:
        client.settimeout(WAIT_SECONDS)
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(1) == b""  # turned away
    assert len(lean._connections) == 20
    for client in clients:
        client.close()


def test_a_closed_connection_whose_peer_reads_nothing_of_its_last_words_ends() -> None:
    limits = Limits(idle_seconds=0.2, grace_seconds=0.2, least_bytes_per_second=1e9)
    door = RunningDoor(limits=limits)
    assert isinstance(door.door, LeanDoor)
    connections = door.door._connections
    with RawClient(door) as client:
        client.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 2**31 - 1})
        client.h2.increment_flow_control_window(2**31 - 1 - 65_535)
        client.call("Flood", message_prefix(b"1000") + b"1000")
        until(lambda: connections, "the connection")
        (connection,) = connections
        transport = connection._transport
        assert isinstance(transport, SocketTransport)
        until(transport.get_write_buffer_size, "replies to wait")
        door.run(end_all(door.door))
        until(lambda: not connections, "the connection to be closed")
    door.close()


def test_a_client_who_has_left_and_reads_nothing_of_its_answers_ends_too() -> None:
    door = RunningDoor(limits=Limits(grace_seconds=0.2))
    assert isinstance(door.door, LeanDoor) and isinstance(door.address, Address)
    connections = door.door._connections
    with RawClient(door) as client:
        until(lambda: connections, "the connection")
        (connection,) = connections
        transport = connection._transport
        assert isinstance(transport, SocketTransport)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        client.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 2**31 - 1})
        client.h2.increment_flow_control_window(2**31 - 1 - 65_535)
        client.call("Say", message_prefix(b""))
        client.hear(h2.events.StreamEnded)  # and how much it may send
        while transport.get_write_buffer_size() < 100_000:
            client.call("Say", message_prefix(bytes(10_000)) + bytes(10_000))
            door.run(asyncio.sleep(0.01))
        client.socket.shutdown(socket.SHUT_WR)
        until(transport.is_closing, "the end to be seen")
        assert connection._held_since is None  # it is not so much that it would be noticed
        until(lambda: not connections, "the connection to be closed")
    door.close()


async def end_all(door: LeanDoor) -> None:
    for connection in list(door._connections):
        connection.resume_writing()  # as if what waits were less than makes it pause
        connection.end("enough")


@pytest.mark.skipif(shutil.which("nghttp") is None, reason="needs nghttp2-client")
def test_nghttp2s_tools_are_served(door: RunningDoor, tmp_path: Path) -> None:
    body = tmp_path / "body"
    body.write_bytes(message_prefix(b"hello") + b"hello")
    url = f"http://{door.target}/Echo/Say"
    common = ["-d", str(body), "-H", "content-type: application/grpc", "-H", "te: trailers"]
    said = subprocess.run(["nghttp", "-v", url, *common], capture_output=True, text=True, check=True).stdout
    assert "grpc-status: 0" in said
    assert "hello" in said
    load = ["h2load", "-n", "2000", "-c", "4", "-m", "32", url, *common]
    counted = subprocess.run(load, capture_output=True, text=True, check=True).stdout
    assert re.search(r"2000 total, 2000 started, 2000 done, 2000 succeeded, 0 failed, 0 errored", counted), counted
