"""Reads large JSON bodies in a process of their own, one after the other: see json_child.py."""

import asyncio
import logging
import os
import sys
from typing import Any

import msgpack

from mindspore_serving.cluster.errors import Code, RequestRefused
from mindspore_serving.cluster.tensors import Tensor, Value
from mindspore_serving.master.error_status import CallFault, Fate, refusal_fault
from mindspore_serving.master.json_child import HEAD, LENGTH, Kind
from mindspore_serving.master.service_table import Status
from mindspore_serving.master.v2_types import AskedOutput, InferRequest, V2Tensor

logger = logging.getLogger("mindspore_serving.master")

LARGE_BYTES = 256 * 1024  # read at once it takes 2 ms, the worst one 25; by the other process 8 and 36
_READ_AHEAD_BYTES = 1 << 20  # of an answer, in the pipe's reader
# The process keeps what it has freed, so much of it: else it gets the memory of each body page by page (mallopt(3)).
_KEEPS_MEMORY = {"MALLOC_TRIM_THRESHOLD_": str(64 << 20), "MALLOC_MMAP_THRESHOLD_": str(32 << 20)}
_FINISHED_BYTES = 8 << 20  # a body up to here is read faster than another process starts


class JsonReader:
    """Used in one event loop. Its process starts with the first large body, and again when it has died."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._turn: asyncio.Task[bytes] | None = None  # whose body is being read

    async def read(self, body: bytes) -> list[dict[str, Value]]:
        """The instances that a RESTful body holds. Raises RequestRefused."""
        content = await self._ask(Kind.INSTANCES, body, len(body))
        if len(content) == 2:
            raise RequestRefused(Code(content[0]), content[1])
        return [{name: _value(item) for name, item in items.items()} for items in content[0]]

    async def read_v2(self, model: str, version: str, body: bytes, json_bytes: int | None) -> InferRequest:
        """The inference that a body of the Open Inference Protocol asks for: see v2_json. Raises CallFault."""
        try:
            content = await self._ask(Kind.INFERENCE, body, len(body) if json_bytes is None else json_bytes)
        except RequestRefused as refused:
            raise refusal_fault(refused) from refused
        if len(content) == 3:
            raise CallFault(Fate(Status(content[0]), content[1]), content[2])
        request_id, parameters, inputs, outputs = content[0]
        tensors = [V2Tensor(*fields) for fields in inputs]
        asked = [AskedOutput(*fields) for fields in outputs]
        return InferRequest(model, version, request_id, parameters, tensors, asked, len(body))

    async def close(self) -> None:
        """Ends the process, and what is being read there. May be called again."""
        if self._turn is not None:
            self._turn.cancel()
            await asyncio.wait([self._turn])
        await self._end_process()

    async def _end_process(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            if process.returncode is None:
                process.kill()
            await process.communicate()  # closes the pipes, too

    async def _ask(self, kind: Kind, body: bytes, json_bytes: int) -> tuple[Any, ...]:
        turn = asyncio.create_task(self._take_turn(HEAD.pack(kind, len(body), json_bytes), body))
        try:
            reply = await asyncio.shield(turn)
        except asyncio.CancelledError:
            if turn is not self._turn or len(body) > _FINISHED_BYTES:
                turn.cancel()
            raise
        content = msgpack.unpackb(reply, use_list=False, unicode_errors="surrogatepass", strict_map_key=False)
        assert isinstance(content, tuple)
        return content

    async def _take_turn(self, head: bytes, body: bytes) -> bytes:
        """The answer. If nobody waits for it any more it is read all the same: else the next body waits for a start."""
        async with self._lock:
            self._turn = asyncio.current_task()
            try:
                return await self._exchange(head, body)
            finally:
                self._turn = None

    async def _exchange(self, head: bytes, body: bytes) -> bytes:
        done = False
        try:
            if self._process is None or self._process.returncode is not None:
                await self._end_process()
                self._process = await _start()
            source, sink = self._process.stdout, self._process.stdin
            assert source is not None
            assert sink is not None
            sink.write(head)
            sink.write(body)
            await sink.drain()
            (length,) = LENGTH.unpack(await source.readexactly(LENGTH.size))
            reply = await source.readexactly(length)
            done = True
            return reply
        except (OSError, asyncio.IncompleteReadError) as error:
            logger.error("the process that reads large JSON bodies ended, as when memory is short: %s", error)
            raise RequestRefused(
                Code.SYSTEM_ERROR, f"a JSON body of {len(body)} bytes could not be read: send fewer values at once"
            ) from error
        finally:
            if not done:  # its answer, if there is one, must not be taken for the next one's
                await self._end_process()


def _value(item: Any) -> Value:
    return Tensor(*item) if isinstance(item, tuple) else item


async def _start() -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "mindspore_serving.master.json_child"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_READ_AHEAD_BYTES,
        env={**_KEEPS_MEMORY, **os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)},
        start_new_session=True,  # Ctrl-C is for the master: it still answers what it accepted
    )
