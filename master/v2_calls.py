"""Inferences of the Open Inference Protocol over HTTP: for the ASGI application, and for calls that came whole."""

import asyncio
import logging
import math
import re

from mindspore_serving.master.client_memory import ClientMemory
from mindspore_serving.master.error_status import (
    INTERNAL,
    OVERLOADED,
    RETRY_AFTER_SECONDS,
    UNAVAILABLE,
    CallFault,
)
from mindspore_serving.master.front_desk import FrontDesk
from mindspore_serving.master.json_reader import LARGE_BYTES
from mindspore_serving.master.promise import Promise, kept
from mindspore_serving.master.rest_body import wanted_encoding
from mindspore_serving.master.service_table import OWN_FAULT_TEXT, STOPPING_TEXT
from mindspore_serving.master.v2_infer import infer, raw_input
from mindspore_serving.master.v2_json import read_request, write_document, write_response
from mindspore_serving.master.v2_types import InferRequest, InferResponse, quoted, raw_tensor, refuse
from mindspore_serving.master.whole_calls import JSON, Headers, Reply

logger = logging.getLogger("mindspore_serving.master")

HEADER_LENGTH = "Inference-Header-Content-Length"
_URLS = re.compile(rb"/v2/models/[\w.-]+(?:/versions/[\w.-]+)?/infer", re.ASCII)  # the usual ones
_LENGTH_FIELD = HEADER_LENGTH.lower().encode()
_BINARY = b"content-type: application/octet-stream\r\n%s: %%d\r\n" % _LENGTH_FIELD


class V2Calls:
    """Inferences. Where a body is as long as LARGE_BYTES or more, its JSON is not for this process."""

    def __init__(self, desk: FrontDesk, memory: ClientMemory, request_seconds: float) -> None:
        self.urls = _URLS
        self._desk = desk
        self._memory = memory
        self._request_seconds = request_seconds

    def answer(self, url: str, headers: Headers, body: bytes) -> Promise[Reply] | None:
        """As Calls has it."""
        known = dict(reversed(headers))  # of several of a name the first counts
        if len(body) >= LARGE_BYTES or b"content-encoding" in known:
            return None
        _, _, _, model, *more = url.split("/")  # /v2/models/MODEL/infer, or /v2/models/MODEL/versions/VERSION/infer
        version = more[1] if len(more) > 1 else ""
        try:
            json_bytes = header_length(known[_LENGTH_FIELD].decode("latin-1")) if _LENGTH_FIELD in known else None
            asked = self.read(model, version, body, json_bytes)
            return self.infer(asked, known.get(b"accept-encoding", b"").decode("latin-1"))
        except CallFault as fault:
            return kept(self.explain(fault))

    def explain(self, error: BaseException) -> Reply:
        """As Calls has it."""
        if isinstance(error, asyncio.CancelledError):
            error = CallFault(UNAVAILABLE, STOPPING_TEXT)
        elif not isinstance(error, CallFault):
            logger.error("a fault of the master's own", exc_info=error)
            error = CallFault(INTERNAL, OWN_FAULT_TEXT)
        fields = JSON
        if error.fate in (UNAVAILABLE, OVERLOADED):
            seconds = RETRY_AFTER_SECONDS if error.retry_seconds is None else error.retry_seconds
            fields += b"retry-after: %d\r\n" % math.ceil(seconds)  # whole seconds: RFC 9110 §10.2.3
        return Reply(write_document({"error": str(error)}), error.fate.http, fields)

    def read(self, model: str, version: str, body: bytes, json_bytes: int | None) -> InferRequest:
        """The inference that a body asks for; `json_bytes` is that of the header. Raises CallFault."""
        if json_bytes == 0:
            return self._raw_request(model, version, body)
        return read_request(model, version, body, json_bytes)

    def infer(self, asked: InferRequest, accepted: str) -> Promise[Reply]:
        """Its answer. accepted: the header Accept-Encoding, if any. Raises CallFault, and so may waiting for it."""

        def finish(response: InferResponse) -> Reply:
            body, json_bytes = write_response(asked, response)
            return Reply(body, fields=JSON if json_bytes is None else _BINARY % json_bytes, encoding=encoding)

        encoding = wanted_encoding(accepted) if accepted else "identity"
        return infer(self._desk, self._memory, asked, self._request_seconds, finish)

    def _raw_request(self, model: str, version: str, body: bytes) -> InferRequest:
        """A body that is the values of the only input, of one instance, and nothing else."""
        name, datatype, shape = raw_input(self._desk, model, version, len(body))
        data = body if datatype != "BYTES" else len(body).to_bytes(4, "little") + body
        tensor = raw_tensor(name, datatype, shape, data, {})
        return InferRequest(model, version, "", {"binary_data_output": True}, (tensor,), (), len(body))


def header_length(text: str) -> int:
    """What the header Inference-Header-Content-Length says. Raises CallFault."""
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        refuse(f"{HEADER_LENGTH} {quoted(text)} is not a number of bytes")
    return int(text)
