"""What the header fields of a request ask for: a method of the service table, in which time, with which metadata."""

from collections.abc import Callable
from dataclasses import dataclass

from mindspore_serving.master.grpc_messages import ENCODINGS, decode_metadata, parse_timeout
from mindspore_serving.master.http2.headers import Fields
from mindspore_serving.master.service_table import Metadata, RpcFault, ServiceTable, Status, Streaming, Unary

_GRPC = b"application/grpc"
_NOT_METADATA = frozenset(
    (b"te", b"content-type", b"content-length", b"grpc-timeout", b"grpc-encoding", b"grpc-accept-encoding", b"host")
)


@dataclass(frozen=True, slots=True)
class CallHead:
    """A call that can be served."""

    method: Unary | Streaming
    timeout_seconds: float | None
    encoding: bytes
    metadata: Metadata


@dataclass(frozen=True, slots=True)
class RefusedHead:
    """A call that cannot. A gRPC client gets the status; another gets the HTTP status alone."""

    fault: RpcFault
    http_status: bytes = b"200"


def head_reader(table: ServiceTable) -> Callable[[Fields], CallHead | RefusedHead]:
    """Reads the fields of requests to the methods of this table."""
    methods = {f"/{service}/{name}".encode(): how for service, names in table.items() for name, how in names.items()}

    def read(fields: Fields) -> CallHead | RefusedHead:
        first = dict(reversed(fields))
        content_type = first.get(b"content-type", b"").lower()
        if not (content_type == _GRPC or content_type.startswith((_GRPC + b"+", _GRPC + b";"))):
            return RefusedHead(RpcFault(Status.UNKNOWN, "content-type is not application/grpc"), b"415")
        if first[b":method"] != b"POST":
            return RefusedHead(RpcFault(Status.INTERNAL, "a gRPC call is a POST request"), b"405")
        try:
            return _read_call(first, fields)
        except RpcFault as fault:
            return RefusedHead(fault)

    def _read_call(first: dict[bytes, bytes], fields: Fields) -> CallHead:
        method = methods.get(first[b":path"])
        if method is None:
            raise RpcFault(Status.UNIMPLEMENTED, f"there is no method {first[b':path'][:200].decode('latin-1')}")
        encoding = first.get(b"grpc-encoding", b"identity")
        if encoding not in ENCODINGS:
            raise RpcFault(
                Status.UNIMPLEMENTED, f"grpc-encoding {encoding[:100].decode('latin-1')} is not identity, gzip, deflate"
            )
        timeout = first.get(b"grpc-timeout")
        metadata = [
            item
            for name, value in fields
            if name not in _NOT_METADATA and not name.startswith(b":")
            for item in decode_metadata(name, value)
        ]
        return CallHead(method, None if timeout is None else parse_timeout(timeout), encoding, tuple(metadata))

    return read
