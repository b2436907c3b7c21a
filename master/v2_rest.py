"""The Open Inference Protocol over HTTP: /v2/..., with real statuses; a fault is {"error": text}."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import unquote

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

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
    repository_index,
    server_metadata,
    statistics,
    why_model_not_ready,
    why_not_ready,
)
from mindspore_serving.master.v2_calls import HEADER_LENGTH, V2Calls, header_length
from mindspore_serving.master.v2_json import read_document, write_document
from mindspore_serving.master.v2_types import (
    REPOSITORY_TEXT,
    SETTINGS_TEXT,
    SHARED_MEMORY_TEXT,
    InferRequest,
    quoted,
    refuse,
)
from mindspore_serving.master.waits import unless_gone
from mindspore_serving.master.whole_calls import Reply

_MOST_QUESTION_BYTES = 1 << 16  # of a body that is no inference

Handler: TypeAlias = Callable[[Request, str, str], Awaitable[Response]]


class V2Route(NamedTuple):
    """URLs of the protocol. `what` is a line for people; no handler: not supported, and `what` says what to do."""

    paths: Sequence[str]  # with names in braces, each of which is one part of the path
    methods: tuple[str, ...]
    what: str
    handler: Handler | None = None


class V2Rest:
    """Serves every path under /v2 as an ASGI application. Never raises."""

    def __init__(self, desk: FrontDesk, calls: V2Calls, room: Room, reader: JsonReader, request_seconds: float) -> None:
        self._desk = desk
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
        get, post, both = ("GET", "HEAD"), ("POST",), ("GET", "HEAD", "POST")
        memory = [f"/v2/{kind}sharedmemory" for kind in ("system", "cuda")]
        repositories = ("/v2/repository", "/v2/repository/{repository}")
        return (
            V2Route(_of_model("/infer"), post, "an inference: JSON, or JSON and binary tensors", self._infer),
            V2Route(("/v2/health/live",), get, "whether the server runs", self._live),
            V2Route(("/v2/health/ready",), get, "whether some model takes requests; 503 with the reason", self._ready),
            V2Route(_of_model("/ready"), get, "whether this model does; 503 with the reason", self._model_ready),
            V2Route(("/v2",), get, "name, version and extensions of the server", self._server),
            V2Route(("/v2/models",), get, "the models that take requests", self._models),
            V2Route(("/v2/models/stats",), get, "statistics of all models", self._statistics),
            V2Route(_of_model("/stats"), get, "statistics of a model", self._statistics),
            V2Route(_of_model("/config"), get, "configuration of a model", self._config),
            V2Route(_of_model(""), get, "inputs and outputs of a model", self._metadata),
            V2Route([f"{place}/index" for place in repositories], post, "every version, and its state", self._index),
            V2Route(
                [f"{place}/models/{{model}}/{verb}" for place in repositories for verb in ("load", "unload")],
                post,
                REPOSITORY_TEXT,
            ),
            V2Route(
                [f"{place}{region}/status" for place in memory for region in ("", "/region/{region}")],
                get,
                SHARED_MEMORY_TEXT,
            ),
            V2Route(
                [
                    f"{place}{region}/{verb}"
                    for place in memory
                    for region, verb in (
                        ("/region/{region}", "register"),
                        ("/region/{region}", "unregister"),
                        ("", "unregister"),
                    )
                ],
                post,
                SHARED_MEMORY_TEXT,
            ),
            V2Route(("/v2/trace/setting", "/v2/models/{model}/trace/setting", "/v2/logging"), both, SETTINGS_TEXT),
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
            names = {name: unquote(part) for name, part in match.groupdict().items()}
            return await route.handler(request, names.get("model", ""), names.get("version", ""))
        raise CallFault(NOT_FOUND, f"{quoted(path)} is not a URL of this server: see /docs")

    async def _infer(self, request: Request, model: str, version: str) -> Response:
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

    async def _live(self, _: Request, _model: str, _version: str) -> Response:
        return _json({"live": True})

    async def _ready(self, _: Request, _model: str, _version: str) -> Response:
        if reason := why_not_ready(self._desk):
            raise CallFault(UNAVAILABLE, reason)
        return _json({"ready": True, "live": True})  # KServe's client reads `ready`, the specification shows `live`

    async def _model_ready(self, _: Request, model: str, version: str) -> Response:
        if reason := why_model_not_ready(self._desk, model, version):
            raise CallFault(UNAVAILABLE, reason)
        return _json({"name": model, "ready": True})

    async def _server(self, _: Request, _model: str, _version: str) -> Response:
        return _json(server_metadata())

    async def _models(self, _: Request, _model: str, _version: str) -> Response:
        return _json({"models": model_names(self._desk)})

    async def _metadata(self, _: Request, model: str, version: str) -> Response:
        return _json(model_metadata(self._desk, model, version))

    async def _config(self, _: Request, model: str, version: str) -> Response:
        return _json(model_config(self._desk, model, version))

    async def _statistics(self, _: Request, model: str, version: str) -> Response:
        return _json(statistics(self._desk, model, version))

    async def _index(self, request: Request, _model: str, _version: str) -> Response:
        with self._room.place() as place:
            body = await read_body(request, place, self._request_seconds)
        if len(body) > _MOST_QUESTION_BYTES:
            refuse(f"the body has more than {_MOST_QUESTION_BYTES} bytes: all that it can say is 'ready'")
        asked = read_document(body)
        ready = asked.get("ready", False)
        if not isinstance(ready, bool):
            refuse("'ready' should be true or false")
        return _json(repository_index(self._desk, ready))


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
