"""Bearer tokens (RFC 6750): the file that holds them, and the guard before every service of either door."""

import hashlib
import hmac
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Mapping
from pathlib import Path

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from mindspore_serving.cluster.errors import SetupError
from mindspore_serving.cluster.key_files import check_secret_mode
from mindspore_serving.master.promise import Promise
from mindspore_serving.master.rest_json import write_error
from mindspore_serving.master.service_table import CallInfo, RpcFault, ServiceTable, Status, Streaming, Unary
from mindspore_serving.master.whole_calls import Calls, Headers, Reply

logger = logging.getLogger("mindspore_serving.master")

OPEN_SERVICES = ("grpc.health.v1.Health",)  # load balancers and probes carry no secrets
OPEN_PATHS = ("/healthz", "/readyz")
_MOST_BYTES = 1 << 20
_MOST_TOKENS = 1024  # each is compared at every call
_FEWEST_CHARACTERS = 16
_TOKEN = re.compile(rb"[A-Za-z0-9._~+/-]+=*")  # RFC 6750 §2.1, b64token
_CREDENTIALS = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9._~+/-]+=*) *")
_ABSENT = "this master demands a token: send 'authorization: Bearer TOKEN'"
_WRONG = "the token is not one of this master's"


class Tokens:
    """The tokens in a file, one a line; `#` begins a comment line. Read again when the file changes."""

    def __init__(self, path: Path) -> None:
        """Raises SetupError, which names the file and the line, never a token."""
        self._path = path
        self._digests, self._stamp = _read(path)

    def fault(self, credentials: list[bytes]) -> str | None:
        """Why these values of `authorization` do not let a caller in; None when they do.

        Every token is compared, each in constant time, so that the time taken tells nothing.
        """
        self._refresh()
        match = _CREDENTIALS.fullmatch(credentials[0]) if len(credentials) == 1 else None
        if match is None:
            return _ABSENT
        given = hashlib.sha256(match[1]).digest()
        admitted = False
        for digest in self._digests:
            admitted |= hmac.compare_digest(digest, given)
        return None if admitted else _WRONG

    def _refresh(self) -> None:
        try:
            stamp = _stamp(self._path)
        except OSError:
            stamp = ()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._digests, self._stamp = _read(self._path)
        except SetupError as error:
            logger.warning("the tokens stay as they were: %s", error)
        else:
            logger.info("--token-file '%s' was read again: %d tokens", self._path, len(self._digests))


def guarded(table: ServiceTable, tokens: Tokens | None) -> ServiceTable:
    """The same services, behind the tokens; those of OPEN_SERVICES stay open. Without tokens all do."""
    if tokens is None:
        return table
    return {
        service: methods
        if service in OPEN_SERVICES
        else {name: _guarded_method(method, tokens) for name, method in methods.items()}
        for service, methods in table.items()
    }


def guarded_app(app: ASGIApp, tokens: Tokens | None) -> ASGIApp:
    """The same HTTP application, behind the tokens; OPEN_PATHS stay open. Without tokens all does."""
    if tokens is None:
        return app

    async def check(scope: Scope, receive: Receive, send: Send) -> None:
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        fault = None if scope["path"] in OPEN_PATHS else tokens.fault(given)
        if fault is None:
            await app(scope, receive, send)
            return
        # RFC 6750 §3: no error code for a caller that brought no token.
        challenge = 'Bearer realm="mindspore-serving"' + (', error="invalid_token"' if fault is _WRONG else "")
        headers = {"WWW-Authenticate": challenge}
        await Response(write_error(fault), 401, headers, "application/json")(scope, receive, send)

    return check


def guarded_calls(calls: Calls, tokens: Tokens | None) -> Calls:
    """The same, behind the tokens: the application refuses, or answers, what lacks one. Without tokens all come."""
    return calls if tokens is None else _GuardedCalls(calls, tokens)


class _GuardedCalls:
    def __init__(self, calls: Calls, tokens: Tokens) -> None:
        self.urls = calls.urls
        self.explain = calls.explain
        self._answer = calls.answer
        self._tokens = tokens

    def answer(self, url: str, headers: Headers, body: bytes) -> Promise[Reply] | None:
        given = [value for name, value in headers if name == b"authorization"]
        return None if self._tokens.fault(given) else self._answer(url, headers, body)


def _guarded_method(method: Unary | Streaming, tokens: Tokens) -> Unary | Streaming:
    def check(info: CallInfo) -> None:
        given = [value for name, value in info.metadata if name == "authorization"]
        fault = tokens.fault([value.encode() if isinstance(value, str) else value for value in given])
        if fault is not None:
            raise RpcFault(Status.UNAUTHENTICATED, fault)

    if isinstance(method, Unary):
        unary = method.handler

        def call(body: bytes, info: CallInfo) -> Awaitable[bytes]:
            check(info)
            return unary(body, info)

        return Unary(call, method.serves_while_draining)

    streaming = method.handler

    async def stream(bodies: AsyncIterator[bytes], info: CallInfo) -> AsyncIterator[bytes]:
        check(info)
        async for reply in streaming(bodies, info):
            yield reply

    return Streaming(stream, method.serves_while_draining)


_Stamp = tuple[int, ...]


def _stamp(path: Path) -> _Stamp:
    stat = path.stat()
    return (stat.st_ino, stat.st_mtime_ns, stat.st_size, stat.st_mode)


def _read(path: Path) -> tuple[list[bytes], _Stamp]:
    try:
        stamp = _stamp(path)
        with path.open("rb") as file:
            if not check_secret_mode(path.stat().st_mode, path):
                logger.warning("'%s' can be read by its group: chmod 600 if that is not meant", path)
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise SetupError(f"--token-file '{path}' cannot be read: {error.strerror}") from error
    found: Mapping[bytes, int] = {
        token: number
        for number, line in enumerate(content.splitlines(), 1)
        if (token := line.strip()) and not token.startswith(b"#")
    }
    for token, number in found.items():
        if _TOKEN.fullmatch(token) is None or len(token) < _FEWEST_CHARACTERS:
            raise SetupError(
                f"--token-file '{path}': line {number} is not one token of {_FEWEST_CHARACTERS} or more letters, "
                "digits and -._~+/ (openssl rand -hex 32 makes one)"
            )
    if not found or len(found) > _MOST_TOKENS or len(content) > _MOST_BYTES:
        raise SetupError(f"--token-file '{path}' should hold 1 to {_MOST_TOKENS} tokens, one a line")
    return [hashlib.sha256(token).digest() for token in found], stamp
