"""The RESTful door: HTTP requests in, JSON out. Starlette and uvicorn, inside the master's own event loop."""

import asyncio
import logging

import uvicorn
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from mindspore_serving.cluster.addresses import Address
from mindspore_serving.cluster.errors import Code, RequestRefused, SetupError
from mindspore_serving.master.client_memory import ClientMemory
from mindspore_serving.master.error_status import CallFault
from mindspore_serving.master.front_desk import FrontDesk
from mindspore_serving.master.http_limits import HttpLimits
from mindspore_serving.master.json_reader import LARGE_BYTES, JsonReader
from mindspore_serving.master.listeners import Listeners
from mindspore_serving.master.openapi import documentation
from mindspore_serving.master.parting import nothing_is_coming
from mindspore_serving.master.rest_body import OVERLOADED_TEXT, Overloaded, Place, Room, collect
from mindspore_serving.master.rest_calls import RestCalls
from mindspore_serving.master.rest_json import read_instances, write_error, write_reply
from mindspore_serving.master.rest_protocol import BoundedProtocol, protocol_with
from mindspore_serving.master.rest_url import parse_target
from mindspore_serving.master.service_table import STOPPING_TEXT
from mindspore_serving.master.tls import Tls
from mindspore_serving.master.tokens import Tokens, guarded_app, guarded_calls
from mindspore_serving.master.v2_about import why_not_ready
from mindspore_serving.master.v2_calls import V2Calls
from mindspore_serving.master.v2_rest import V2Rest
from mindspore_serving.master.waits import unless_gone, within

logger = logging.getLogger("mindspore_serving.master")

MEGABYTE = 1 << 20
REQUEST_SECONDS = 100.0  # for a body to come, and again for its answer; the original's time-out
LAST_WORDS_SECONDS = 1  # for replies that are being written when the door closes
_CALLS = ("/model/", "/v2/models/")
_NOT_SUPPORTED = "http message only support POST right now"


