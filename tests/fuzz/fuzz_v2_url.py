"""Target: an HTTP request under /v2, from its first line over its headers to its body. It is answered, never by 500.

The input is such a request, as one would write it by hand: "POST /v2/... ", lines of headers, an empty line, a body.
"""

import asyncio
import gzip
import json
import zlib
from typing import Any

from starlette.types import Message, Scope

from mindspore_serving.master.client_memory import ClientMemory
from mindspore_serving.master.json_reader import JsonReader
from mindspore_serving.master.rest_body import Room
from mindspore_serving.master.v2_calls import V2Calls
from mindspore_serving.master.v2_rest import V2Rest
from tests.fuzz.echo_desk import EchoDesk

_desk: list[EchoDesk] = []
_MOST_BYTES = 100_000  # of a body
_STATUSES = {200, 400, 404, 405, 408, 413, 415, 501, 503, 504}
_BODY = b'{"inputs": [{"name": "x", "datatype": "INT8", "shape": [2, 600], "data": [' + b"1," * 1199 + b"1]}]}"

SEEDS = [
    b"POST /v2/models/s/infer\naccept-encoding: gzip;q=0.5, *\n\n" + _BODY,
    b"POST /v2/models/s.m/versions/1/infer\ncontent-encoding: gzip\n\n" + gzip.compress(_BODY, mtime=0),
    b"POST /v2/models/s/infer\ncontent-encoding: deflate\naccept-encoding: deflate\n\n" + zlib.compress(_BODY),
    b"POST /v2/models/s/infer\ninference-header-content-length: 0\n\n\xff\xd8 an image",
    b"POST /v2/models/s/infer\ninference-header-content-length: 107\n\n"
    b'{"inputs": [{"name": "x", "datatype": "INT8", "shape": [1, 4], "parameters": {"binary_data_size": 4.0e0}}]}1234',
    b"GET /v2/models/s%2Em/versions/4294967295/config\n\n",
    b"HEAD /v2/models/%ff%00/stats\n\n",
    b"GET /v2/health/ready\n\n",
    b"GET /v2/models/s/ready\n\n",
    b"POST /v2/repository/r/index\n\n" + b'{"ready": true}',
    b"POST /v2/systemsharedmemory/region/r/register\n\n{}",
    b"DELETE /v2/logging\n\n",
    b"GET /v2/models\n\n",
]


def run(data: bytes) -> None:
    """Answers the request, and reads the answer as a client would."""
    if not _desk:
        _desk.append(EchoDesk())
    head, _, body = data.partition(b"\n\n")
    first, *lines = head.split(b"\n")
    method, _, path = first.partition(b" ")
    # What h11 lets through: it checks a Content-Length itself.
    headers = [
        (name.strip().lower(), value.strip())
        for name, _, value in (line.partition(b":") for line in lines)
        if name.strip().lower() != b"content-length"
    ]
    scope: Scope = {
        "type": "http",
        "method": method.decode("latin-1"),
        "path": path.decode("latin-1"),
        "raw_path": path,
        "query_string": b"",
        "headers": headers,
    }
    sent = _desk[0].run(_exchange(scope, body))
    start, *rest = sent
    assert start["status"] in _STATUSES, sent
    _check_answer(start["status"], dict(start["headers"]), b"".join(message.get("body", b"") for message in rest))


async def _exchange(scope: Scope, body: bytes) -> list[Message]:
    desk = _desk[0].desk
    app = V2Rest(desk, ClientMemory(), V2Calls(desk, ClientMemory(), 20.0), Room(_MOST_BYTES), JsonReader(), 20.0)
    halves: list[Message] = [
        {"type": "http.request", "body": body[: len(body) // 2], "more_body": True},
        {"type": "http.request", "body": body[len(body) // 2 :], "more_body": False},
    ]
    sent: list[Message] = []

    async def receive() -> Message:
        return halves.pop(0) if halves else await asyncio.Future()

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


def _check_answer(status: int, headers: dict[bytes, bytes], body: bytes) -> None:
    assert int(headers[b"content-length"]) == len(body)
    if encoding := headers.get(b"content-encoding"):
        body = zlib.decompress(body, wbits=31 if encoding == b"gzip" else 15)
    json_bytes = headers.get(b"inference-header-content-length")
    document: Any = json.loads(body if json_bytes is None else body[: int(json_bytes)])
    if status != 200:
        assert set(document) == {"error"}
        assert "\n" not in document["error"]
        assert 0 < len(document["error"]) < 2000


def close() -> None:
    """Lets the desk go."""
    while _desk:
        _desk.pop().close()
