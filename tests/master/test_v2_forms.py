"""Inferences that are read and answered by their form: the same comes out as by protobuf, whatever is sent."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mindspore_serving.cluster.errors import Code, Failure
from mindspore_serving.cluster.messages import BatchDone, MethodSpec, RunBatch
from mindspore_serving.cluster.tensors import ITEM_BYTES, Stacked
from mindspore_serving.master.client_memory import ClientMemory
from mindspore_serving.master.message_forms import Forms
from mindspore_serving.master.service_table import CallInfo, RpcFault, Status, Unary
from mindspore_serving.master.v2_forms import InferForm, infer_form
from mindspore_serving.master.v2_grpc import SERVICE, v2_service
from mindspore_serving.master.v2_messages import read_request
from mindspore_serving.master.v2_types import DTYPES
from mindspore_serving.proto import open_inference_pb2 as pb
from tests.fuzz.echo_desk import EchoDesk
from tests.master.posix_memory import PosixMemory, sharing
from tests.master.v2_client import set_parameters

METHODS = (MethodSpec("m", ("a", "b"), ("y", "z"), 4), MethodSpec("other", ("b",), ("y",), 4))
TYPED = ["FP32", "FP32", "FP64", "INT32"]
FAILING = 7  # the first byte of an instance that fails
many = settings(max_examples=150)


def respond(batch: RunBatch) -> BatchDone:
    """The inputs, but for failing instances."""
    first = batch.columns[0]
    failures = {}
    if isinstance(first, Stacked) and len(first.data):
        step = len(first.data) // batch.count
        failing = [index for index in range(batch.count) if first.data[index * step] == FAILING]
        failures = {index: Failure(Code.FAILED, "seven") for index in failing}
    good = [column_without(column, failures) for column in batch.columns if isinstance(column, Stacked)]
    return BatchDone(batch.batch_id, tuple(good), failures)


def column_without(column: Stacked, failures: dict[int, Failure]) -> Stacked:
    count = column.shape[0]
    step = len(column.data) // count
    rows = [bytes(column.data[index * step : (index + 1) * step]) for index in range(count) if index not in failures]
    return Stacked(column.dtype, (len(rows), *column.shape[1:]), b"".join(rows))


@pytest.fixture(scope="module")
def desk() -> Iterator[EchoDesk]:
    """Its worker answers with the inputs."""
    opened = EchoDesk(METHODS, respond)
    yield opened
    opened.close()


class Lent(NamedTuple):
    """A client's memory, of which the region 'r' is all."""

    memory: ClientMemory
    shm: PosixMemory


@pytest.fixture(scope="module")
def lent() -> Iterator[Lent]:
    memory = sharing()
    with PosixMemory(256) as shm:
        memory.register("r", shm.key, 0, 256)
        yield Lent(memory, shm)


class Service:
    """ModelInfer with forms of its own."""

    def __init__(self, desk: EchoDesk, lent: Lent) -> None:
        method = v2_service(desk.desk, lent.memory)[SERVICE]["ModelInfer"]
        assert isinstance(method, Unary)
        self._handler = method.handler
        self._desk = desk
        self._shm = lent.shm

    def ask(self, message: bytes, byte: int = 1) -> tuple[object, bytes]:
        """The response, or why there is none, and what is in the memory then: before, it is filled with this byte."""
        self._shm.buffer[:] = bytes([byte]) * 256
        return self._ask(message), bytes(self._shm.buffer)

    def _ask(self, message: bytes) -> object:
        try:
            answer = self._desk.run(self._handler(message, CallInfo()))
        except RpcFault as fault:
            return fault.status, str(fault)
        response = pb.ModelInferResponse.FromString(answer)
        if not any(output.parameters for output in response.outputs):  # those stand in any order
            assert answer == response.SerializeToString()  # to the byte: some callers compare those of equal requests
        return response


def fill(tensor: pb.ModelInferRequest.InferInputTensor, values: list[float]) -> None:
    """Typed values."""
    if tensor.datatype == "FP32":
        tensor.contents.fp32_contents[:] = values
    elif tensor.datatype == "FP64":
        tensor.contents.fp64_contents[:] = values
    else:
        tensor.contents.int_contents[:] = [int(value) for value in values]


