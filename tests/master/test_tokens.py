"""Bearer tokens at both doors, TLS as flags, and what a master says of token files."""

import asyncio
import http.client
import json
import logging
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme

from mindspore_serving.cluster.addresses import Address, Endpoint, UnixPath, is_loopback
from mindspore_serving.cluster.errors import SetupError
from mindspore_serving.master.config import MasterConfig
from mindspore_serving.master.security import read_security
from mindspore_serving.master.service_table import CallInfo, RpcFault, ServiceTable, Status, Streaming, Unary
from mindspore_serving.master.tokens import Tokens, guarded
from tests.master.running_master import PREDICT
from tests.processes import Processes, free_port

FIRST, SECOND = "first-token-0123456789", "second-token/0123456789+~=="
ASKED = "this master demands a token: send 'authorization: Bearer TOKEN'"
WRONG = "the token is not one of this master's"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.touch(0o600)
    path.write_text(f"# ours\n\n  {FIRST}  \n{SECOND}\n")
    return path


def bearer(token: str, scheme: str = "Bearer") -> list[bytes]:
    return [f"{scheme} {token}".encode()]


@pytest.mark.parametrize(
    "credentials", [bearer(FIRST), bearer(SECOND), bearer(FIRST, "bearer"), bearer(FIRST, "BEARER ")]
)
def test_every_token_of_the_file_lets_in(file: Path, credentials: list[bytes]) -> None:
    assert Tokens(file).fault(credentials) is None


@pytest.mark.parametrize(
    "credentials, fault",
    [
        ([], ASKED),
        ([b""], ASKED),
        ([b"Bearer"], ASKED),
        ([b"Basic Zmlyc3Q="], ASKED),
        ([FIRST.encode()], ASKED),
        (bearer(FIRST) * 2, ASKED),
        ([b"Bearer " + FIRST.encode() + b"\n"], ASKED),
        ([b"Bearer \xff\xfe"], ASKED),
        (bearer(FIRST[:-1]), WRONG),
        (bearer(FIRST + "x"), WRONG),
        (bearer("#"), ASKED),
        (bearer("ours"), WRONG),
        (bearer("x" * 100_000), WRONG),
    ],
)
def test_anything_else_does_not(file: Path, credentials: list[bytes], fault: str) -> None:
    assert Tokens(file).fault(credentials) == fault


