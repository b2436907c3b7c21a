"""TLS upon plain connections: what is said arrives whole, however it is cut and however late it is read."""

import asyncio
import contextlib
import hmac
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.master.test_grpc_doors import make_tls
from tests.master.test_listeners import MUCH, WAIT_SECONDS, Owner, Place, receive, run, until

APPLICATION_DATA, HANDSHAKE = 23, 22  # kinds of records


class SecureClient:
    """Its records go where a test wants them."""

    def __init__(self, context: ssl.SSLContext, connected: socket.socket) -> None:
        self._received, self._to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._received, self._to_send, server_hostname="localhost")
        self.socket = connected

    async def send(self, cut: int = 1 << 20) -> None:
        """What was written, in pieces of so many bytes."""
        records = self._to_send.read()
        for at in range(0, len(records), cut):
            await asyncio.get_running_loop().sock_sendall(self.socket, records[at : at + cut])
            await asyncio.sleep(0)

    async def shake_hands(self, cut: int = 1 << 20) -> None:
        """All but sending the last of it."""
        while True:
            try:
                return self.tls.do_handshake()
            except ssl.SSLWantReadError:
                await self.send(cut)
                await self.hear()

    async def read(self, count: int) -> bytes:
        """So many bytes, or all until the goodbye."""
        content = b""
        while len(content) < count:
            try:
                piece = self.tls.read(count - len(content))
            except ssl.SSLWantReadError:
                await self.hear()
                continue
            if not piece:
                break
            content += piece
        return content

    async def hear(self) -> None:
        self._received.write(await receive(self.socket, 1))


class Forger:
    """Makes records that no TLS library sends: with TLS_AES_256_GCM_SHA384, by RFC 8446 §5.2 and §7.3."""

    def __init__(self, key_log: Path) -> None:
        lines = [line.split() for line in key_log.read_text().splitlines()]
        (self._secret,) = (bytes.fromhex(line[2]) for line in lines if line[0] == "CLIENT_TRAFFIC_SECRET_0")
        self._key, self._nonce = AESGCM(self._derive(b"key", 32)), int.from_bytes(self._derive(b"iv", 12), "big")

    def record(self, kind: int, content: bytes) -> bytes:
        inner = content + bytes([kind])
        head = b"\x17\3\3" + (len(inner) + 16).to_bytes(2, "big")
        sealed = self._key.encrypt(self._nonce.to_bytes(12, "big"), inner, head)
        self._nonce ^= 1  # of the second; no test needs more
        return head + sealed

    def _derive(self, name: bytes, size: int) -> bytes:
        info = size.to_bytes(2, "big") + bytes([len(name) + 6]) + b"tls13 " + name + b"\0\1"
        return hmac.digest(self._secret, info, "sha384")[:size]


class Meeting:
    """A place that asks for TLS, and clients who trust it."""

    def __init__(self, folder: Path, seconds: float = WAIT_SECONDS) -> None:
        authority = trustme.CA()
        self.trusting = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
        self.place = Place(tls=make_tls(authority, folder, False).context, seconds=seconds)

    def connect(self) -> SecureClient:
        return SecureClient(self.trusting, self.place.connect())


@asynccontextmanager
async def met(folder: Path) -> AsyncIterator[tuple[SecureClient, Owner]]:
    """A client and the owner of its connection, which is secure."""
    meeting = Meeting(folder)
    client = meeting.connect()
    with client.socket:
        await client.shake_hands()
        await client.send()
        await until(lambda: meeting.place.owners and meeting.place.owners[0].told)
        yield client, meeting.place.owners[0]
    meeting.place.listeners.close()


@pytest.mark.parametrize("cut", [1, 100, 1 << 20])
def test_what_is_said_with_the_handshake_and_after_it_is_heard(tmp_path: Path, cut: int) -> None:
    async def scenario() -> None:
        meeting = Meeting(tmp_path)
        client = meeting.connect()
        with client.socket:
            await client.shake_hands(cut)
            client.tls.write(b"a")
            client.tls.write(b"b")
            await client.send(cut)
            await until(lambda: meeting.place.owners and meeting.place.owners[0].received == b"ab")
            owner = meeting.place.owners[0]
            assert owner.told == ["made"] and not meeting.place.listeners._handshakes
            owner.transport.write(b"cd")
            assert await client.read(2) == b"cd"
        await until(lambda: owner.told == ["made", "lost"])
        meeting.place.listeners.close()

    run(scenario())