@st.composite
def requests(draw: st.DrawFn) -> pb.ModelInferRequest:
    """Of raw or typed tensors, some of them wrong."""
    is_typed = draw(st.booleans())
    name = draw(st.sampled_from(["s", "s.m", "s.other", "s", "none"]))
    request = pb.ModelInferRequest(model_name=name, model_version=draw(st.sampled_from(["", "1", "", "2"])))
    request.id = draw(st.sampled_from(["", "ab", "ü"]))
    if draw(st.booleans()):
        request.parameters["mine"].int64_param = draw(st.integers(0, 3))
    if draw(st.integers(0, 4)) == 0:
        request.parameters["batched"].bool_param = draw(st.booleans())
    if draw(st.integers(0, 4)) == 0:
        request.parameters["timeout"].int64_param = draw(st.sampled_from([-1, 0, 10**9]))
    count = draw(st.integers(1, 3))
    for tensor in draw(st.permutations(["a", "b"]))[: draw(st.sampled_from([2, 2, 2, 1]))]:
        datatype = draw(st.sampled_from(TYPED if is_typed else [*DTYPES, "FP32", "INT8"]))
        shape = [count, *draw(st.lists(st.integers(0, 2), max_size=2))]
        item = request.inputs.add(name=tensor, datatype=datatype, shape=shape)
        length = math.prod(shape) + draw(st.sampled_from([0] * 9 + [1]))
        if draw(st.integers(0, 3)) == 0:
            set_parameters(item.parameters, draw(places(length * ITEM_BYTES[DTYPES[datatype]])))
        elif is_typed:
            fill(item, draw(st.lists(st.integers(-9, 9).map(float), min_size=length, max_size=length)))
        else:
            size = length * ITEM_BYTES[DTYPES[datatype]]
            request.raw_input_contents.append(draw(st.binary(min_size=size, max_size=size)))
    for output in draw(st.sampled_from([[], [], ["z"], ["z", "y"], ["w"]])):
        asked = request.outputs.add(name=output)
        if draw(st.integers(0, 2)) == 0:
            set_parameters(asked.parameters, draw(places(draw(st.integers(0, 40)))))
    return request


def places(nbytes: int) -> st.SearchStrategy[dict[str, int | str]]:
    """Parameters of a tensor of so many bytes in memory."""
    return st.fixed_dictionaries(
        {
            "shared_memory_region": st.sampled_from(["r"] * 9 + ["s"]),
            "shared_memory_byte_size": st.sampled_from([nbytes] * 9 + [nbytes + 1]),
        },
        optional={"shared_memory_offset": st.integers(0, 250)},
    )


def refilled(request: pb.ModelInferRequest, byte: int) -> bytes:
    """A message of the same form."""
    other = pb.ModelInferRequest()
    other.CopyFrom(request)
    other.id = request.id[::-1]
    other.ClearField("raw_input_contents")
    other.raw_input_contents.extend(bytes([byte]) * len(data) for data in request.raw_input_contents)
    for tensor in other.inputs:
        if tensor.HasField("contents"):
            fill(tensor, [float(byte)] * math.prod(tensor.shape))
    return other.SerializeToString()


@many
@given(requests(), st.data())
def test_whoever_asks_again_gets_the_answer_of_the_first_time(
    desk: EchoDesk, lent: Lent, request: pb.ModelInferRequest, data: st.DataObject
) -> None:
    service = Service(desk, lent)
    message = request.SerializeToString()
    first = service.ask(message)
    assert service.ask(message) == first  # its form is learnt here
    assert service.ask(message) == first
    for byte in (0, 1, FAILING):
        again = refilled(request, byte)
        assert service.ask(again, byte) == Service(desk, lent).ask(again, byte)
    other = bytearray(message)
    for _ in range(data.draw(st.integers(1, 3))):
        other[data.draw(st.integers(0, len(other) - 1))] = data.draw(st.integers(0, 255))
    assert service.ask(bytes(other)) == Service(desk, lent).ask(bytes(other))


def raw_request(size: int = 4, datatype: str = "UINT8") -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name="s.other", id="one")
    request.inputs.add(name="b", datatype=datatype, shape=[1, size])
    request.raw_input_contents.append(bytes(size))
    return request


def learnt(request: pb.ModelInferRequest) -> Forms[InferForm]:
    """Forms that have met this request as often as it takes."""
    forms: Forms[InferForm] = Forms()
    message = request.SerializeToString()
    for _ in range(2):
        assert forms.find(message) is None
        forms.learn(message, lambda: infer_form(message, *read_request(request, len(message))))
    return forms