def test_a_changed_file_counts_at_once_and_a_broken_one_changes_nothing(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tokens = Tokens(file)
    file.write_text("another-token-0123456789\n")
    assert tokens.fault(bearer(FIRST)) == WRONG
    assert tokens.fault(bearer("another-token-0123456789")) is None
    file.write_text("\n")
    assert tokens.fault(bearer("another-token-0123456789")) is None
    file.unlink()
    assert [tokens.fault(bearer("another-token-0123456789")) for _ in range(3)] == [None] * 3
    assert [message.partition(":")[0] for message in caplog.messages] == ["the tokens stay as they were"] * 2
    assert "another-token" not in caplog.text


@pytest.mark.parametrize(
    "content, mode, text",
    [
        (FIRST, 0o644, "is open to others (mode 0644): chmod 600"),
        (FIRST, 0o660, "is open to others (mode 0660): chmod 600"),
        ("# nothing\n", 0o600, "should hold 1 to 1024 tokens, one a line"),
        (f"{FIRST}\nshort\n", 0o600, "line 2 is not one token of 16 or more letters"),
        (f"{FIRST} {SECOND}", 0o600, "line 1 is not one token"),
        ("ü" * 20, 0o600, "line 1 is not one token"),
        ("".join(f"token-0123456789-{number}\n" for number in range(1025)), 0o600, "should hold 1 to 1024"),
        (None, 0, "cannot be read: No such file or directory"),
    ],
)
def test_a_file_that_is_not_right_is_named_and_not_shown(
    tmp_path: Path, content: str | None, mode: int, text: str
) -> None:
    path = tmp_path / "tokens"
    if content is not None:
        path.write_text(content)
        path.chmod(mode)
    with pytest.raises(SetupError) as raised:
        Tokens(path)
    assert text in str(raised.value)
    assert str(path) in str(raised.value)
    assert FIRST not in str(raised.value)


def outcome(method: Unary | Streaming, info: CallInfo) -> object:
    async def bodies() -> AsyncIterator[bytes]:
        yield b"body"

    async def call() -> object:
        if isinstance(method, Unary):
            return await method.handler(b"body", info)
        return [reply async for reply in method.handler(bodies(), info)]

    try:
        return asyncio.run(call())
    except RpcFault as fault:
        return fault.status, str(fault)


def test_a_guarded_table_asks_before_every_method_but_those_of_health(file: Path) -> None:
    async def echo(body: bytes, info: CallInfo) -> bytes:
        return body

    async def echo_all(bodies: AsyncIterator[bytes], info: CallInfo) -> AsyncIterator[bytes]:
        async for body in bodies:
            yield body

    open_table: ServiceTable = {
        "a.Service": {"One": Unary(echo, True), "Many": Streaming(echo_all)},
        "grpc.health.v1.Health": {"Check": Unary(echo, True)},
    }
    assert guarded(open_table, None) is open_table
    table = guarded(open_table, Tokens(file))
    one, many, check = table["a.Service"]["One"], table["a.Service"]["Many"], table["grpc.health.v1.Health"]["Check"]
    good = CallInfo(metadata=(("other", b"x"), ("authorization", f"Bearer {FIRST}")))
    as_bytes = CallInfo(metadata=(("authorization", f"Bearer {FIRST}".encode()),))
    bad = CallInfo(metadata=(("authorization", "Bearer nonsense"),))
    assert outcome(one, good) == outcome(one, as_bytes) == outcome(check, CallInfo()) == b"body"
    assert outcome(many, good) == [b"body"]
    for method in (one, many):
        assert outcome(method, bad) == (Status.UNAUTHENTICATED, WRONG)
        assert outcome(method, CallInfo()) == (Status.UNAUTHENTICATED, ASKED)
    assert (one.serves_while_draining, many.serves_while_draining) == (True, False)


def ask_rest(port: int, path: str, token: str | None, context: ssl.SSLContext) -> tuple[int, str | None, bytes]:
    """The status, the challenge and the body of an answer."""
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=60, context=context)
    try:
        method = "GET" if path.endswith("z") else "POST"
        connection.request(method, path, b"{}", {} if token is None else {"Authorization": f"Bearer {token}"})
        response = connection.getresponse()
        return response.status, response.headers["WWW-Authenticate"], response.read()
    finally:
        connection.close()


def ask_grpc(channel: grpc.Channel, token: str | None) -> object:
    call: Any = channel.unary_unary(PREDICT)
    try:
        return call(b"", metadata=() if token is None else [("authorization", f"Bearer {token}")], timeout=60)
    except grpc.RpcError as error:
        return error.code(), error.details()


def test_both_doors_of_a_master_demand_the_token_and_tls(run: Processes, file: Path, tmp_path: Path) -> None:
    ca = trustme.CA()
    server, client = ca.issue_cert("127.0.0.1"), ca.issue_cert("me@client.example")
    certificate, key, roots = (tmp_path / name for name in ("server.pem", "server.key", "ca.pem"))
    for blob in server.cert_chain_pems:
        blob.write_to_path(certificate, append=True)
    server.private_key_pem.write_to_path(key)
    ca.cert_pem.write_to_path(roots)
    grpc_port, rest_port = free_port(), free_port()
    doors = ("--grpc", str(grpc_port), "--rest", str(rest_port), "--ctrl", str(free_port()))
    tls = ("--tls-certificate", str(certificate), "--tls-key", str(key), "--tls-client-ca", str(roots))
    desk = run.start("-m", "master", *doors, *tls, "--token-file", str(file))
    desk.wait_for("RESTful server start success")
    credentials = grpc.ssl_channel_credentials(
        ca.cert_pem.bytes(), client.private_key_pem.bytes(), client.cert_chain_pems[0].bytes()
    )
    with grpc.secure_channel(f"127.0.0.1:{grpc_port}", credentials) as channel:
        assert ask_grpc(channel, None) == (grpc.StatusCode.UNAUTHENTICATED, ASKED)
        assert ask_grpc(channel, "wrong") == (grpc.StatusCode.UNAUTHENTICATED, WRONG)
        assert isinstance(ask_grpc(channel, SECOND), bytes)
    context = ssl.create_default_context(cadata=ca.cert_pem.bytes().decode())
    with pytest.raises((ssl.SSLError, ConnectionError)):
        ask_rest(rest_port, "/healthz", None, context)  # a client without a certificate
    client.configure_cert(context)
    status, challenge, body = ask_rest(rest_port, "/model/add:echo", None, context)
    assert (status, challenge) == (401, 'Bearer realm="mindspore-serving"')
    assert json.loads(body) == {"error_msg": ASKED}
    status, challenge, _ = ask_rest(rest_port, "/model/add:echo", "wrong", context)
    assert (status, challenge) == (401, 'Bearer realm="mindspore-serving", error="invalid_token"')
    for path, token, expected in (
        ("/model/add:echo", FIRST, 200),
        ("/healthz", None, 200),
        ("/readyz", None, 503),
        ("//healthz", None, 401),
        ("/", None, 401),
    ):
        assert ask_rest(rest_port, path, token, context)[0] == expected, path
    assert desk.stop() == 0
    for secret in (FIRST, SECOND, key.read_text().splitlines()[1]):
        assert secret not in desk.output


