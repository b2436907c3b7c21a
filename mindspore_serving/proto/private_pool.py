"""Messages of packages that belong to others, in a descriptor pool of our own.

`inference`, `grpc.health.v1` and `grpc.reflection.v1` are also in the packages of other people (tritonclient, kserve,
grpcio-health-checking), which register their files of these names in protobuf's default pool. A generated module of
ours would do so too, and the second of the two to be imported would fail. So `make proto` writes the descriptors of
all our files to services.binpb, the modules open_inference_pb2, health_pb2 and reflection_pb2 take their classes from
this pool, and only their types (.pyi) are generated.
"""

from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor
from google.protobuf.internal import enum_type_wrapper

DESCRIPTORS = descriptor_pb2.FileDescriptorSet.FromString(Path(__file__).with_name("services.binpb").read_bytes())
_POOL = descriptor_pool.DescriptorPool()
for _file in DESCRIPTORS.file:
    _POOL.Add(_file)


def names_in(file_name: str) -> dict[str, Any]:
    """The classes of a .proto file's messages, its enums and their values: what a generated module has."""
    file = _POOL.FindFileByName(f"mindspore_serving/proto/{file_name}")
    names: dict[str, Any] = {"DESCRIPTOR": file}
    for name, message in file.message_types_by_name.items():
        names[name] = _class_of(message)
    for name, enum in file.enum_types_by_name.items():
        names[name] = enum_type_wrapper.EnumTypeWrapper(enum)
        names.update({value.name: value.number for value in enum.values})
    return names


def _class_of(message: Descriptor) -> Any:
    made = message_factory.GetMessageClass(message)
    for nested in message.nested_types:
        inner = _class_of(nested)
        # protobuf's implementation in Python offers them only so. MindSpore's import sets the environment variable that
        # chooses it, and child processes inherit that.
        if not hasattr(made, nested.name):
            setattr(made, nested.name, inner)
    return made
