"""The gRPC door: a table of service paths to handlers of raw bytes, served by grpcio's asyncio server."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import grpc
import grpc.aio

from mindspore_serving.cluster.addresses import Address, Endpoint, UnixPath
from mindspore_serving.cluster.errors import SetupError
from mindspore_serving.master.free_address import check_free
from mindspore_serving.master.grpc_messages import short_text
from mindspore_serving.master.service_table import (
    OWN_FAULT_TEXT,
    STOPPING_TEXT,
    CallInfo,
    RpcFault,
    ServiceTable,
    Streaming,
    Unary,
)
from mindspore_serving.master.tls import Tls

logger = logging.getLogger("mindspore_serving.master")

MEGABYTE = 1 << 20
LAST_WORDS_SECONDS = 1.0

Context: TypeAlias = "grpc.aio.ServicerContext[bytes, bytes]"
_STATUS = {code.value[0]: code for code in grpc.StatusCode}


class GrpcDoor:
    """One listening gRPC port, which serves a table of services.

    `is_shared`: other processes of this user may listen at the port too.
    """

    def __init__(self, table: ServiceTable, max_message_mb: int, *, is_shared: bool = False) -> None:
        self._draining = False
        self._is_shared = is_shared
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", max_message_mb * MEGABYTE),
                ("grpc.max_send_message_length", -1),  # a result the worker could compute is never thrown away here
                # A second server on this port must fail, not share it, unless that is what was asked for.
                ("grpc.so_reuseport", int(is_shared)),
                # Our client pings during a long silent call; by default the third ping within 5 minutes is an attack.
                ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
                ("grpc.keepalive_permit_without_calls", 1),
            ]
        )
        for service, methods in table.items():
            handlers: dict[str, Any] = {
                name: (
                    grpc.unary_unary_rpc_method_handler(self._unary(method))
                    if isinstance(method, Unary)
                    else grpc.stream_stream_rpc_method_handler(self._streaming(method))
                )
                for name, method in methods.items()
            }
            self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))

    def bind(self, address: Endpoint, tls: Tls | None = None) -> Endpoint:
        """Takes the port; nobody is served before start(). Returns the real address. Raises SetupError."""
        try:
            if not self._is_shared:
                check_free(address)
            port = (
                self._server.add_insecure_port(str(address))
                if tls is None
                else self._server.add_secure_port(str(address), _credentials(tls))
            )
        except (OSError, RuntimeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise SetupError(
                f"Serving gRPC server start failed, create server failed, address {address}: {reason}"
            ) from error
        return address if isinstance(address, UnixPath) else Address(address.host, port)

    async def start(self) -> None:
        await self._server.start()

    def refuse_new_calls(self) -> None:
        """From now on a new call gets UNAVAILABLE, which a client may safely send to another master."""
        self._draining = True

    async def part(self) -> None:
        """As the other door has it; grpcio's server listens, and its clients stay, until it stops."""

    async def stop(self) -> None:
        """Stops listening; calls in progress have a moment to end."""
        await self._server.stop(LAST_WORDS_SECONDS)

    def _unary(self, method: Unary) -> Callable[[bytes, Context], Awaitable[bytes]]:
        async def call(body: bytes, context: Context) -> bytes:
            await self._check_draining(method, context)
            try:
                reply = await method.handler(body, _info(context))
            except Exception as error:
                await _abort(context, error)
                raise
            await _check_deadline(context)
            return reply

        return call

    def _streaming(self, method: Streaming) -> Callable[[AsyncIterator[bytes], Context], AsyncIterator[bytes]]:
        async def call(bodies: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
            await self._check_draining(method, context)
            try:
                async for reply in method.handler(bodies, _info(context)):
                    yield reply
            except Exception as error:
                await _abort(context, error)
                raise
            await _check_deadline(context)

        return call

    async def _check_draining(self, method: Unary | Streaming, context: Context) -> None:
        if self._draining and not method.serves_while_draining:
            await context.abort(grpc.StatusCode.UNAVAILABLE, STOPPING_TEXT)


def _info(context: Context) -> CallInfo:
    return CallInfo(context.time_remaining(), tuple(context.invocation_metadata() or ()))


async def _check_deadline(context: Context) -> None:
    remaining = context.time_remaining()
    if remaining is not None and remaining <= 0:
        # Both ends watch the deadline; whichever is first, the caller gets the same status.
        await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")


async def _abort(context: Context, error: Exception) -> None:
    """Ends the call with the status of an RpcFault; anything else is a fault of ours."""
    if isinstance(error, RpcFault):
        await context.abort(_STATUS[error.status], short_text(str(error)), tuple(error.trailing_metadata))
    if not isinstance(error, grpc.aio.AbortError):
        logger.error("a fault of the master's own", exc_info=error)
        await context.abort(grpc.StatusCode.INTERNAL, OWN_FAULT_TEXT)


def _credentials(tls: Tls) -> grpc.ServerCredentials:
    return grpc.ssl_server_credentials(
        [(tls.private_key, tls.certificate)],
        root_certificates=tls.custom_ca,
        require_client_auth=tls.verify_client,
    )
