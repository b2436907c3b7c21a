"""The parsers of the Open Inference Protocol, whatever they are given: a request or a refusal, in little space."""

import asyncio
import json
import math
import tracemalloc
import zlib
from typing import Any

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mindspore_serving.master.error_status import CallFault
from mindspore_serving.master.rest_body import Room, unpack
from mindspore_serving.master.v2_json import FEW, read_request, write_response
from mindspore_serving.master.v2_messages import read_request as read_message
from mindspore_serving.master.v2_types import BYTES, DTYPES, InferRequest, InferResponse, V2Tensor, raw_form, raw_tensor
from mindspore_serving.proto import open_inference_pb2 as pb

many = settings(max_examples=200)
SIZES = st.integers(-1, 3) | st.sampled_from([2**31, 2**62, 2**63, 10**30])
DATATYPES = st.sampled_from([*DTYPES, BYTES, "BF16", "", "int8"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
BITS = st.sampled_from([7, 8, 15, 16, 31, 32, 63])
# Near the ends of each type, too.
NUMBERS = (
    st.integers(-(2**63), 2**64 - 1)
    | st.integers(-300, 300)
    | st.sampled_from(
        [sign * 2**bits + more for bits in (7, 8, 15, 16, 31, 32, 63) for sign in (1, -1) for more in (-1, 0, 1)]
    )
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.floats(-70000, 70000)
    | st.sampled_from([65504.0, 65519.9, 65520.0, 3.4028235e38, 3.4028236e38, 1e-46, 5e-324])
    | st.booleans()
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)
INPUTS = st.fixed_dictionaries(
    {"name": st.text(max_size=3) | JSON, "datatype": DATATYPES | JSON, "shape": st.lists(SIZES, max_size=4) | JSON},
    optional={
        "data": JSON,
        "parameters": st.dictionaries(st.sampled_from(["binary_data_size", "content_type"]), SCALARS, max_size=2)
        | JSON,
    },
)
REQUESTS = st.fixed_dictionaries(
    {"inputs": st.lists(INPUTS, max_size=3) | JSON}, optional={"outputs": JSON, "parameters": JSON, "id": JSON}
)


def parsed(body: bytes, json_bytes: int | None) -> InferRequest | None:
    """The request, or None when it is refused; nothing else may happen."""
    try:
        return read_request("m", "", body, json_bytes)
    except CallFault as fault:
        text = str(fault)
    assert text and "\n" not in text and len(text) < 1000
    return None


@many
@given(REQUESTS, st.binary(max_size=30))
def test_any_document_is_a_request_or_refused(document: Any, blob: bytes) -> None:
    text = json.dumps(document).encode()
    parsed(text + blob, len(text))
    parsed(text, None)


@many
@given(st.binary(max_size=60), st.none() | st.integers(0, 70))
@example(b"[" * 60, None)
@example(b'{"inputs":' * 6, None)
def test_any_bytes_are_a_request_or_refused(body: bytes, json_bytes: int | None) -> None:
    parsed(body, json_bytes)


@many
@given(DATATYPES, st.lists(SIZES, max_size=5), st.binary(max_size=40))
def test_any_raw_tensor_is_read_or_refused(datatype: str, shape: list[int], data: bytes) -> None:
    try:
        tensor = raw_tensor("x", datatype, tuple(shape), data, {})
    except CallFault:
        return
    assert bytes(raw_form(tensor)) == data


@many
@given(st.binary(max_size=100))
def test_any_message_is_a_request_or_refused(body: bytes) -> None:
    request = pb.ModelInferRequest()
    try:
        request.MergeFromString(body)
        read_message(request, len(body))
    except (CallFault, DecodeError):
        return


@many
@given(st.data())
def test_any_tensor_comes_back_through_json_and_binary(data: st.DataObject) -> None:
    datatype = data.draw(st.sampled_from([*DTYPES, BYTES]))
    shape = tuple(data.draw(st.lists(st.integers(0, 3), max_size=4)))
    count = math.prod(shape)
    if datatype == BYTES:
        texts = data.draw(st.lists(st.text(max_size=4), min_size=count, max_size=count))
        given_tensor = V2Tensor("x", BYTES, shape, [text.encode() for text in texts])
    else:
        integers = st.integers(0, 1) if datatype == "BOOL" else st.integers(0, 100)
        numbers = data.draw(st.lists(integers, min_size=count, max_size=count))
        given_tensor = V2Tensor("x", datatype, shape, np.array(numbers, DTYPES[datatype]).tobytes())
    for is_binary in (False, True):
        asked = InferRequest("m", "", "", {"binary_data_output": is_binary}, (), (), 0)
        body, json_bytes = write_response(asked, InferResponse("m", "1", "", {}, (given_tensor,)))
        document = json.loads(body[:json_bytes])
        request = json.dumps({"inputs": document["outputs"]}).encode()
        blob = body[json_bytes:] if json_bytes is not None else b""
        back = parsed(request + blob, len(request))
        assert back is not None
        assert bytes(raw_form(back.inputs[0])) == bytes(raw_form(given_tensor))
        assert back.inputs[0].shape == shape


@settings(max_examples=500)
@given(st.sampled_from([*DTYPES]), st.lists(NUMBERS, min_size=1, max_size=8))
def test_few_values_are_read_as_many_are(datatype: str, values: list[Any]) -> None:
    def read(times: int) -> bytes | str:
        tensor = {"name": "x", "datatype": datatype, "shape": [len(values) * times], "data": values * times}
        try:
            return bytes(read_request("m", "", json.dumps({"inputs": [tensor]}).encode(), None).inputs[0].raw)
        except CallFault as fault:
            return str(fault)

    few, many = read(1), read(FEW + 1)
    assert many == (few * (FEW + 1) if isinstance(few, bytes) else few)


def test_an_output_may_lie_at_any_byte() -> None:
    raw = memoryview(b"\0" + np.arange(3, dtype="<f8").tobytes())[1:]
    request = InferRequest("m", "", "", {}, [], [], 0)
    answer = InferResponse("m", "1", "", {}, [V2Tensor("y", "FP64", (3,), raw)])
    body, _ = write_response(request, answer)
    assert json.loads(body)["outputs"][0]["data"] == [0.0, 1.0, 2.0]


def test_giant_shapes_deep_json_and_bombs_take_little_space() -> None:
    bomb = zlib.compress(bytes(100 << 20))
    tracemalloc.start()
    for shape in ([10**12, 0], [2**62, 2**62], [1 << 40], [3, 1 << 50]):
        for datatype in ("UINT8", "FP64", BYTES):
            item: dict[str, Any] = {"name": "x", "datatype": datatype, "shape": shape}
            parsed(json.dumps({"inputs": [{**item, "data": []}]}).encode(), None)
            text = json.dumps({"inputs": [{**item, "parameters": {"binary_data_size": 8}}]}).encode()
            parsed(text + bytes(8), len(text))
    parsed(b'{"inputs":' + b"[" * 500_000, None)
    parsed(b'{"inputs":[{"name":"x","shape":[1],"datatype":"INT8","data":' + b"[" * 1000 + b"]" * 1000 + b"}]}", None)
    with Room(1 << 20).place() as place, pytest.raises(CallFault, match="bigger than 1048576 bytes"):
        asyncio.run(unpack(bomb, "deflate", place))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20 << 20
