"""Target: a model file. Its inputs, or a ServableError that names it; never more than the file is worth."""

import tempfile
from pathlib import Path

import numpy as np

from mindspore_serving.cluster.errors import ServableError
from mindspore_serving.worker.mindir_file import read_inputs
from mindspore_serving.worker.target import Target


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited field of protobuf."""
    length, head = len(content), bytes([number << 3 | 2])
    return head + (bytes([length]) if length < 128 else bytes([length & 127 | 128, length >> 7])) + content


def _model(*tensors: bytes) -> bytes:
    """ModelProto.graph = 7, GraphProto.input = 5, ValueInfoProto.name = 1 and tensor = 2 of mind_ir.proto."""
    return _field(7, b"".join(_field(5, _field(1, b"1:x") + _field(2, tensor)) for tensor in tensors))


SEEDS = [
    _model(b"\x08\x02\x10\x01\x08\x02\x10\x01"),
    _model(b"\x08\x04\x10\x01", b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x10\x0b"),
    _model(b"\x10\x63"),
    _model(),
    b"",
    b"what an encrypted file may begin with",
]


def run(data: bytes) -> None:
    """Writes the file and reads its inputs."""
    with tempfile.NamedTemporaryFile(suffix=".mindir") as file:
        file.write(data)
        file.flush()
        try:
            inputs = read_inputs(Path(file.name), Target())
        except ServableError as error:
            text = str(error)
            assert file.name in text
            assert "\n" not in text
            return
        for given in inputs:
            assert isinstance(given.dtype, np.dtype)
            assert all(isinstance(size, int) for size in given.shape)