def config(**more: Any) -> MasterConfig:
    settings: dict[str, Any] = {"grpc": Address("127.0.0.1", 1), "ctrl": Address("127.0.0.1", 2), **more}
    return MasterConfig(**settings)


@pytest.mark.parametrize(
    "more, warned",
    [
        ({}, []),
        ({"grpc": Address("0.0.0.0", 1)}, ["tokens travel in clear text at --grpc 0.0.0.0:1"]),
        ({"rest": Address("::", 1)}, ["tokens travel in clear text at --rest [::]:1"]),
        ({"grpc": UnixPath("x"), "rest": Address("127.8.8.8", 1)}, []),
    ],
)
def test_tokens_that_can_be_overheard_are_warned_of(
    file: Path, caplog: pytest.LogCaptureFixture, more: dict[str, Endpoint], warned: list[str]
) -> None:
    with caplog.at_level(logging.WARNING):
        assert read_security(config(token_file=file, **more)).tokens is not None
    assert [message.partition(": give")[0] for message in caplog.messages] == warned


@pytest.mark.parametrize(
    "endpoint, local",
    [
        (Address("127.0.0.1", 1), True),
        (Address("127.1.2.3", 1), True),
        (Address("::1", 1), True),
        (Address("localhost", 1), True),
        (UnixPath("x"), True),
        (Address("0.0.0.0", 1), False),
        (Address("::", 1), False),
        (Address("10.0.0.1", 1), False),
        (Address("127.0.0.1.example", 1), False),
        (Address("*", 1), False),
    ],
)
def test_what_others_can_reach(endpoint: Endpoint, local: bool) -> None:
    assert is_loopback(endpoint) is local


def test_files_of_tls_that_are_not_right_are_named(tmp_path: Path) -> None:
    ca = trustme.CA()
    one, other = ca.issue_cert("a.example"), ca.issue_cert("b.example")
    paths = {name: tmp_path / name for name in ("one.pem", "one.key", "other.key", "text")}
    one.cert_chain_pems[0].write_to_path(paths["one.pem"])
    one.private_key_pem.write_to_path(paths["one.key"])
    other.private_key_pem.write_to_path(paths["other.key"])
    paths["text"].write_text("secret text")
    good = {"tls_certificate": paths["one.pem"], "tls_key": paths["one.key"]}
    security = read_security(config(**good))
    assert security.tls is not None
    assert one.private_key_pem.bytes().decode().splitlines()[1] not in repr(security)
    for wrong, named in (
        ({"tls_key": paths["other.key"]}, "other.key is not consistent with certificate"),
        ({"tls_key": paths["text"]}, "text failed: it is not in PEM format"),
        ({"tls_certificate": tmp_path / "nothing"}, "nothing failed: No such file or directory"),
        ({"tls_client_ca": paths["one.key"]}, "load root certificate from"),
    ):
        with pytest.raises(SetupError) as raised:
            read_security(config(**{**good, **wrong}))
        assert named in str(raised.value)
        assert "\n" not in str(raised.value)
        assert "secret text" not in str(raised.value)
