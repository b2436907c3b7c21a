"""The Open Inference Protocol over HTTP: /v2/..., with real statuses; a fault is {"error": text}."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import unquote

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from mindspore_serving.master.client_memory import OFF_TEXT, ClientMemory
from mindspore_serving.master.error_status import (
    NOT_FOUND,
    UNAVAILABLE,
    UNIMPLEMENTED,
    WRONG_METHOD,
    CallFault,
)
from mindspore_serving.master.front_desk import FrontDesk
from mindspore_serving.master.json_reader import LARGE_BYTES, JsonReader
from mindspore_serving.master.rest_body import SMALLEST_PACKED, Room, pack, read_body
from mindspore_serving.master.v2_about import (
    model_config,
    model_metadata,
    model_names,
    regions,
    repository_index,
    server_metadata,
    statistics,
    why_model_not_ready,
    why_not_ready,
)
from mindspore_serving.master.v2_calls import HEADER_LENGTH, V2Calls, header_length
from mindspore_serving.master.v2_json import read_document, write_document
from mindspore_serving.master.v2_types import (
    DEVICE_MEMORY_TEXT,
    REPOSITORY_TEXT,
    SETTINGS_TEXT,
    InferRequest,
    quoted,
    refuse,
)
from mindspore_serving.master.waits import unless_gone
from mindspore_serving.master.whole_calls import Reply

_MOST_QUESTION_BYTES = 1 << 16  # of a body that is no inference

GET, POST = ("GET", "HEAD"), ("POST",)

Handler: TypeAlias = Callable[..., Awaitable[Response]]  # of the request, and the names in its path in their order


class V2Route(NamedTuple):
    """URLs of the protocol. `what` is a line for people; no handler: not supported, and `what` says what to do."""

    paths: Sequence[str]  # with names in braces, each of which is one part of the path
    methods: tuple[str, ...]
    what: str
    handler: Handler | None = None


class V2Rest:
    """Serves every path under /v2 as an ASGI application. Never raises."""

    def __init__(
        self,
        desk: FrontDesk,
        memory: ClientMemory,
        calls: V2Calls,
        room: Room,
        reader: JsonReader,
        request_seconds: float,
    ) -> None:
        self._desk = desk
        self._memory = memory
        self._calls = calls
        self._room = room
        self._reader = reader
        self._request_seconds = request_seconds
        self._routes = [(_pattern(path), route) for route in self.routes() for path in route.paths]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            response = await self._respond(request)
        except ClientDisconnect:
            return
        except (Exception, asyncio.CancelledError) as error:  # cancelled: the door closes
            response = _response(self._calls.explain(error))
        await response(scope, receive, send)

    def routes(self) -> Sequence[V2Route]:
        """Every URL, the often used ones first."""
        repositories = ("/v2/repository", "/v2/repository/{repository}")
        of_devices = _of_memory("/v2/cudasharedmemory")
        return (
            V2Route(_of_model("/infer"), POST, "an inference: JSON, or JSON and binary tensors", self._infer),
            V2Route(("/v2/health/live",), GET, "whether the server runs", self._live),
            V2Route(("/v2/health/ready",), GET, "whether some model takes requests; 503 with the reason", self._ready),
            V2Route(_of_model("/ready"), GET, "whether this model does; 503 with the reason", self._model_ready),
            V2Route(("/v2",), GET, "name, version and extensions of the server", self._server),
            V2Route(("/v2/models",), GET, "the models that take requests", self._models),
            V2Route(("/v2/models/stats",), GET, "statistics of all models", self._statistics),
            V2Route(_of_model("/stats"), GET, "statistics of a model", self._statistics),
            V2Route(_of_model("/config"), GET, "configuration of a model", self._config),
            V2Route(_of_model(""), GET, "inputs and outputs of a model", self._metadata),
            V2Route([f"{place}/index" for place in repositories], POST, "every version, and its state", self._index),
            V2Route(
                [f"{place}/models/{{model}}/{verb}" for place in repositories for verb in ("load", "unload")],
                POST,
                REPOSITORY_TEXT,
            ),
            *self._memory_routes(),
            V2Route(of_devices.status, GET, DEVICE_MEMORY_TEXT),
            V2Route((*of_devices.register, *of_devices.unregister), POST, DEVICE_MEMORY_TEXT),
            V2Route(
                ("/v2/trace/setting", "/v2/models/{model}/trace/setting", "/v2/logging"), (*GET, *POST), SETTINGS_TEXT
            ),
        )

    def _memory_routes(self) -> Sequence[V2Route]:
        paths = _of_memory("/v2/systemsharedmemory")
        if not self._memory.is_on:
            return (V2Route(paths.status, GET, OFF_TEXT), V2Route((*paths.register, *paths.unregister), POST, OFF_TEXT))
        return (
            V2Route(paths.status, GET, "the regions of shared memory that clients have registered", self._regions),
            V2Route(paths.register, POST, "registers a region: key, byte_size, and offset if not 0", self._register),
            V2Route(paths.unregister, POST, "the region is not known any more, or none is", self._unregister),
        )

    async def _respond(self, request: Request) -> Response:
        path = request.scope["raw_path"].decode("latin-1")
        for pattern, route in self._routes:
            match = pattern.fullmatch(path)
            if match is None:
                continue
            if request.method not in route.methods:
                allowed = ", ".join(route.methods)
                response = _response(self._calls.explain(CallFault(WRONG_METHOD, f"{quoted(path)} supports {allowed}")))
                response.headers["Allow"] = allowed
                return response
            if route.handler is None:
                raise CallFault(UNIMPLEMENTED, route.what)
            return await route.handler(request, *map(unquote, match.groups()))
        raise CallFault(NOT_FOUND, f"{quoted(path)} is not a URL of this server: see /docs")

    async def _infer(self, request: Request, model: str, version: str = "") -> Response:
        asked = await self._asked(request, model, version)
        accepted = request.headers.get("accept-encoding", "")
        reply = await unless_gone(self._calls.infer(asked, accepted), request.receive)
        response = _response(reply)
        if reply.encoding != "identity" and len(reply.body) >= SMALLEST_PACKED:
            response.headers["Content-Encoding"] = reply.encoding
            response.body = await pack(reply.body, reply.encoding)
            response.headers["Content-Length"] = str(len(response.body))
        return response

    async def _asked(self, request: Request, model: str, version: str) -> InferRequest:
        """The inference that the body asks for."""
        text = request.headers.get(HEADER_LENGTH)
        json_bytes = None if text is None else header_length(text)
        with self._room.place() as place:
            body = await read_body(request, place, self._request_seconds)
            if min(len(body), len(body) if json_bytes is None else json_bytes) < LARGE_BYTES:
                return self._calls.read(model, version, body, json_bytes)
            return await unless_gone(self._reader.read_v2(model, version, body, json_bytes), request.receive)

    async def _live(self, _: Request) -> Response:
        return _json({"live": True})

    async def _ready(self, _: Request) -> Response:
        if reason := why_not_ready(self._desk):
            raise CallFault(UNAVAILABLE, reason)
        return _json({"ready": True, "live": True})  # KServe's client reads `ready`, the specification shows `live`

    async def _model_ready(self, _: Request, model: str, version: str = "") -> Response:
        if reason := why_model_not_ready(self._desk, model, version):
            raise CallFault(UNAVAILABLE, reason)
        return _json({"name": model, "ready": True})

    async def _server(self, _: Request) -> Response:
        return _json(server_metadata(self._memory))

    async def _models(self, _: Request) -> Response:
        return _json({"models": model_names(self._desk)})

    async def _metadata(self, _: Request, model: str, version: str = "") -> Response:
        return _json(model_metadata(self._desk, model, version))

    async def _config(self, _: Request, model: str, version: str = "") -> Response:
        return _json(model_config(self._desk, model, version))

    async def _statistics(self, _: Request, model: str = "", version: str = "") -> Response:
        return _json(statistics(self._desk, model, version))

    async def _index(self, request: Request, _repository: str = "") -> Response:
        asked = await self._question(request)
        ready = asked.get("ready", False)
        if not isinstance(ready, bool):
            refuse("'ready' should be true or false")
        return _json(repository_index(self._desk, ready))

    async def _regions(self, _: Request, region: str = "") -> Response:
        return _json(regions(self._memory, region))

    async def _register(self, request: Request, region: str) -> Response:
        asked = await self._question(request)
        key, offset, nbytes = asked.get("key"), asked.get("offset", 0), asked.get("byte_size")
        if not isinstance(key, str) or type(offset) is not int or type(nbytes) is not int:
            refuse("'key' should be a string, 'byte_size' and 'offset' numbers of bytes; without it, the offset is 0")
        self._memory.register(region, key, offset, nbytes)
        return _json({})

    async def _unregister(self, _: Request, region: str = "") -> Response:
        self._memory.unregister(region)
        return _json({})

    async def _question(self, request: Request) -> dict[str, Any]:
        """The body of a call that is no inference."""
        with self._room.place() as place:
            body = await read_body(request, place, self._request_seconds)
        if len(body) > _MOST_QUESTION_BYTES:
            refuse(f"the body has more than {_MOST_QUESTION_BYTES} bytes: there is no such question")
        return read_document(body)


class _MemoryPaths(NamedTuple):
    status: Sequence[str]
    register: Sequence[str]
    unregister: Sequence[str]


def _of_memory(place: str) -> _MemoryPaths:
    region = f"{place}/region/{{region}}"
    return _MemoryPaths(
        (f"{place}/status", f"{region}/status"),
        (f"{region}/register",),
        (f"{place}/unregister", f"{region}/unregister"),
    )


def _of_model(call: str) -> tuple[str, str]:
    return f"/v2/models/{{model}}{call}", f"/v2/models/{{model}}/versions/{{version}}{call}"


def _pattern(path: str) -> re.Pattern[str]:
    """What the path looks like before it is decoded."""
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path))


def _json(document: Any, status: int = 200) -> Response:
    return Response(write_document(document), status, media_type="application/json")


def _response(reply: Reply) -> Response:
    response = Response(reply.body, reply.status)
    for line in reply.fields.splitlines():
        name, _, value = line.partition(b": ")
        response.raw_headers.append((name, value))
    return response
