"""What grpcio's clients, blocking and asyncio, see through both gRPC doors: the same."""

import asyncio
import itertools
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
import trustme

from mindspore_serving.cluster.addresses import Address, UnixPath
from mindspore_serving.cluster.errors import SetupError
from mindspore_serving.master.config import GRPC_ENGINES
from mindspore_serving.master.service_table import OWN_FAULT_TEXT, STOPPING_TEXT
from mindspore_serving.master.tls import Tls, read_tls
from tests.master.running_door import WAIT_SECONDS, RunningDoor

UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


@pytest.fixture(params=GRPC_ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def door(engine: str) -> Iterator[RunningDoor]:
    running = RunningDoor(engine)
    yield running
    running.close()


@pytest.fixture
def channel(door: RunningDoor) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(door.target, options=UNLIMITED) as opened:
        yield opened


def unary(channel: grpc.Channel, name: str) -> Any:
    return channel.unary_unary(f"/Echo/{name}")


def streaming(channel: grpc.Channel, name: str) -> Any:
    return channel.stream_stream(f"/Echo/{name}")


def failure(call: Any) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as raised:
        call()
    return raised.value


@pytest.mark.parametrize("size", [0, 1, 10_000, 16_384, 65_535, 300_000, (1 << 20) - 5])
def test_a_message_comes_back(channel: grpc.Channel, size: int) -> None:
    body = bytes(range(256)) * (size // 256 + 1)
    assert unary(channel, "Say")(body[:size], timeout=WAIT_SECONDS) == body[:size]


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_a_compressed_message_comes_back(channel: grpc.Channel, compression: grpc.Compression) -> None:
    assert unary(channel, "Say")(b"ab" * 5000, compression=compression) == b"ab" * 5000


def test_a_message_too_large_is_refused_compressed_or_not(channel: grpc.Channel) -> None:
    for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip):
        error = failure(lambda: unary(channel, "Say")(bytes((1 << 20) + 1), compression=compression))  # noqa: B023
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert unary(channel, "Say")(b"next") == b"next"


def test_metadata_and_time_left_reach_the_handler(channel: grpc.Channel, door: RunningDoor) -> None:
    metadata = (("key", "a"), ("key", "b"), ("raw-bin", b"\0\1\xff"))
    for _ in range(3):
        unary(channel, "Say")(b"", metadata=metadata, timeout=50)
        assert door.info is not None
        assert set(metadata) <= {(key, value) for key, value in door.info.metadata}
        assert not [key for key, _ in door.info.metadata if key.startswith((":", "te", "content-type", "grpc-t"))]
        assert door.info.seconds_left is not None
        assert 0 < door.info.seconds_left <= 51  # clients round the time up
    unary(channel, "Say")(b"")
    assert door.info is not None and door.info.seconds_left is None


def test_a_fault_has_its_status_text_and_metadata(channel: grpc.Channel) -> None:
    error = failure(lambda: unary(channel, "Fail")("50 % ü\n\x7f".encode()))
    assert (error.code(), error.details()) == (grpc.StatusCode.ABORTED, "50 % ü\n\x7f")
    assert {("why", "because"), ("why-bin", b"\0\xff")} <= set(error.trailing_metadata())
    replies = streaming(channel, "FailLate")(iter([]))
    assert next(replies) == b"one"
    error = failure(lambda: next(replies))
    assert (error.code(), error.details()) == (grpc.StatusCode.DATA_LOSS, "lost: ü%\n")


def test_a_fault_of_our_own_tells_clients_nothing(channel: grpc.Channel) -> None:
    error = failure(lambda: unary(channel, "Break")(b""))
    assert (error.code(), error.details()) == (grpc.StatusCode.INTERNAL, OWN_FAULT_TEXT)


@pytest.mark.parametrize("path", ["/Echo/Other", "/Other/Say"])
def test_an_unknown_path_is_unimplemented(channel: grpc.Channel, path: str) -> None:
    call: Any = channel.unary_unary(path)
    assert failure(lambda: call(b"x")).code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_deadline_ends_the_call_and_its_handler(channel: grpc.Channel, door: RunningDoor) -> None:
    error = failure(lambda: unary(channel, "Wait")(b"", timeout=0.2))
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert door.cancelled.acquire(timeout=WAIT_SECONDS)


def test_a_cancelled_call_cancels_its_handler(channel: grpc.Channel, door: RunningDoor) -> None:
    call = unary(channel, "Wait").future(b"")
    assert door.entered.acquire(timeout=WAIT_SECONDS)
    call.cancel()
    assert door.cancelled.acquire(timeout=WAIT_SECONDS)
    stream = streaming(channel, "Ignore")(iter([b"x"]))
    assert door.entered.acquire(timeout=WAIT_SECONDS)
    stream.cancel()
    assert door.cancelled.acquire(timeout=WAIT_SECONDS)


def test_a_lost_connection_cancels_its_handlers(door: RunningDoor) -> None:
    with grpc.insecure_channel(door.target) as channel:
        call = unary(channel, "Wait").future(b"")
        assert door.entered.acquire(timeout=WAIT_SECONDS)
    assert call.code() is grpc.StatusCode.CANCELLED
    assert door.cancelled.acquire(timeout=WAIT_SECONDS)


def test_streams_go_both_ways_at_once(channel: grpc.Channel) -> None:
    heard = threading.Semaphore(1)

    def requests() -> Iterator[bytes]:
        for number in range(20):
            assert heard.acquire(timeout=WAIT_SECONDS)  # the reply to the one before
            yield bytes([number]) * 10_000 * number

    sizes = []
    for reply in streaming(channel, "Stream")(requests()):
        sizes.append(len(reply))
        heard.release()
    assert sizes == [10_000 * number for number in range(20)]


def test_a_fast_stream_of_many_messages_comes_back_in_order(channel: grpc.Channel) -> None:
    bodies = [b"%d" % number * (number % 50) for number in range(2000)]
    assert list(streaming(channel, "Stream")(iter(bodies), timeout=WAIT_SECONDS)) == bodies


def test_replies_wait_for_a_caller_that_does_not_read(channel: grpc.Channel, door: RunningDoor) -> None:
    replies = streaming(channel, "Flood")(iter([b"2000"]))
    assert len(next(replies)) == 100_000
    assert door.drawn < 1000  # of 200 MB
    assert sum(1 for _ in itertools.islice(replies, 100)) == 100
    replies.cancel()


def test_requests_wait_for_a_handler_that_draws_none(channel: grpc.Channel, door: RunningDoor) -> None:
    sent = 0

    def requests() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 1
            yield bytes(100_000)

    replies = streaming(channel, "Ignore")(requests())
    assert door.entered.acquire(timeout=WAIT_SECONDS)
    assert unary(channel, "Say")(b"others are served") == b"others are served"
    door.let_go_on()
    assert list(replies) == [b"done"]  # and ends although requests are left
    assert sent < 1000


def test_many_calls_at_once_each_get_their_own_reply(channel: grpc.Channel) -> None:
    calls = [unary(channel, "Say").future(b"%d" % number, timeout=WAIT_SECONDS) for number in range(500)]
    assert [call.result() for call in calls] == [b"%d" % number for number in range(500)]


def test_asyncio_clients_are_served(door: RunningDoor) -> None:
    async def requests() -> AsyncIterator[bytes]:
        for number in range(10):
            yield b"%d" % number

    async def talk() -> None:
        async with grpc.aio.insecure_channel(door.target) as channel:
            say: Any = channel.unary_unary("/Echo/Say")
            assert await asyncio.gather(*(say(b"%d" % i) for i in range(100))) == [b"%d" % i for i in range(100)]
            stream: Any = channel.stream_stream("/Echo/Stream")
            assert [reply async for reply in stream(requests())] == [b"%d" % i for i in range(10)]

    asyncio.run(talk())


def test_a_draining_door_serves_only_what_is_open_or_meant_for_it(channel: grpc.Channel, door: RunningDoor) -> None:
    open_call = unary(channel, "Wait").future(b"open")
    assert door.entered.acquire(timeout=WAIT_SECONDS)
    door.loop.call_soon_threadsafe(door.door.refuse_new_calls)
    watch = unary(channel, "WaitLonger").future(b"watch")
    assert door.entered.acquire(timeout=WAIT_SECONDS)
    for refused in (lambda: unary(channel, "Say")(b""), lambda: list(streaming(channel, "Stream")(iter([])))):
        error = failure(refused)
        assert (error.code(), error.details()) == (grpc.StatusCode.UNAVAILABLE, STOPPING_TEXT)
    door.let_go_on()
    assert (open_call.result(WAIT_SECONDS), watch.result(WAIT_SECONDS)) == (b"open", b"watch")


def test_a_stopping_door_lets_open_calls_end(channel: grpc.Channel, door: RunningDoor) -> None:
    calls = [unary(channel, "Wait").future(b"%d" % number) for number in range(5)]
    for _ in calls:
        assert door.entered.acquire(timeout=WAIT_SECONDS)
    stopping = asyncio.run_coroutine_threadsafe(door.door.stop(), door.loop)
    door.let_go_on()
    assert [call.result(WAIT_SECONDS) for call in calls] == [b"%d" % number for number in range(5)]
    stopping.result(WAIT_SECONDS)
    assert failure(lambda: unary(channel, "Say")(b"")).code() is grpc.StatusCode.UNAVAILABLE


def test_a_stopped_door_has_ended_every_call(channel: grpc.Channel, door: RunningDoor) -> None:
    call = unary(channel, "Wait").future(b"")
    assert door.entered.acquire(timeout=WAIT_SECONDS)
    door.stop()
    assert call.exception(WAIT_SECONDS).code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
    assert door.cancelled.acquire(timeout=WAIT_SECONDS)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def make_tls(authority: trustme.CA, folder: Path, verify_client: bool) -> Tls:
    issued = authority.issue_cert("localhost", "127.0.0.1")
    names = [str(folder / name) for name in ("chain.pem", "key.pem", "ca.pem")]
    for part, name in zip((issued.cert_chain_pems[0], issued.private_key_pem, authority.cert_pem), names, strict=True):
        part.write_to_path(name)
    return read_tls(names[0], names[1], names[2], verify_client)


@pytest.mark.parametrize("verify_client", [False, True])
def test_tls_with_and_without_client_certificates(
    engine: str, authority: trustme.CA, tmp_path: Path, verify_client: bool
) -> None:
    door = RunningDoor(engine, Address("127.0.0.1", 0), make_tls(authority, tmp_path, verify_client))
    mine = authority.issue_cert("client")
    ca = authority.cert_pem.bytes()
    known = grpc.ssl_channel_credentials(ca, mine.private_key_pem.bytes(), mine.cert_chain_pems[0].bytes())
    try:
        with grpc.secure_channel(door.target, known) as channel:
            assert unary(channel, "Say")(bytes(1 << 19), timeout=WAIT_SECONDS) == bytes(1 << 19)
            assert list(streaming(channel, "Stream")(iter([b"a", b"b"]))) == [b"a", b"b"]
        with grpc.secure_channel(door.target, grpc.ssl_channel_credentials(ca)) as stranger:
            if verify_client:
                assert failure(lambda: unary(stranger, "Say")(b"")).code() is grpc.StatusCode.UNAVAILABLE
            else:
                assert unary(stranger, "Say")(b"x") == b"x"
    finally:
        door.close()


def test_the_lean_door_agrees_on_h2_by_alpn(authority: trustme.CA, tmp_path: Path) -> None:
    context = make_tls(authority, tmp_path, False).http2_context
    trusting = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
    trusting.set_alpn_protocols(["http/1.1", "h2"])
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(to_server, to_client, server_side=True)
    client = trusting.wrap_bio(to_client, to_server, server_hostname="localhost")
    for end in (client, server, client, server):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
    assert client.selected_alpn_protocol() == "h2"


def test_unix_sockets_and_ipv6(engine: str, tmp_path: Path) -> None:
    path = tmp_path / "door"
    for address in (UnixPath(str(path)), Address("::1", 0)):
        door = RunningDoor(engine, address)
        with grpc.insecure_channel(door.target) as channel:
            assert unary(channel, "Say")(b"x", timeout=WAIT_SECONDS) == b"x"
        door.close()
    assert not path.exists()


def test_a_busy_address_is_refused_in_one_line(engine: str, door: RunningDoor, tmp_path: Path) -> None:
    assert isinstance(door.address, Address)
    with pytest.raises(SetupError) as raised:
        RunningDoor(engine, door.address)
    assert "create server failed" in str(raised.value) and "in use" in str(raised.value).lower()
