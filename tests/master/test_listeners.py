"""Where doors listen, who comes in, and plain connections without asyncio's transports."""

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from mindspore_serving.cluster.addresses import Address, Endpoint, UnixPath
from mindspore_serving.master import listeners
from mindspore_serving.master.listeners import ACCEPTED_AT_ONCE, Listeners
from mindspore_serving.master.socket_transport import SocketTransport
from tests.master.test_grpc_doors import make_tls

HERE = Address("127.0.0.1", 0)
WAIT_SECONDS = 30.0
MUCH = 16 << 20  # more than the kernel takes between two ends that do not read


class Owner(asyncio.BufferedProtocol):
    """Notes what it is told."""

    def __init__(self) -> None:
        self.transport: SocketTransport
        self.told: list[str] = []
        self.received = b""
        self.lost: Exception | None = None
        self.breaks = False
        self.pauses = False
        self._inbox = memoryview(bytearray(1 << 16))

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.told.append("made")

    def get_buffer(self, _: int) -> memoryview:
        return self._inbox

    def buffer_updated(self, count: int) -> None:
        if self.breaks:
            raise ZeroDivisionError
        self.received += self._inbox[:count]
        if self.pauses:
            self.transport.pause_reading()

    def pause_writing(self) -> None:
        self.told.append("full")

    def resume_writing(self) -> None:
        self.told.append("not full")

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = error
        self.told.append("lost")


class Place:
    """Listeners and whoever has come in."""

    def __init__(
        self, address: Endpoint = HERE, most: int = 1 << 20, tls: Any = None, seconds: float = WAIT_SECONDS
    ) -> None:
        self.owners: list[Owner] = []
        self.listeners = Listeners(address, is_shared=False)
        self.listeners.start(self._make_owner, lambda coming: len(self.owners) + coming < most, tls, seconds)
        self.address = self.listeners.address

    def _make_owner(self) -> Owner:
        self.owners.append(Owner())
        return self.owners[-1]

    def connect(self) -> socket.socket:
        if isinstance(self.address, UnixPath):
            client = socket.socket(socket.AF_UNIX)
            client.connect(self.address.path)
        else:
            client = socket.create_connection(self.address)
        client.setblocking(False)
        return client


def run(scenario: Coroutine[None, None, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, WAIT_SECONDS))


async def until(is_so: Callable[[], object]) -> None:
    while not is_so():  # noqa: ASYNC110  (of what belongs to others)
        await asyncio.sleep(0.001)


