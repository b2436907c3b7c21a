"""AsyncClient: Client for asyncio, with the same arguments and results."""

import asyncio
import random
import sys
import time
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast, overload

import grpc
import grpc.aio

from mindspore_serving.client.arguments import check_seconds, check_window, read_arguments
from mindspore_serving.client.calls import CLOSED, PREDICT, Calls, Ending, Results, RpcFailure
from mindspore_serving.client.client import Instances
from mindspore_serving.client.ssl_config import SSLConfig
from mindspore_serving.client.wire_values import request_bytes
from mindspore_serving.proto import ms_service_pb2 as pb

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from mindspore_serving.client.arguments import Options


class AsyncClient:
    """Calls one method of one servable, from one event loop: that of its first call.

    Takes what Client takes; see there. Use it in an `async with` statement, or close() it.

    Raises RuntimeError for arguments that cannot be.
    """

    @overload
    def __init__(
        self,
        address: str,
        servable_name: str,
        method_name: str,
        version_number: int = 0,
        ssl_config: SSLConfig | None = None,
        **options: "Unpack[Options]",
    ) -> None: ...

    @overload
    def __init__(
        self,
        ip: str,
        port: int,
        servable_name: str,
        method_name: str,
        version_number: int = 0,
        **options: "Unpack[Options]",
    ) -> None: ...

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._arguments = read_arguments(args, kwargs)
        self.address = self._arguments.address
        self.servable_name = self._arguments.servable_name
        self.method_name = self._arguments.method_name
        self.version_number = self._arguments.version_number
        self._calls = Calls(self._arguments.rules, len(self._arguments.targets))
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_closed = asyncio.Event()
        self._channels: list[grpc.aio.Channel] = []
        self._predict: list[Any] = []

    async def infer(self, instances: Instances, *, timeout: float | None = None) -> Results:
        """As Client.infer. Cancelling it asks the server to forget the call.

        Raises RuntimeError for values that cannot be sent, when the client is closed, and in another event loop.
        """
        self._connect()
        if timeout is not None:
            check_seconds("timeout", timeout)
        spec = (self.servable_name, self.method_name, self.version_number)
        body = request_bytes(*spec, instances, self._arguments.is_1_2)
        call = self._calls.begin(self._arguments.timeout if timeout is None else timeout, time.monotonic())
        while True:
            ending = await self._attempt(body, *call.attempt(time.monotonic()))
            wait = call.ended(ending, time.monotonic(), random.random())
            if wait is None or await self._closes_within(wait):
                return call.result()

    def stream(
        self,
        requests: Iterable[Instances] | AsyncIterable[Instances],
        *,
        window: int = 16,
        timeout: float | None = None,
    ) -> AsyncIterator[Results]:
        """What infer returns for each of `requests`, in their order, with up to `window` calls on their way at once.

        `requests` is read as results are taken, so it may be endless. `timeout` is that of each call. What is on its
        way is cancelled when the iterator is closed (contextlib.aclosing, if the loop is left early). Raises what
        infer raises, and what `requests` raises.
        """
        check_window(window)
        return self._stream(requests, window, timeout)

    async def close(self) -> None:
        """Closes the connections; calls on their way end with an error. May be called again."""
        self._is_closed.set()
        for channel in self._channels:
            await channel.close()

    async def __aenter__(self) -> "AsyncClient":
        self._connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _connect(self) -> None:
        """Opens the channels, once: they belong to the running event loop."""
        if self._is_closed.is_set():
            raise RuntimeError("this AsyncClient is closed")
        loop = asyncio.get_running_loop()
        if self._loop is loop:
            return
        if self._loop is not None:
            raise RuntimeError("this AsyncClient belongs to another event loop: make one in each asyncio.run()")
        self._loop = loop
        ssl_config, options = self._arguments.ssl_config, self._arguments.channel_options
        for target in self._arguments.targets:
            channel = (
                grpc.aio.insecure_channel(target, options=options)
                if ssl_config is None
                else grpc.aio.secure_channel(target, ssl_config.credentials, options=options)
            )
            self._channels.append(channel)
            self._predict.append(
                cast(Any, channel).unary_unary(PREDICT, response_deserializer=pb.PredictReply.FromString)
            )

    async def _attempt(self, body: bytes, channel: int, seconds_left: float | None) -> Ending | None:
        try:
            reply: pb.PredictReply | None = await self._predict[channel](
                body, timeout=seconds_left, metadata=self._arguments.token.metadata()
            )
        except grpc.RpcError as error:
            return CLOSED if self._is_closed.is_set() else RpcFailure.of(error)
        except asyncio.CancelledError:
            # A channel that closes cancels its calls; whoever waits for one was not cancelled by that.
            if self._is_closed.is_set() and not _this_task_is_cancelled():
                return CLOSED
            raise
        except grpc.aio.UsageError:
            if self._is_closed.is_set():
                return CLOSED
            raise
        return reply

    async def _closes_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._is_closed.wait(), seconds)
        except asyncio.TimeoutError:
            return False
        return True

    async def _stream(
        self, requests: Iterable[Instances] | AsyncIterable[Instances], window: int, timeout: float | None
    ) -> AsyncIterator[Results]:
        # The source is read by a task of its own: while it is slow, results that are there are handed out.
        room = asyncio.Semaphore(window)
        pending: deque[asyncio.Task[Results]] = deque()
        news = asyncio.Event()

        async def read() -> None:
            try:
                async for request in _as_async(requests):
                    await room.acquire()
                    pending.append(asyncio.create_task(self.infer(request, timeout=timeout)))
                    news.set()
            finally:
                news.set()

        reader = asyncio.create_task(read())
        try:
            while True:
                while pending:
                    result = await pending[0]
                    pending.popleft()
                    room.release()
                    yield result
                if reader.done():
                    await reader  # raises what `requests` raised
                    return
                await news.wait()
                news.clear()
        finally:
            left = [reader, *pending]
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)


async def _as_async(requests: Iterable[Instances] | AsyncIterable[Instances]) -> AsyncIterator[Instances]:
    if isinstance(requests, AsyncIterable):
        async for request in requests:
            yield request
    else:
        for request in requests:
            yield request


def _this_task_is_cancelled() -> bool:
    task = asyncio.current_task()
    # Before 3.11 nobody can tell; a cancellation in the moment of close() may be lost there.
    return sys.version_info >= (3, 11) and task is not None and task.cancelling() > 0
