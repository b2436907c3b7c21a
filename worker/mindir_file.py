"""What a MindIR file says of its inputs, read without loading the model. The file may be encrypted.

Runs on the process's MindSpore thread, and imports mindspore there: commands must start without it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mindspore_serving.cluster.errors import ServableError
from mindspore_serving.worker.rewrites.in_place import changed_inputs
from mindspore_serving.worker.rewrites.table_rows import table_rows
from mindspore_serving.worker.target import Target

DYNAMIC = -1  # a dimension that the file leaves open

# mind_ir.proto's TensorProto.DataType -> numpy. What is missing (bfloat16, quantised types) cannot be served.
_DTYPES = {
    "BOOL": np.bool_,
    "INT8": np.int8,
    "UINT8": np.uint8,
    "INT16": np.int16,
    "UINT16": np.uint16,
    "INT32": np.int32,
    "UINT32": np.uint32,
    "INT64": np.int64,
    "UINT64": np.uint64,
    "FLOAT16": np.float16,
    "FLOAT": np.float32,
    "DOUBLE": np.float64,
}


def shape_text(shape: tuple[int, ...]) -> str:
    """A shape for people to read, such as [any, 256]."""
    return f"[{', '.join('any' if size == DYNAMIC else str(size) for size in shape)}]"


@dataclass(frozen=True)
class FileInput:
    """One input as the file has it; DYNAMIC where a dimension is open.

    changed: the graph may write over it. rows: of the table that its numbers are looked up in; 0 if they are not.
    """

    name: str
    dtype: "np.dtype[Any]"
    shape: tuple[int, ...]
    changed: bool = False
    rows: int = 0


def parse(content: bytes) -> Any:
    """The ModelProto of mind_ir.proto that a file holds. Raises ValueError for anything else."""
    from google.protobuf.message import DecodeError
    from mindspore.train.mind_ir_pb2 import ModelProto

    model = ModelProto()
    try:
        model.ParseFromString(content)
    except (DecodeError, UnicodeDecodeError) as error:  # which of the two: protobuf has several engines
        raise ValueError(str(error)) from error
    return model


def read_inputs(path: Path, target: Target) -> tuple[FileInput, ...]:
    """The inputs of a model file, in order. Raises ServableError, which names the file and the input."""
    from mindspore.train.mind_ir_pb2 import TensorProto

    try:
        file = parse(_plain_bytes(path, target))
    except ValueError as error:
        hint = "" if target.dec_key else ", or is encrypted and needs dec_key"
        raise ServableError(f"model file '{path}' is not a MindIR file, or is damaged{hint}: {error}") from error
    if not file.graph.input:
        raise ServableError(f"model file '{path}' has no inputs: it is not a MindIR file, or is damaged")
    inputs = []
    kinds = {number: name for name, number in TensorProto.DataType.items()}  # a newer MindSpore may know more
    changed, rows = _changed(file), _rows(file, target)
    for index, graph_input in enumerate(file.graph.input):
        name = _text(graph_input.name).rpartition(":")[2]
        tensor = graph_input.tensor[0] if graph_input.tensor else None
        number = tensor.data_type if tensor else 0
        kind = kinds.get(number, f"number {number}")
        if tensor is None or kind not in _DTYPES:
            raise ServableError(
                f"model file '{path}': input {index} '{name}' has the type {kind}, which cannot be served"
            )
        dtype, shape = np.dtype(_DTYPES[kind]), tuple(tensor.dims)
        looked_up = rows.get(graph_input.name, 0) if dtype.kind in "iu" else 0
        inputs.append(FileInput(name, dtype, shape, graph_input.name in changed, looked_up))
    return tuple(inputs)


def has_branches(path: Path, target: Target) -> bool:
    """Whether the graph of a model file, which read_inputs() has read, calls others, as branches do."""
    return bool(parse(_plain_bytes(path, target)).functions)


def _changed(file: Any) -> frozenset[str]:
    """The inputs that the graph may write over: all, where it cannot be followed, which is for MindSpore to say."""
    try:
        return changed_inputs(file)
    except Exception:
        return frozenset(str(given.name) for given in file.graph.input)


def _rows(file: Any, target: Target) -> dict[str, int]:
    """Of the tables that inputs name rows of. Only a CPU minds a row that is not there."""
    try:
        return table_rows(file) if target.device_type == "CPU" else {}
    except Exception:  # the graph cannot be followed, which is for MindSpore to say
        return {}


def _text(name: str | bytes) -> str:
    """The name in one line; for one that is no UTF-8 protobuf may give bytes."""
    text = name if isinstance(name, str) else name.decode(errors="replace")
    return "".join(character if character.isprintable() else "?" for character in text)


def _plain_bytes(path: Path, target: Target) -> bytes:
    if target.dec_key is None:
        return path.read_bytes()
    from mindspore import _c_expression

    try:
        # MindSpore has no public call for this; what mindspore.load does with the key is the same, in C++.
        plain = _c_expression._decrypt(str(path), target.dec_key, len(target.dec_key), target.dec_mode)
    except Exception as error:
        plain = None
        reason = f": {str(error).strip().partition(chr(10))[0]}"
    else:
        reason = ""
    if plain is None:
        raise ServableError(
            f"model file '{path}' cannot be decrypted{reason}: check dec_key and dec_mode ({target.dec_mode}), "
            "they must be those that it was exported with, and that the file is an encrypted one"
        )
    return bytes(plain)
