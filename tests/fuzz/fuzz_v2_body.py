"""Target: an HTTP body of the Open Inference Protocol, from JSON and binary tensors to a worker and back.

The first two bytes say how much of it is JSON (65535: all). Only a CallFault may come instead of a reply. The worker
echoes, so that a reply has the request's values.
"""

import json
import math
from typing import Any

import msgpack

from mindspore_serving.master.client_memory import ClientMemory
from mindspore_serving.master.error_status import INTERNAL, CallFault
from mindspore_serving.master.json_child import Kind, answer
from mindspore_serving.master.v2_infer import infer
from mindspore_serving.master.v2_json import read_request, write_response
from mindspore_serving.master.v2_types import BYTES, InferRequest, raw_form, raw_tensor
from tests.fuzz.echo_desk import EchoDesk

_desk: list[EchoDesk] = []
_ALL = 0xFFFF


def _seed(text: bytes, blobs: bytes | None = None) -> bytes:
    length = _ALL if blobs is None else len(text)
    return length.to_bytes(2, "little") + text + (blobs or b"")


def _x(rest: bytes) -> bytes:
    return b'{"inputs": [{"name": "x", ' + rest + b"}]}"


SEEDS = [
    _seed(_x(b'"datatype": "FP32", "shape": [2, 2], "data": [[1, 2.5], [3e38, -0.0]]')),
    _seed(_x(b'"datatype": "UINT64", "shape": [1], "data": [18446744073709551615]')),
    _seed(_x(b'"datatype": "BYTES", "shape": [2], "data": ["\\u00fc", ""], "parameters": {"content_type": "str"}')),
    _seed(_x(b'"datatype": "BOOL", "shape": [1, 1], "parameters": {"binary_data_size": 1}'), b"\1"),
    _seed(_x(b'"datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 6}'), b"\2\0\0\0\xff\0"),
    _seed(_x(b'"datatype": "FP16", "shape": [4194304, 0], "data": []')),
    _seed(_x(b'"datatype": "INT8", "shape": [4611686018427387904, 4], "parameters": {"binary_data_size": 0}'), b""),
    _seed(_x(b'"datatype": "FP64", "shape": [1], "parameters": {"binary_data_size": 8}'), b"\0\0\0\0\0\0\xf8\x7f"),
    _seed(
        b'{"id": "7", "parameters": {"batched": false, "binary_data_output": true, "mine": 1e300, "timeout": 1000000}, '
        b'"outputs": [{"name": "y", "parameters": {"binary_data": false, "classification": 0}}], '
        b'"inputs": [{"name": "x", "datatype": "INT16", "shape": [], "data": [7]}]}'
    ),
    _seed(b'{"inputs": ' + b"[" * 40 + b"1" + b"]" * 40 + b"}"),
]


def run(data: bytes) -> None:
    """Reads the body, here and as the process for large ones does, and answers it."""
    if not _desk:
        _desk.append(EchoDesk())
    length, body = int.from_bytes(data[:2], "little"), data[2:]
    json_bytes = None if length == _ALL else length
    packed = msgpack.unpackb(answer(Kind.INFERENCE, body, len(body) if json_bytes is None else length))
    try:
        request = read_request("s", "", body, json_bytes)
    except CallFault as fault:
        _check_fault(fault, packed)
        return
    (content,) = packed
    assert [content[0], len(content[2]), len(content[3])] == [request.id, len(request.inputs), len(request.outputs)]
    try:
        _check(request, *_desk[0].run(_answered(request)))
    except CallFault as fault:
        _check_fault(fault)


async def _answered(request: InferRequest) -> tuple[bytes, int | None]:
    return await infer(_desk[0].desk, ClientMemory(), request, None, lambda answer: write_response(request, answer))


def _check_fault(fault: CallFault, packed: list[Any] | None = None) -> None:
    text = str(fault)
    assert packed is None or packed == [fault.fate.grpc, fault.fate.http, text]
    assert fault.fate is not INTERNAL, text
    assert 0 < len(text) < 2000
    assert "\n" not in text


def _check(request: InferRequest, reply: bytes, json_bytes: int | None) -> None:
    document = json.loads(reply[:json_bytes])
    assert document.get("id", "") == request.id
    (given,), (back,) = request.inputs, document["outputs"]
    assert back["datatype"] == given.datatype
    if given.datatype != BYTES:
        assert tuple(back["shape"]) == given.shape
    if json_bytes is None:
        assert len(back["data"]) == math.prod(back["shape"])
        return
    assert back["parameters"]["binary_data_size"] == len(reply) - json_bytes
    sent = raw_tensor("y", given.datatype, tuple(back["shape"]), reply[json_bytes:], {})
    assert bytes(raw_form(sent)) == bytes(raw_form(given))


def close() -> None:
    """Lets the desk go."""
    while _desk:
        _desk.pop().close()
