"""ModelStreamInfer: many inferences in one call, answered as they are done. A fault is an answer; the stream goes on.

Triton's docs/protocol/extension_generate and its gRPC proto: `error_message` for a fault, the request's id in the
response, and `triton_final_response` for a request that asked by `triton_enable_empty_final_response`. Every request
here has exactly one response, so that the final one is never empty.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

from google.protobuf.message import DecodeError

from mindspore_serving.master.client_memory import ClientMemory
from mindspore_serving.master.front_desk import FrontDesk, Phase
from mindspore_serving.master.message_fields import INFER, check_fields
from mindspore_serving.master.service_table import OWN_FAULT_TEXT, STOPPING_TEXT, RpcFault, Status
from mindspore_serving.master.v2_infer import infer
from mindspore_serving.master.v2_messages import read_request, write_response
from mindspore_serving.proto import open_inference_pb2 as pb

logger = logging.getLogger("mindspore_serving.master")

MOST_OPEN = 256  # requests of one stream at a time; further ones are not read until some are answered


async def stream_infer(
    desk: FrontDesk, memory: ClientMemory, bodies: AsyncIterator[bytes], seconds_left: float | None
) -> AsyncIterator[bytes]:
    """The responses, in the order in which they are done. Raises RpcFault when the master has stopped.

    `seconds_left` counts from the start of the stream.
    """
    loop = asyncio.get_running_loop()
    expires_at = None if seconds_left is None else loop.time() + seconds_left
    reading: asyncio.Future[bytes | None] | None = None
    open_requests: set[asyncio.Future[bytes]] = set()
    stopped = asyncio.ensure_future(_answered(desk))
    has_more = True
    try:
        while has_more or open_requests:
            if has_more and reading is None and len(open_requests) < MOST_OPEN:
                reading = asyncio.ensure_future(_next(bodies))
            waiting: set[asyncio.Future[Any]] = set(open_requests)
            if has_more:
                waiting |= {stopped} if reading is None else {stopped, reading}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if stopped.done():
                has_more = False  # what was accepted still gets its answer
            elif reading is not None and reading.done():
                body, reading = reading.result(), None
                if body is None:
                    has_more = False
                else:
                    left = None if expires_at is None else max(expires_at - loop.time(), 0.0)
                    open_requests.add(asyncio.ensure_future(_respond(desk, memory, body, left)))
            for done in [request for request in open_requests if request.done()]:
                open_requests.discard(done)
                yield done.result()
        if stopped.done():
            raise RpcFault(Status.UNAVAILABLE, STOPPING_TEXT)
    finally:
        tasks: list[asyncio.Future[Any]] = [*open_requests, stopped, *([reading] if reading else [])]
        for task in tasks:
            task.cancel()


async def _next(bodies: AsyncIterator[bytes]) -> bytes | None:
    return await anext(bodies, None)


async def _answered(desk: FrontDesk) -> None:
    while desk.phase is not Phase.ANSWERED:
        await desk.health_change()


async def _respond(desk: FrontDesk, memory: ClientMemory, body: bytes, seconds_left: float | None) -> bytes:
    response = pb.ModelStreamInferResponse()
    request = pb.ModelInferRequest()
    try:
        check_fields(body, INFER)
        request.MergeFromString(body)
        asked, is_typed = read_request(request, len(body))
        answer = await infer(desk, memory, asked, seconds_left, lambda found: write_response(found, is_typed))
        response.infer_response.CopyFrom(answer)
    except DecodeError:
        response.error_message = "the request is not an inference.ModelInferRequest"
    except RpcFault as fault:
        response.error_message = str(fault)
    except Exception:
        logger.exception("a fault of the master's own")
        response.error_message = OWN_FAULT_TEXT
    response.infer_response.id = request.id
    if request.parameters["triton_enable_empty_final_response"].bool_param:
        response.infer_response.parameters["triton_final_response"].bool_param = True
    return response.SerializeToString()
