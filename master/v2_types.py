"""What the Open Inference Protocol v2 speaks of, whichever door it came through: datatypes, tensors, one inference."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn, TypeAlias

from mindspore_serving.cluster.tensors import ITEM_BYTES, Buffer
from mindspore_serving.master.error_status import INVALID, UNIMPLEMENTED, CallFault
from mindspore_serving.master.memory_part import Part
from mindspore_serving.master.tensor_rules import MOST_DIMS, MOST_INSTANCES

DTYPES = {
    "BOOL": "|b1",
    "INT8": "|i1",
    "UINT8": "|u1",
    "INT16": "<i2",
    "UINT16": "<u2",
    "INT32": "<i4",
    "UINT32": "<u4",
    "INT64": "<i8",
    "UINT64": "<u8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}
DATATYPES = {dtype: name for name, dtype in DTYPES.items()}
BYTES = "BYTES"
REGION = "shared_memory_region"  # the parameter of a tensor that is not in the message: see v2_memory
DEVICE_MEMORY_TEXT = "memory of CUDA devices is not shared: send tensors in requests, or in system shared memory"
REPOSITORY_TEXT = "models are not loaded by clients here: start or stop a worker with the servable"
SETTINGS_TEXT = "trace and log settings cannot be changed by clients: see --log-level of the master"
MOST_QUOTED = 100  # characters of a client's own text in an error
MOST_EMPTY_INSTANCES = 1 << 10  # of one request that has no data: a few bytes would buy as much work as many

Parameter: TypeAlias = bool | int | float | str
Parameters: TypeAlias = Mapping[str, Parameter]


@dataclass(frozen=True, slots=True)
class V2Tensor:
    """A tensor with its batch dimension. `data`: little-endian values in C order; of BYTES, the elements.

    Where the parameters name a REGION, there is no data yet in a request, and no more in an answer.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: Buffer | Part | Sequence[bytes]
    parameters: Parameters = field(default_factory=dict)

    @property
    def elements(self) -> Sequence[bytes]:
        """Of a BYTES tensor."""
        assert not isinstance(self.data, Buffer | Part)
        return self.data

    @property
    def raw(self) -> Buffer:
        """Of any other tensor, that is in the message."""
        assert isinstance(self.data, Buffer)
        return self.data

    @property
    def frame(self) -> Buffer | Part:
        """Of any other tensor."""
        assert isinstance(self.data, Buffer | Part)
        return self.data


@dataclass(frozen=True, slots=True)
class AskedOutput:
    """An output that the client wants; in its memory, if there is a place."""

    name: str
    parameters: Parameters = field(default_factory=dict)
    place: Part | None = None


@dataclass(frozen=True, slots=True)
class InferRequest:
    """One inference. `model`: a servable, or servable.method; `version`: "" is the newest."""

    model: str
    version: str
    id: str
    parameters: Parameters
    inputs: Sequence[V2Tensor]
    outputs: Sequence[AskedOutput]  # none: all that the method has
    nbytes: int


@dataclass(frozen=True, slots=True)
class InferResponse:
    """Its answer. `parameters` are the request's, but for those that the protocol or this server gives a meaning."""

    model: str
    version: str
    id: str
    parameters: Parameters
    outputs: Sequence[V2Tensor]


def refuse(text: str) -> NoReturn:
    """The request breaks the protocol."""
    raise CallFault(INVALID, text)


def quoted(text: str) -> str:
    """A client's own text as it may stand in an error, which is one line."""
    shown = text[:MOST_QUOTED]
    if not shown.isprintable():
        shown = "".join(each if each.isprintable() else "?" for each in shown)
    return f"'{shown}'"


def check_input(name: str, datatype: str, shape: Sequence[int]) -> None:
    """Raises CallFault unless an input can be so, whatever its values."""
    if datatype == "BF16":
        raise CallFault(UNIMPLEMENTED, f"input {quoted(name)}: BF16 is not supported, send FP32 or FP16 instead")
    if datatype not in DTYPES and datatype != BYTES:
        known = ", ".join((*DTYPES, BYTES))
        refuse(f"input {quoted(name)}: datatype {quoted(datatype)} is none of {known}")
    if len(shape) > MOST_DIMS:
        refuse(f"input {quoted(name)}: {len(shape)} dimensions are more than {MOST_DIMS}")
    if any(size < 0 for size in shape):
        refuse(f"input {quoted(name)}: shape {list(shape)} has a negative dimension")
    # Each element is an instance. Raw they may be four bytes each, and would become objects by the million.
    if datatype == BYTES and math.prod(shape) > MOST_INSTANCES:
        refuse(f"input {quoted(name)}: BYTES of shape {list(shape)} have more than {MOST_INSTANCES} elements")


def raw_tensor(name: str, datatype: str, shape: tuple[int, ...], data: Buffer, parameters: Parameters) -> V2Tensor:
    """A tensor from its raw form. Raises CallFault; nothing is allocated before the sizes agree."""
    check_input(name, datatype, shape)
    count = math.prod(shape)
    if datatype == BYTES:
        return V2Tensor(name, datatype, shape, _split(name, shape, count, data), parameters)
    want = count * ITEM_BYTES[DTYPES[datatype]]
    if len(data) != want:
        refuse(f"input {quoted(name)}: {datatype} of shape {list(shape)} has {want} bytes, given {len(data)}")
    if datatype == "BOOL" and bytes(data).translate(None, b"\0\1"):
        refuse(f"input {quoted(name)}: a raw BOOL is the byte 0 or 1")
    return V2Tensor(name, datatype, shape, data, parameters)


def _split(name: str, shape: Sequence[int], count: int, data: Buffer) -> list[bytes]:
    """The elements of a raw BYTES tensor: each is four bytes of length (little-endian), then so many bytes."""
    if count * 4 > len(data):
        refuse(f"input {quoted(name)}: BYTES of shape {list(shape)} have at least {count * 4} bytes, given {len(data)}")
    elements, place = [], 0
    for _ in range(count):
        start = place + 4
        place = start + int.from_bytes(data[place:start], "little")
        if start > len(data) or place > len(data):
            refuse(f"input {quoted(name)}: an element's length goes beyond the end of the data")
        elements.append(bytes(data[start:place]))
    if place != len(data):
        refuse(f"input {quoted(name)}: {len(data) - place} bytes follow the last element")
    return elements


def raw_form(tensor: V2Tensor) -> Buffer:
    """The raw form of a tensor, BYTES as length and bytes alternately."""
    if tensor.datatype != BYTES:
        return tensor.raw
    return b"".join(len(element).to_bytes(4, "little") + element for element in tensor.elements)