async def receive(client: socket.socket, count: int) -> bytes:
    """So many bytes, or all until the end."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while len(received) < count and (content := await asyncio.get_running_loop().sock_recv(client, 1 << 20)):
            received += content
    return received


@asynccontextmanager
async def met() -> AsyncIterator[tuple[socket.socket, Owner]]:
    """A client and the owner of its connection."""
    place = Place()
    with place.connect() as client:
        await until(lambda: place.owners)
        yield client, place.owners[0]
    place.listeners.close()


def test_what_is_said_is_heard_on_both_sides() -> None:
    async def scenario() -> None:
        async with met() as (client, owner):
            client.send(b"hello")
            await until(lambda: owner.received)
            owner.transport.write(b"good ")
            owner.transport.write(b"day")
            assert await receive(client, 8) == b"good day"
        await until(lambda: owner.told == ["made", "lost"])
        assert owner.received == b"hello" and owner.lost is None

    run(scenario())


def test_what_a_peer_does_not_read_waits_and_its_owner_knows() -> None:
    async def scenario() -> None:
        async with met() as (client, owner):
            transport = owner.transport
            transport.set_write_buffer_limits(high=1 << 20)
            transport.write(bytes(MUCH))
            transport.write(b"behind it")
            assert owner.told == ["made", "full"]
            assert (1 << 20) < transport.get_write_buffer_size() <= MUCH + 9
            transport.write_eof()
            transport.close()
            transport.write(b"after the end")
            received = await receive(client, MUCH + 100)
            assert received == bytes(MUCH) + b"behind it"
            await until(lambda: "lost" in owner.told)
        assert owner.told[-1] == "lost"

    run(scenario())


def test_an_end_of_writing_comes_behind_what_waits_and_reading_goes_on() -> None:
    async def scenario() -> None:
        async with met() as (client, owner):
            owner.transport.write(bytes(MUCH))
            owner.transport.write_eof()
            assert len(await receive(client, MUCH + 1)) == MUCH
            client.send(b"still here")
            await until(lambda: owner.received == b"still here")
            assert owner.told[-1] == "not full"
        await until(lambda: owner.told[-1] == "lost")

    run(scenario())


def test_who_is_not_read_from_is_heard_later() -> None:
    async def scenario() -> None:
        async with met() as (client, owner):
            owner.transport.pause_reading()
            client.send(b"early")
            client.shutdown(socket.SHUT_WR)
            await asyncio.sleep(0.05)
            assert (owner.received, owner.told) == (b"", ["made"])
            owner.transport.resume_reading()
            await until(lambda: owner.told == ["made", "lost"])
            assert owner.received == b"early"

    run(scenario())


def test_an_aborted_connection_ends_once_whatever_waits() -> None:
    async def scenario() -> None:
        async with met() as (client, owner):
            owner.transport.write(bytes(MUCH))
            owner.transport.close()
            assert owner.transport.is_closing()
            owner.transport.abort()
            owner.transport.abort()
            owner.transport.close()
            await until(lambda: "lost" in owner.told)
            await asyncio.sleep(0.01)
            assert owner.told.count("lost") == 1
            assert len(await receive(client, MUCH)) < MUCH

    run(scenario())


def test_a_peer_who_is_torn_away_is_told_with_its_error() -> None:
    async def scenario() -> None:
        async with met() as (client, owner):
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # its close is a reset
            client.close()
            await until(lambda: owner.told[-1] == "lost")
            assert isinstance(owner.lost, ConnectionResetError)
            owner.transport.write(b"too late")

    run(scenario())


def test_a_fault_of_the_owners_ends_its_connection_alone(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        place = Place()
        with place.connect() as broken, place.connect() as client:
            await until(lambda: len(place.owners) == 2)
            first, second = place.owners
            first.breaks = second.breaks = True
            broken.send(b"x")
            await until(lambda: "lost" in first.told + second.told)
            other = second if "lost" in first.told else first
            other.breaks = False
            client.send(b"y")
            await until(lambda: other.received == b"y")
        place.listeners.close()

    run(scenario())
    assert "a fault of the master's own: a connection is closed" in caplog.text


def test_whoever_has_connected_when_listeners_stop_is_in_and_nobody_after() -> None:
    async def scenario() -> None:
        place = Place()
        clients = [place.connect() for _ in range(3 * ACCEPTED_AT_ONCE)]
        place.listeners.stop()
        place.listeners.stop()
        assert len(place.owners) == len(clients)
        with pytest.raises(ConnectionRefusedError):
            place.connect()
        for client in clients:
            client.close()
        await until(lambda: all("lost" in owner.told for owner in place.owners))

    run(scenario())


def test_who_has_no_room_is_turned_away() -> None:
    async def scenario() -> None:
        place = Place(most=1)
        with place.connect() as first, place.connect() as second:
            assert await receive(second, 1) == b""
            first.send(b"x")
            await until(lambda: place.owners and place.owners[0].received == b"x")
        assert len(place.owners) == 1
        place.listeners.close()

    run(scenario())


def test_who_is_not_secure_yet_takes_room_and_does_not_outlive_its_door(authority: trustme.CA, tmp_path: Path) -> None:
    async def scenario() -> None:
        place = Place(most=2, tls=make_tls(authority, tmp_path, False).context)
        silent = [place.connect(), place.connect()]
        await until(lambda: len(place.listeners._handshakes) == 2)
        with place.connect() as third:
            assert await receive(third, 1) == b""
        silent.pop().close()
        await until(lambda: len(place.listeners._handshakes) == 1)
        with place.connect() as garbage:
            garbage.send(b"GET / HTTP/1.1\r\n\r\n" * 10)
            while await receive(garbage, 1):
                pass
        place.listeners.close()
        assert await receive(silent[0], 1) == b""
        assert not place.listeners._handshakes
        silent[0].close()

    run(scenario())


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@contextmanager
def names(*hosts: str) -> Iterator[None]:
    """A name that stands for these hosts."""
    found = [(socket.AF_INET6 if ":" in host else socket.AF_INET, host) for host in hosts]

    def getaddrinfo(_: str, port: int, **__: Any) -> list[Any]:
        return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port)) for family, host in found]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", getaddrinfo)
        yield


def test_every_address_of_a_name_is_listened_at() -> None:
    async def scenario() -> None:
        with names("127.0.0.1", "127.0.0.2"):
            place = Place(Address("both", 0))
        assert isinstance(place.address, Address) and place.address.host == "both"
        for host in ("127.0.0.1", "127.0.0.2"):
            socket.create_connection((host, place.address.port)).close()
        await until(lambda: len(place.owners) == 2)
        place.listeners.close()

    run(scenario())


def test_the_path_of_a_unix_socket_goes_with_its_listeners(tmp_path: Path) -> None:
    async def scenario() -> None:
        path = tmp_path / "door"
        place = Place(UnixPath(str(path)))
        with place.connect() as client:
            client.send(b"x")
            await until(lambda: place.owners and place.owners[0].received == b"x")
        place.listeners.close()
        assert not path.exists()

    run(scenario())


class Exhausted:
    """A listener in a process that can open no more files, for a while."""

    def __init__(self, real: socket.socket, errors: list[OSError]) -> None:
        self._real = real
        self._errors = errors

    def accept(self) -> Any:
        if self._errors:
            raise self._errors.pop()
        return self._real.accept()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOMEM, errno.ECONNABORTED, errno.EPROTO])
def test_what_keeps_a_client_out_for_a_moment_is_tried_again(
    number: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(listeners, "OUT_OF_FILES_SECONDS", 0.02)

    async def scenario() -> None:
        place = Place()
        (real,) = place.listeners._sockets
        asyncio.get_running_loop().remove_reader(real.fileno())
        exhausted: Any = Exhausted(real, [OSError(number, "why")])
        place.listeners._sockets = [exhausted]
        place.listeners._watch(exhausted)
        place.connect().close()
        await until(lambda: place.owners)
        place.listeners.close()

    with caplog.at_level(logging.INFO, logger="mindspore_serving.master"):
        run(scenario())
    kept_out = number in (errno.EMFILE, errno.ENOMEM)
    assert ("clients wait to connect: why" if kept_out else "a client could not connect: why") in caplog.text
