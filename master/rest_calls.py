"""Calls of the RESTful API: for the ASGI application, and for calls that came whole."""

import asyncio
import logging
import re
from collections.abc import Callable, Sequence
from typing import TypeVar

from mindspore_serving.cluster.errors import Failure, RequestRefused
from mindspore_serving.cluster.tensors import Value
from mindspore_serving.master.front_desk import FrontDesk
from mindspore_serving.master.predict import Call, Predictions, predict
from mindspore_serving.master.promise import Promise, kept
from mindspore_serving.master.rest_json import read_instances, write_error, write_reply
from mindspore_serving.master.rest_url import Target, parse_target
from mindspore_serving.master.service_table import OWN_FAULT_TEXT, STOPPING_TEXT
from mindspore_serving.master.whole_calls import Headers, Reply

logger = logging.getLogger("mindspore_serving.master")

T = TypeVar("T")

_URLS = re.compile(rb"/model/[\w./:-]+", re.ASCII)  # the usual ones


class RestCalls:
    """`is_draining`: new calls are refused."""

    def __init__(self, desk: FrontDesk, request_seconds: float, collapses: bool) -> None:
        """collapses: see Call."""
        self.urls = _URLS
        self._desk = desk
        self._request_seconds = request_seconds
        self._collapses = collapses
        self.is_draining = False

    def answer(self, url: str, headers: Headers, body: bytes) -> Promise[Reply] | None:
        """As Calls has it."""
        if self.is_draining or not body:
            return None
        try:
            target = parse_target(url)
            return self.predict(target, read_instances(body), len(body), lambda outcome: Reply(write_reply(outcome)))
        except RequestRefused as refused:
            return kept(Reply(write_error(str(refused))))

    def explain(self, error: BaseException) -> Reply:
        """As Calls has it."""
        if isinstance(error, asyncio.CancelledError):
            return Reply(write_error(STOPPING_TEXT), 503)
        logger.error("a fault of the master's own", exc_info=error)
        return Reply(write_error(OWN_FAULT_TEXT), 500)

    def predict(
        self,
        target: Target,
        instances: Sequence[dict[str, Value]],
        nbytes: int,
        finish: Callable[[Predictions | Failure], T],
    ) -> Promise[T]:
        """What `finish` makes of the outcome."""
        spec = (target.servable, target.version, target.method)
        call = Call(*spec, instances, lambda value: value, nbytes, self._collapses)
        return predict(self._desk, call, self._request_seconds, finish)
