"""Server reflection, v1 and v1alpha: clients without our .proto files (grpcurl and others) list and call services.

github.com/grpc/grpc, doc/server-reflection.md. The two packages are equal on the wire.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from functools import cache

from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto
from google.protobuf.message import DecodeError

from mindspore_serving.master.service_table import CallInfo, RpcFault, ServiceTable, Status, Streaming
from mindspore_serving.proto import reflection_pb2 as pb
from mindspore_serving.proto.private_pool import DESCRIPTORS

REFLECTION = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")
_MOST_QUOTED = 100  # characters of a client's own text in an error


def reflection_services(services: Sequence[str]) -> ServiceTable:
    """Both packages; `services` are the names that they list."""

    async def answer(bodies: AsyncIterator[bytes], _: CallInfo) -> AsyncIterator[bytes]:
        async for body in bodies:
            try:
                request = pb.ServerReflectionRequest.FromString(body)
            except DecodeError as error:
                raise RpcFault(Status.INVALID_ARGUMENT, "the request is not a ServerReflectionRequest") from error
            yield _answer(request, services).SerializeToString()

    return {name: {"ServerReflectionInfo": Streaming(answer)} for name in REFLECTION}


def _answer(request: pb.ServerReflectionRequest, services: Sequence[str]) -> pb.ServerReflectionResponse:
    response = pb.ServerReflectionResponse(valid_host=request.host, original_request=request)
    match request.WhichOneof("message_request"):
        case "list_services":
            for service in sorted(services):
                response.list_services_response.service.add(name=service)
        case "file_by_filename":
            _add_file(response, request.file_by_filename)
        case "file_containing_symbol":
            _add_file(response, _symbols().get(request.file_containing_symbol, request.file_containing_symbol))
        case "all_extension_numbers_of_type" if request.all_extension_numbers_of_type in _symbols():
            response.all_extension_numbers_response.base_type_name = request.all_extension_numbers_of_type
        case "file_containing_extension" | "all_extension_numbers_of_type":
            _refuse(response, Status.NOT_FOUND, "there are no extensions here")
        case _:
            _refuse(response, Status.INVALID_ARGUMENT, "the request asks for nothing")
    return response


def _add_file(response: pb.ServerReflectionResponse, name: str) -> None:
    for file in DESCRIPTORS.file:
        if file.name == name:  # none of our files imports another one
            response.file_descriptor_response.file_descriptor_proto.append(file.SerializeToString())
            return
    _refuse(response, Status.NOT_FOUND, f"'{name[:_MOST_QUOTED]}' is not known here")


def _refuse(response: pb.ServerReflectionResponse, status: Status, text: str) -> None:
    response.error_response.error_code = int(status)
    response.error_response.error_message = text


@cache
def _symbols() -> dict[str, str]:
    """Each symbol's file."""
    return {symbol: file.name for file in DESCRIPTORS.file for symbol in _names(file)}


def _names(file: FileDescriptorProto) -> Iterator[str]:
    for message in file.message_type:
        yield from _message_names(file.package, message)
    for enum in file.enum_type:
        yield f"{file.package}.{enum.name}"
    for service in file.service:
        yield f"{file.package}.{service.name}"
        yield from (f"{file.package}.{service.name}.{method.name}" for method in service.method)


def _message_names(scope: str, message: DescriptorProto) -> Iterator[str]:
    name = f"{scope}.{message.name}"
    yield name
    yield from (f"{name}.{field.name}" for field in message.field)
    yield from (f"{name}.{enum.name}" for enum in message.enum_type)
    for nested in message.nested_type:
        yield from _message_names(name, nested)
