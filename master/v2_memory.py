"""Tensors of the Open Inference Protocol in clients' memory: what their parameters say, and what is written there.

Triton's docs/protocol/extension_shared_memory.md: a tensor's parameters name the region, and where in it the raw form
of the tensor lies, or is to be laid.
"""

import math
from collections.abc import Iterable

from mindspore_serving.cluster.tensors import ITEM_BYTES
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


def lend(memory: ClientMemory, request: InferRequest) -> InferRequest:
    """The request, with the parts of memory that its tensors name. Raises CallFault."""
    if not _is_named(request.inputs) and not _is_named(request.outputs):
        return request
    parts = [_part(memory, "input", tensor) for tensor in request.inputs]
    outputs = [AskedOutput(item.name, item.parameters, _part(memory, "output", item)) for item in request.outputs]
    nbytes = request.nbytes + sum([len(part) for part in parts if part is not None])
    if nbytes > memory.most_bytes:  # before anything is read
        raise CallFault(
            TOO_LARGE,
            f"the request has {nbytes} bytes with its tensors in shared memory, more than {memory.most_bytes}: "
            "see --max-message-mb of the master",
        )
    inputs = [_lent(tensor, part) for tensor, part in zip(request.inputs, parts, strict=True)]
    return InferRequest(request.model, request.version, request.id, request.parameters, inputs, outputs, nbytes)


def lay(tensor: V2Tensor, item: AskedOutput) -> V2Tensor:
    """The output as it is answered: written where its client wants it, if that is in memory. Raises CallFault."""
    place = item.place
    if place is None:
        return tensor
    data = raw_form(tensor)
    if len(data) > len(place):
        refuse(f"output {tensor.name} has {len(data)} bytes, but its {NBYTES} is {len(place)}")
    region = item.parameters[REGION]
    try:
        if not place.is_there:
            refuse(f"output {tensor.name}: the shared memory of region {quoted(str(region))} has become smaller")
        place.write(data)
    except OSError as error:
        text = f"output {tensor.name} cannot be written to region {quoted(str(region))}: {error.strerror}"
        raise CallFault(INTERNAL, text) from error
    where = {REGION: region, NBYTES: len(data), OFFSET: item.parameters.get(OFFSET, 0)}
    return V2Tensor(tensor.name, tensor.datatype, tensor.shape, b"", {**tensor.parameters, **where})


def _is_named(tensors: Iterable[V2Tensor | AskedOutput]) -> bool:
    return any(REGION in tensor.parameters for tensor in tensors)


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


def _part(memory: ClientMemory, what: str, tensor: V2Tensor | AskedOutput) -> Part | None:
    """What its parameters name; None: nothing."""
    parameters = tensor.parameters
    if REGION not in parameters:
        return None
    region, nbytes, offset = parameters[REGION], parameters.get(NBYTES), parameters.get(OFFSET, 0)
    if not isinstance(region, str):
        refuse(f"{what} {quoted(tensor.name)}: {REGION} should be a string")
    if not isinstance(nbytes, int) or isinstance(nbytes, bool):
        refuse(f"{what} {quoted(tensor.name)}: {NBYTES} should be a number of bytes")
    if not isinstance(offset, int) or isinstance(offset, bool):
        refuse(f"{what} {quoted(tensor.name)}: {OFFSET} should be a number of bytes")
    return memory.part(region, offset, nbytes)
