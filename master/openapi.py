"""What tells of the RESTful door: /openapi.json for tools, /docs for people. Made from the door's own routes."""

import html
import re
from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from mindspore_serving.master.v2_about import NAME, own_version
from mindspore_serving.master.v2_rest import V2Route

_TENSOR = {
    "type": "object",
    "required": ["name", "shape", "datatype"],
    "properties": {
        "name": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
        "datatype": {"type": "string", "description": "BOOL, [U]INT8 to 64, FP16, FP32, FP64 or BYTES"},
        "parameters": {"$ref": "#/components/schemas/Parameters"},
        "data": {"type": "array", "items": {}, "description": "flat or nested, in row-major order"},
    },
}
_SCHEMAS = {
    "Parameters": {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}},
    "Tensor": _TENSOR,
    "InferRequest": {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string"},
            "parameters": {"$ref": "#/components/schemas/Parameters"},
            "inputs": {"type": "array", "items": {"$ref": "#/components/schemas/Tensor"}},
            "outputs": {"type": "array", "items": {"type": "object", "required": ["name"]}},
        },
    },
    "InferResponse": {
        "type": "object",
        "required": ["model_name", "outputs"],
        "properties": {
            "model_name": {"type": "string"},
            "model_version": {"type": "string"},
            "id": {"type": "string"},
            "parameters": {"$ref": "#/components/schemas/Parameters"},
            "outputs": {"type": "array", "items": {"$ref": "#/components/schemas/Tensor"}},
        },
    },
    "Instances": {"type": "object", "properties": {"instances": {"type": "array", "items": {"type": "object"}}}},
    "Error": {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}},
}
_OTHERS = (
    ("/model/{model}:{method}", "POST", "instances of a method, as MindSpore Serving takes them", "Instances"),
    ("/model/{model}/version/{version}:{method}", "POST", "the same, of one version", "Instances"),
    ("/healthz", "GET", "200 while the master runs", ""),
    ("/readyz", "GET", "200 when some servable can be called, else 503 with the reason", ""),
    ("/openapi.json", "GET", "this document", ""),
    ("/docs", "GET", "this document as a page", ""),
)
_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><link rel="icon" href="data:,"><title>{title}</title>
<style>body {{ font: 16px sans-serif; margin: 2em; }} td, th {{ padding: .3em 1em .3em 0; text-align: left; }}</style>
</head><body><h1>{title}</h1>
<table><tr><th>URL</th><th>method</th><th>what</th></tr>
{rows}
</table><p>For tools: <a href="/openapi.json">/openapi.json</a></p></body></html>
"""


# A browser loads nothing else for the page, from here or from anywhere.
_NOTHING_ELSE = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:"}


def documentation(routes: Sequence[V2Route]) -> list[Route]:
    """The routes of /openapi.json and /docs, which tell of these routes and of the door's others."""
    document = openapi(routes)
    page = _page(document)

    async def as_json(_: Request) -> Response:
        return JSONResponse(document)

    async def as_page(_: Request) -> Response:
        return HTMLResponse(page, headers=_NOTHING_ELSE)

    return [Route("/openapi.json", as_json), Route("/docs", as_page)]


def openapi(routes: Sequence[V2Route]) -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    paths: dict[str, dict[str, Any]] = {}
    for path, method, what, body in _OTHERS:
        paths.setdefault(path, {})[method.lower()] = _operation(path, what, body, body, "200")
    for route in routes:
        is_infer = route.paths[0].endswith("/infer")
        for path in route.paths:
            for method in route.methods:
                if method != "HEAD":
                    status = "501" if route.handler is None else "200"
                    bodies = ("InferRequest", "InferResponse") if is_infer else ("", "")
                    paths.setdefault(path, {})[method.lower()] = _operation(path, route.what, *bodies, status)
    return {
        "openapi": "3.1.0",
        "info": {"title": NAME, "version": own_version()},
        "paths": paths,
        "components": {"schemas": _SCHEMAS},
    }


def _operation(path: str, what: str, takes: str, gives: str, status: str) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": what,
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in re.findall(r"\{(\w+)\}", path)
        ],
        "responses": {status: {"description": what, **_content(gives)}},
    }
    if path.startswith("/v2") and status == "200":
        operation["responses"]["default"] = {"description": "why not", **_content("Error")}
    if takes:
        operation["requestBody"] = {"required": True, **_content(takes)}
    return operation


def _content(schema: str) -> dict[str, Any]:
    if not schema:
        return {}
    return {"content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}}


def _page(document: dict[str, Any]) -> str:
    rows = "\n".join(
        f"<tr><td><code>{html.escape(path)}</code></td><td>{method.upper()}</td>"
        f"<td>{html.escape(operation['summary'])}</td></tr>"
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    )
    return _PAGE.format(title=html.escape(document["info"]["title"]), rows=rows)
