"""A process that reads JSON bodies for a master: large ones take seconds, in which the master has to serve others.

Frames on standard input: what the body is, its length, how much of it is JSON; then the body. On standard output: a
length, then msgpack: [what stands in the body] or [code, text] or [gRPC status, HTTP status, text].
Ends with its standard input.
"""

import struct
import sys
from enum import IntEnum
from typing import BinaryIO

import msgpack

from mindspore_serving.cluster.errors import RequestRefused
from mindspore_serving.master.error_status import CallFault
from mindspore_serving.master.rest_json import read_instances
from mindspore_serving.master.v2_json import read_request

HEAD = struct.Struct(">BQQ")
LENGTH = struct.Struct(">Q")


class Kind(IntEnum):
    """What a body is."""

    INSTANCES = 0  # of the RESTful door
    INFERENCE = 1  # of the Open Inference Protocol: JSON, and maybe binary tensors behind it


def answer(kind: int, body: bytes, json_bytes: int) -> bytes:
    """What stands in the body, or why nothing does."""
    try:
        content = [read_instances(body) if kind == Kind.INSTANCES else _inference(body, json_bytes)]
    except RequestRefused as refused:
        return _pack([int(refused.failure.code), refused.failure.text])
    except CallFault as fault:
        return _pack([int(fault.fate.grpc), fault.fate.http, str(fault)])
    return _pack(content)


def main() -> None:
    """Answers until there are no more bodies."""
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    while head := source.read(HEAD.size):
        serve(source, sink, *HEAD.unpack(head))


def serve(source: BinaryIO, sink: BinaryIO, kind: int, length: int, json_bytes: int) -> None:
    """One body and its answer. A function of its own, so that both are let go before the next one comes."""
    reply = answer(kind, source.read(length), json_bytes)
    sink.write(LENGTH.pack(len(reply)))
    sink.write(reply)
    sink.flush()


def _inference(body: bytes, json_bytes: int) -> list[object]:
    """An InferRequest without what the URL says; its fields in their order."""
    asked = read_request("", "", body, json_bytes)
    inputs = [(tensor.name, tensor.datatype, tensor.shape, tensor.data, tensor.parameters) for tensor in asked.inputs]
    outputs = [(output.name, output.parameters) for output in asked.outputs]
    return [asked.id, asked.parameters, inputs, outputs]


def _pack(content: object) -> bytes:
    return bytes(msgpack.packb(content, unicode_errors="surrogatepass"))


if __name__ == "__main__":
    main()
