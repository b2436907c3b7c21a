"""Tensors of the Open Inference Protocol in clients' memory: what their parameters say, and what is written there.

Triton's docs/protocol/extension_shared_memory.md: a tensor's parameters name the region, and where in it the raw form
of the tensor lies, or is to be laid.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from mindspore_serving.cluster.tensors import ITEM_BYTES, Buffer
from mindspore_serving.master.client_memory import ClientMemory
from mindspore_serving.master.error_status import INTERNAL, TOO_LARGE, CallFault
from mindspore_serving.master.memory_part import Part
from mindspore_serving.master.v2_types import (
    BYTES,
    DTYPES,
    REGION,
    AskedOutput,
    InferRequest,
    V2Tensor,
    quoted,
    raw_form,
    raw_tensor,
    refuse,
)

NBYTES = "shared_memory_byte_size"
OFFSET = "shared_memory_offset"


class Where(NamedTuple):
    """What a tensor's parameters say of its place: so many bytes of a region, from its offset on."""

    region: str
    offset: int
    nbytes: int


def where(tensor: V2Tensor | AskedOutput) -> Where | None:
    """Where the tensor is; None: in the message. Raises CallFault."""
    parameters = tensor.parameters
    if REGION not in parameters:
        return None
    region, nbytes, offset = parameters[REGION], parameters.get(NBYTES), parameters.get(OFFSET, 0)
    what = f"{'input' if isinstance(tensor, V2Tensor) else 'output'} {quoted(tensor.name)}"
    if not isinstance(region, str):
        refuse(f"{what}: {REGION} should be a string")
    if not isinstance(nbytes, int) or isinstance(nbytes, bool):
        refuse(f"{what}: {NBYTES} should be a number of bytes")
    if not isinstance(offset, int) or isinstance(offset, bool):
        refuse(f"{what}: {OFFSET} should be a number of bytes")
    return Where(region, offset, nbytes)


def lend(memory: ClientMemory, request: InferRequest) -> InferRequest:
    """The request, with the parts of memory that its tensors name. Raises CallFault."""
    if not _is_named(request.inputs) and not _is_named(request.outputs):
        return request
    parts = [_part(memory, tensor) for tensor in request.inputs]
    outputs = lend_outputs(memory, request.outputs)
    nbytes = request.nbytes + sum([len(part) for part in parts if part is not None])
    if nbytes > memory.most_bytes:  # before anything is read
        raise CallFault(
            TOO_LARGE,
            f"the request has {nbytes} bytes with its tensors in shared memory, more than {memory.most_bytes}: "
            "see --max-message-mb of the master",
        )
    inputs = [_lent(tensor, part) for tensor, part in zip(request.inputs, parts, strict=True)]
    return InferRequest(request.model, request.version, request.id, request.parameters, inputs, outputs, nbytes)


def lend_outputs(memory: ClientMemory, outputs: Sequence[AskedOutput]) -> list[AskedOutput]:
    """The outputs, with the parts of memory that they name. Raises CallFault."""
    return [AskedOutput(item.name, item.parameters, _part(memory, item)) for item in outputs]


def lay(tensor: V2Tensor, item: AskedOutput) -> V2Tensor:
    """The output as it is answered: written where its client wants it, if that is in memory. Raises CallFault."""
    if item.place is None:
        return tensor
    data = raw_form(tensor)
    write(item, item.place, data)
    place = {REGION: item.parameters[REGION], NBYTES: len(data), OFFSET: item.parameters.get(OFFSET, 0)}
    return V2Tensor(tensor.name, tensor.datatype, tensor.shape, b"", {**tensor.parameters, **place})


def write(item: AskedOutput, place: Part, data: Buffer) -> None:
    """Writes an output's raw form to its place. Raises CallFault."""
    if len(data) > len(place):
        refuse(f"output {item.name} has {len(data)} bytes, but its {NBYTES} is {len(place)}")
    region = quoted(str(item.parameters[REGION]))
    try:
        if not place.is_there:
            refuse(f"output {item.name}: the shared memory of region {region} has become smaller")
        place.write(data)
    except OSError as error:
        text = f"output {item.name} cannot be written to region {region}: {error.strerror}"
        raise CallFault(INTERNAL, text) from error


def _is_named(tensors: Sequence[V2Tensor] | Sequence[AskedOutput]) -> bool:
    return any(REGION in tensor.parameters for tensor in tensors)


def _part(memory: ClientMemory, tensor: V2Tensor | AskedOutput) -> Part | None:
    named = where(tensor)
    return None if named is None else memory.part(*named)


def _lent(tensor: V2Tensor, part: Part | None) -> V2Tensor:
    if part is None:
        return tensor
    name, datatype, shape, parameters = tensor.name, tensor.datatype, tensor.shape, tensor.parameters
    if datatype in ("BOOL", BYTES):  # their values are looked at
        return raw_tensor(name, datatype, shape, part.joined(), parameters)
    want = math.prod(shape) * ITEM_BYTES[DTYPES[datatype]]
    if len(part) != want:
        refuse(f"input {quoted(name)}: {datatype} of shape {list(shape)} has {want} bytes, its {NBYTES} is {len(part)}")
    return V2Tensor(name, datatype, shape, part, parameters)