class RestDoor:
    """One listening HTTP port. Errors of requests travel inside replies of status 200; others tell of the transport.

    `is_shared`: other processes of this user may listen at the port too.
    """

    def __init__(
        self,
        desk: FrontDesk,
        max_message_mb: int,
        tls: Tls | None = None,
        request_seconds: float = REQUEST_SECONDS,
        tokens: Tokens | None = None,
        limits: HttpLimits | None = None,
        memory: ClientMemory | None = None,
        *,
        is_shared: bool = False,
        collapses: bool = True,
    ) -> None:
        self._desk = desk
        self._request_seconds = request_seconds
        self._calls = RestCalls(desk, request_seconds, collapses)
        memory = memory or ClientMemory()
        v2_calls = V2Calls(desk, memory, request_seconds)
        calls = [guarded_calls(each, tokens) for each in (self._calls, v2_calls)]
        self._is_shared = is_shared
        self._reader = JsonReader()
        self._room = Room(max_message_mb * MEGABYTE)
        self._listeners: Listeners | None = None
        self._main_loop: asyncio.Task[None] | None = None
        self._v2 = V2Rest(desk, memory, v2_calls, self._room, self._reader, request_seconds)
        health = [Route("/healthz", self._healthz), Route("/readyz", self._readyz)]
        urls = [*health, *documentation(self._v2.routes())]
        # Any other URL is searched for keywords, which a route cannot.
        self._router = Router(urls, redirect_slashes=False, default=self._serve_call)
        self._limits = limits or HttpLimits()
        self._protocol = protocol_with(self._limits, calls)
        self._tls = tls
        config = uvicorn.Config(
            guarded_app(self._serve, tokens),
            interface="asgi3",
            http=self._protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="error",  # what clients do wrong is no news
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=LAST_WORDS_SECONDS,
        )
        config.load()
        self._config = config
        self._server = uvicorn.Server(config)
        self._server.lifespan = config.lifespan_class(config)

    def bind(self, address: Address) -> Address:
        """Takes the port; nobody is served before start(). Returns the real address. Raises SetupError."""
        try:
            self._listeners = Listeners(address, is_shared=self._is_shared)
        except OSError as error:
            raise SetupError(
                f"RESTful server start failed, bind to the socket address {address} failed: {error.strerror or error}"
            ) from error
        bound = self._listeners.address
        assert isinstance(bound, Address)
        return bound

    async def start(self) -> None:
        """Serves clients. Not uvicorn's serve(): that would take the process's signals, and listen by itself."""
        assert self._listeners is not None
        await self._server.startup([])
        self._main_loop = asyncio.create_task(self._server.main_loop())
        tls = None if self._tls is None else self._tls.context
        self._listeners.start(self._make_connection, self._has_room, tls, self._limits.head_seconds)

    def end_connections(self) -> None:
        """From now on a call is the last one of its connection: whoever has another call asks for a new one."""
        self._protocol.is_parting = True

    async def part(self) -> None:
        """Nobody new gets in. Calls that are on their way are served."""
        self.end_connections()
        if self._listeners is not None:
            self._listeners.stop()
        await nothing_is_coming(self._is_asked)

    def refuse_new_calls(self) -> None:
        """From now on a new call gets 503, which a client may safely send to another master."""
        self._calls.is_draining = True

    async def stop(self) -> None:
        """Stops listening; replies in progress have a moment to leave."""
        if self._listeners is not None:
            self._listeners.close()
        if self._main_loop is not None:
            self._server.should_exit = True
            await self._main_loop
            await self._server.shutdown()
            for connection in list(self._server.server_state.connections):
                if isinstance(connection, BoundedProtocol):
                    connection.stop()
            if self._server.server_state.tasks:
                await asyncio.wait(self._server.server_state.tasks, timeout=LAST_WORDS_SECONDS)
        await self._reader.close()

    def _make_connection(self) -> BoundedProtocol:
        state, app_state = self._server.server_state, self._server.lifespan.state
        return self._protocol(config=self._config, server_state=state, app_state=app_state)

    def _has_room(self, not_secure: int) -> bool:
        """Whether one more may come. Who need not become secure first is told why not, by its connection."""
        count = len(self._server.server_state.connections) + not_secure
        return self._tls is None or count < self._limits.most_connections

    def _is_asked(self) -> bool:
        connections = self._server.server_state.connections
        return any(isinstance(connection, BoundedProtocol) and connection.is_asking for connection in connections)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._serve_call if scope["path"].startswith(_CALLS) else self._router  # the usual ones are not searched
        await app(scope, receive, send)

    async def _healthz(self, _: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def _readyz(self, _: Request) -> Response:
        reason = why_not_ready(self._desk)
        return PlainTextResponse(f"{reason}\n", 503) if reason else PlainTextResponse("ok\n")

    async def _serve_call(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["raw_path"] == b"/v2" or scope["raw_path"].startswith(b"/v2/"):
            await self._v2(scope, receive, send)
            return
        try:
            response = await self._respond(Request(scope, receive))
        except ClientDisconnect:
            return
        except RequestRefused as refused:
            response = _error(str(refused))
        except asyncio.CancelledError:  # the door closes: see stop()
            response = _error(STOPPING_TEXT, 503)
        except Exception:
            logger.exception("a fault of the master's own")
            response = _error("internal error of the master: see its log", 500)
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        if request.method != "POST":
            return _error(_NOT_SUPPORTED, 200 if request.method in ("GET", "PUT", "DELETE", "HEAD") else 501)
        target = parse_target(_url(request.scope))
        try:
            with self._room.place() as place:
                body = await within(self._request_seconds, self._body(request, place))
                if not body:
                    return _error("http message invalid")
                if len(body) < LARGE_BYTES:
                    instances = read_instances(body)
                else:
                    instances = await unless_gone(self._reader.read(body), request.receive)
        except asyncio.TimeoutError:
            return _error(f"http message was not complete after {self._request_seconds:g} s", 408)
        except Overloaded:
            return _error(OVERLOADED_TEXT, 503)
        if self._calls.is_draining:
            return _error(STOPPING_TEXT, 503)
        work = self._calls.predict(target, instances, len(body), write_reply)
        return _json(await unless_gone(work, request.receive))

    async def _body(self, request: Request, place: Place) -> bytes:
        """A request's whole body. Raises RequestRefused, Overloaded, ClientDisconnect."""
        try:
            return await collect(request, place)
        except CallFault as fault:
            most = self._room.most_bytes
            raise RequestRefused(Code.INVALID_INPUTS, f"http message is bigger than {most}") from fault


def _url(scope: Scope) -> str:
    """The URL as it was sent: neither decoded nor split."""
    path, query = scope["raw_path"].decode("latin-1"), scope["query_string"].decode("latin-1")
    return f"{path}?{query}" if query else path


def _json(body: bytes, status: int = 200) -> Response:
    return Response(body, status, media_type="application/json")


def _error(text: str, status: int = 200) -> Response:
    return _json(write_error(text), status)