def test_the_third_of_a_form_is_not_read_by_protobuf(desk: EchoDesk) -> None:
    message = raw_request().SerializeToString()
    found = learnt(raw_request()).find(message.replace(b"one", b"two"))
    assert found is not None
    form, pieces = found
    assert pieces == (b"two", bytes(4))
    answer = form.infer(desk.desk, ClientMemory(), pieces, len(message), None)
    assert answer is not None
    assert pb.ModelInferResponse.FromString(desk.run(answer)).id == "two"


def test_an_id_that_is_no_text_is_refused_in_a_form_too(desk: EchoDesk, lent: Lent) -> None:
    service = Service(desk, lent)
    message = raw_request().SerializeToString()
    for _ in range(2):
        service.ask(message)
    broken = message.replace(b"one", b"\xff\xfe\xfd")
    assert service.ask(broken)[0] == (Status.INVALID_ARGUMENT, "the request is no inference.ModelInferRequest")


def test_values_that_are_looked_at_have_no_form() -> None:
    for datatype in ("BOOL", "BYTES"):
        request = raw_request(1, datatype)
        request.raw_input_contents[0] = bytes(1 if datatype == "BOOL" else 4)
        assert learnt(request).find(request.SerializeToString()) is None


def test_tensors_in_memory_have_a_form_too(desk: EchoDesk, lent: Lent) -> None:
    request = raw_request()
    request.ClearField("raw_input_contents")
    for tensor, offset in ((request.inputs[0], 0), (request.outputs.add(name="y"), 100)):
        set_parameters(tensor.parameters, {"shared_memory_region": "r", "shared_memory_byte_size": 4})
        set_parameters(tensor.parameters, {"shared_memory_offset": offset})
    found = learnt(request).find(request.SerializeToString().replace(b"one", b"two"))
    assert found is not None
    form, pieces = found
    assert pieces == (b"two",)
    for data in (b"abcd", b"efgh"):
        lent.shm.buffer[:4] = data
        answer = form.infer(desk.desk, lent.memory, pieces, 100, None)
        assert answer is not None
        response = pb.ModelInferResponse.FromString(desk.run(answer))
        assert (response.id, list(response.raw_output_contents)) == ("two", [b""])
        assert bytes(lent.shm.buffer[100:104]) == data
    request.inputs[0].datatype = "BOOL"
    assert learnt(request).find(request.SerializeToString()) is None


def test_large_tensors_are_views_of_the_message() -> None:
    request = raw_request(100_000)
    message = request.SerializeToString()
    found = learnt(request).find(message)
    assert found is not None
    view = found[1][1]
    assert isinstance(view, memoryview) and view.obj is message


def typed_request(datatype: str, values: list[float]) -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name="s.other", id="one")
    fill(request.inputs.add(name="b", datatype=datatype, shape=[1, len(values)]), values)
    return request


@pytest.mark.parametrize("datatype", ["FP32", "FP64"])
def test_typed_numbers_of_a_fixed_size_have_a_form_and_typed_answers(desk: EchoDesk, datatype: str) -> None:
    forms = learnt(typed_request(datatype, [1.0, 2.0]))
    for values in ([3.5, float("inf")], [0.0, -0.0]):
        message = typed_request(datatype, values).SerializeToString()
        found = forms.find(message)
        assert found is not None
        form, pieces = found
        answer = form.infer(desk.desk, ClientMemory(), pieces, len(message), None)
        assert answer is not None
        (output,) = pb.ModelInferResponse.FromString(desk.run(answer)).outputs
        contents = output.contents
        assert list(contents.fp32_contents if datatype == "FP32" else contents.fp64_contents) == values


def test_typed_numbers_of_other_sizes_none_and_unpacked_ones_have_no_form() -> None:
    for request in (typed_request("INT32", [1.0]), typed_request("FP32", [])):
        assert learnt(request).find(request.SerializeToString()) is None
    request = typed_request("FP32", [1.0])
    request.inputs[0].contents.Clear()
    unpacked = b"\x35\x00\x00\x80\x3f"  # field 6, 4 bytes: 1.0
    contents = b"\x2a" + bytes([len(unpacked)]) + unpacked
    tensor = request.inputs[0].SerializeToString().removesuffix(b"\x2a\x00") + contents
    del request.inputs[:]
    message = request.SerializeToString() + b"\x2a" + bytes([len(tensor)]) + tensor
    read = pb.ModelInferRequest.FromString(message)
    assert list(read.inputs[0].contents.fp32_contents) == [1.0]
    assert infer_form(message, *read_request(read, len(message))) is None