def test_an_answer_that_is_its_connections_last_waits_for_its_reader_and_a_goodbye_follows(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with met(tmp_path) as (client, owner):
            owner.transport.write(bytes(MUCH))
            owner.transport.close()
            assert owner.transport.is_closing()
            assert owner.transport.get_write_buffer_size() > MUCH // 4  # so whoever watches it sees whether it is read
            assert owner.told == ["made", "full"]
            assert await client.read(2 * MUCH) == bytes(MUCH)
            await until(lambda: "lost" in owner.told)

    run(scenario())


def test_who_is_not_read_from_is_heard_later(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with met(tmp_path) as (client, owner):
            owner.transport.pause_reading()
            for part in (b"a" * 100, b"b" * 100):
                client.tls.write(part)
            await client.send()
            for _ in range(10):
                await asyncio.sleep(0)
            assert owner.received == b""
            owner.transport.resume_reading()
            await until(lambda: owner.received == b"a" * 100 + b"b" * 100)

    run(scenario())


def test_what_came_before_a_pause_is_heard_behind_it_though_nothing_more_comes(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with met(tmp_path) as (client, owner):
            owner.pauses = True
            for part in (b"a", b"b", b"c"):
                client.tls.write(part)
            await client.send()
            await until(lambda: owner.received)
            assert owner.received == b"a"  # the others have come with it
            owner.pauses = False
            owner.transport.resume_reading()
            await until(lambda: owner.received == b"abc")

    run(scenario())


def test_a_fault_of_the_owners_ends_its_connection_also_behind_a_pause(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with met(tmp_path) as (client, owner):
            owner.pauses = True
            for part in (b"a", b"b"):
                client.tls.write(part)
            await client.send()
            await until(lambda: owner.received)
            owner.breaks = True
            owner.transport.resume_reading()
            await until(lambda: owner.told == ["made", "lost"])
            assert isinstance(owner.lost, ZeroDivisionError)

    run(scenario())
    assert "a fault of the master's own: a connection is closed" in caplog.text


@pytest.mark.parametrize("is_polite", [True, False])
def test_a_goodbye_and_what_is_no_record_end_the_connection(tmp_path: Path, is_polite: bool) -> None:
    async def scenario() -> None:
        async with met(tmp_path) as (client, owner):
            if is_polite:
                with contextlib.suppress(ssl.SSLWantReadError):
                    client.tls.unwrap()
                await client.send()
            else:
                client.socket.send(b"no record, but something else")
            await until(lambda: owner.told == ["made", "lost"])

    run(scenario())


def test_who_says_half_a_key_update_is_cut_off_and_its_owner_not_bothered(tmp_path: Path) -> None:
    async def scenario() -> None:
        meeting, key_log = Meeting(tmp_path), tmp_path / "keys"
        meeting.trusting.keylog_filename = str(key_log)
        client = meeting.connect()
        with client.socket:
            await client.shake_hands()
            await client.send()
            forger = Forger(key_log)
            client.socket.send(forger.record(APPLICATION_DATA, b"x") + forger.record(HANDSHAKE, b"\x18\0\0\1"))
            await until(lambda: meeting.place.owners and meeting.place.owners[0].received == b"x")
            owner = meeting.place.owners[0]
            owner.transport.write(b"an answer")
            await until(lambda: owner.told == ["made", "lost"])
        meeting.place.listeners.close()

    run(scenario())


def test_who_says_no_hello_is_told_so_and_who_says_nothing_is_not_waited_for(tmp_path: Path) -> None:
    async def scenario() -> None:
        meeting = Meeting(tmp_path, seconds=0.05)
        with meeting.place.connect() as garbage:
            garbage.send(b"\x16\x03\x01\0\5hello")
            assert (await receive(garbage, 2))[:2] == b"\x15\x03"  # an alert
        with meeting.place.connect() as silent:
            assert await receive(silent, 1) == b""
        assert not meeting.place.owners and not meeting.place.listeners._handshakes
        meeting.place.listeners.close()

    run(scenario())
