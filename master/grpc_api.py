"""The gRPC door: a table of service paths to handlers of raw bytes, served by grpcio's asyncio server."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc
import grpc.aio

from mindspore_serving.cluster.addresses import Address, Endpoint, UnixPath
from mindspore_serving.cluster.errors import SetupError
from mindspore_serving.master.free_address import check_free
from mindspore_serving.master.ms_service import Unparsable
from mindspore_serving.master.tls import Tls

logger = logging.getLogger("mindspore_serving.master")

MEGABYTE = 1 << 20
LAST_WORDS_SECONDS = 1.0

# A call's body and the seconds its caller still waits (None: for ever) to the reply's body.
UnaryHandler = Callable[[bytes, float | None], Awaitable[bytes]]


class GrpcDoor:
    """One listening gRPC port. Application errors travel inside replies; the status tells of the transport alone."""

    def __init__(self, table: Mapping[str, Mapping[str, UnaryHandler]], max_message_mb: int) -> None:
        self._draining = False
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", max_message_mb * MEGABYTE),
                ("grpc.max_send_message_length", -1),  # a result the worker could compute is never thrown away here
                ("grpc.so_reuseport", 0),  # a second server on this port must fail, not share it
            ]
        )
        for service, methods in table.items():
            handlers: dict[str, Any] = {
                name: grpc.unary_unary_rpc_method_handler(self._guarded(handler)) for name, handler in methods.items()
            }
            self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))

    def bind(self, address: Endpoint, tls: Tls | None = None) -> Endpoint:
        """Takes the port; nobody is served before start(). Returns the real address. Raises SetupError."""
        try:
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

    async def stop(self) -> None:
        """Stops listening; calls in progress have a moment to end."""
        await self._server.stop(LAST_WORDS_SECONDS)

    def _guarded(self, handler: UnaryHandler) -> Callable[[bytes, Any], Awaitable[bytes]]:
        async def call(body: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]") -> bytes:
            if self._draining:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "the master is stopping")
            try:
                reply = await handler(body, context.time_remaining())
            except Unparsable as error:
                await context.abort(grpc.StatusCode.INTERNAL, str(error))
            except (asyncio.CancelledError, grpc.aio.AbortError):
                raise
            except Exception:
                logger.exception("a fault of the master's own")
                await context.abort(grpc.StatusCode.INTERNAL, "internal error of the master: see its log")
            remaining = context.time_remaining()
            if remaining is not None and remaining <= 0:
                # Both ends watch the deadline; whichever is first, the caller gets the same status.
                await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")
            return reply

        return call


def _credentials(tls: Tls) -> grpc.ServerCredentials:
    return grpc.ssl_server_credentials(
        [(tls.private_key, tls.certificate)],
        root_certificates=tls.custom_ca,
        require_client_auth=tls.verify_client,
    )
