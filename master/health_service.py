"""grpc.health.v1.Health: whether the server as a whole, a gRPC service or a servable takes requests.

github.com/grpc/grpc, doc/health-checking.md. A servable serves while one of its versions does.
"""

from collections.abc import AsyncIterator, Mapping, Sequence

from google.protobuf.message import DecodeError

from mindspore_serving.master.front_desk import FrontDesk, Phase
from mindspore_serving.master.service_table import (
    STOPPING_TEXT,
    CallInfo,
    RpcFault,
    ServiceTable,
    Status,
    Streaming,
    Unary,
)
from mindspore_serving.proto import health_pb2 as pb

HEALTH = "grpc.health.v1.Health"
_MOST_QUOTED = 100  # characters of a client's own text in an error

_Serving = pb.HealthCheckResponse.ServingStatus


def health_service(desk: FrontDesk, model_services: Sequence[str]) -> ServiceTable:
    """The service; `model_services` are the gRPC services that stand and fall with the servables."""

    def statuses() -> Mapping[str, _Serving]:
        is_open = desk.phase is Phase.OPEN
        servables: dict[str, bool] = {}
        for one in desk.health():
            servables[one.servable] = servables.get(one.servable, False) or (one.ready and is_open)
        some = any(servables.values())
        ready = {**dict.fromkeys(("", *model_services), some), **servables}
        return {name: pb.HealthCheckResponse.SERVING if ok else pb.HealthCheckResponse.NOT_SERVING
                for name, ok in ready.items()}  # fmt: skip

    async def check(body: bytes, _: CallInfo) -> bytes:
        name = _service(body)
        status = statuses().get(name)
        if status is None:
            raise RpcFault(
                Status.NOT_FOUND, f"service '{name[:_MOST_QUOTED]}' is neither a servable nor a service here"
            )
        return pb.HealthCheckResponse(status=status).SerializeToString()

    async def watch(bodies: AsyncIterator[bytes], _: CallInfo) -> AsyncIterator[bytes]:
        name = _service(await anext(bodies, b""))
        last = None
        while desk.phase is not Phase.ANSWERED:
            status = statuses().get(name, pb.HealthCheckResponse.SERVICE_UNKNOWN)
            if status != last:
                last = status
                yield pb.HealthCheckResponse(status=status).SerializeToString()
                continue  # it may have changed meanwhile
            await desk.health_change()
        raise RpcFault(Status.UNAVAILABLE, STOPPING_TEXT)

    async def listing(_body: bytes, _: CallInfo) -> bytes:
        known = {name: pb.HealthCheckResponse(status=status) for name, status in statuses().items()}
        return pb.HealthListResponse(statuses=known).SerializeToString()

    return {
        HEALTH: {
            "Check": Unary(check, serves_while_draining=True),
            "List": Unary(listing, serves_while_draining=True),
            "Watch": Streaming(watch, serves_while_draining=True),
        }
    }


def _service(body: bytes) -> str:
    try:
        return pb.HealthCheckRequest.FromString(body).service
    except DecodeError as error:
        raise RpcFault(Status.INVALID_ARGUMENT, "the request is not a grpc.health.v1.HealthCheckRequest") from error
