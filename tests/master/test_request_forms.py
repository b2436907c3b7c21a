"""Requests that are read by their form: the same comes out as by protobuf, or nothing."""

import math

from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from mindspore_serving.cluster.messages import MethodSpec
from mindspore_serving.cluster.tensors import ITEM_BYTES, Column, from_column, to_columns
from mindspore_serving.master.message_forms import Forms
from mindspore_serving.master.request_forms import RequestForm, request_form
from mindspore_serving.master.wire_spans import data_spans
from mindspore_serving.master.wire_tensors import DTYPES, from_wire
from mindspore_serving.proto import ms_service_pb2 as pb

NUMBERS = {dtype: number for number, dtype in DTYPES.items()}
NAMES = ("a", "bb", "ü")
many = settings(max_examples=150)


def tensor(dtype: str, shape: tuple[int, ...], data: bytes) -> pb.Tensor:
    return pb.Tensor(dtype=NUMBERS[dtype], shape=pb.TensorShape(dims=shape), data=data)  # type: ignore[arg-type]


@st.composite
def requests(draw: st.DrawFn) -> pb.PredictRequest:
    """Of instances that are alike in names, types and shapes, as clients send them."""
    request = pb.PredictRequest()
    request.servable_spec.name = draw(st.sampled_from(["s", "other"]))
    request.servable_spec.method_name = "m"
    request.servable_spec.version_number = draw(st.sampled_from([0, 1, 300]))
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
    kinds = {
        name: (draw(st.sampled_from(sorted(ITEM_BYTES))), tuple(draw(st.lists(st.integers(1, 3), max_size=3))))
        for name in names
    }
    field = draw(st.sampled_from([request.instances, request.instances_of_1_2]))
    for _ in range(draw(st.integers(1, 4))):
        instance = field.add()
        for name, (dtype, shape) in kinds.items():
            size = math.prod(shape) * ITEM_BYTES[dtype]
            instance.items[name].CopyFrom(tensor(dtype, shape, draw(st.binary(min_size=size, max_size=size))))
    return request


def by_protobuf(request: pb.PredictRequest, method: MethodSpec) -> tuple[Column, ...]:
    instances = request.instances or request.instances_of_1_2
    return to_columns([tuple(from_wire(i.items[name]) for name in method.inputs) for i in instances])


def learnt(message: bytes) -> Forms[RequestForm]:
    """Forms that have met this message as often as it takes."""
    forms: Forms[RequestForm] = Forms()
    for _ in range(2):
        assert forms.find(message) is None
        forms.learn(message, lambda: request_form(message, pb.PredictRequest.FromString(message)))
    return forms


@many
@given(requests())
def test_a_form_reads_what_protobuf_reads(request: pb.PredictRequest) -> None:
    message = request.SerializeToString()
    names = tuple(sorted((request.instances or request.instances_of_1_2)[0].items))
    for inputs in (names, names[::-1], names[:1]):
        method = MethodSpec("m", inputs, ("y",), 4)
        found = learnt(message).find(message)
        assert found is not None
        form, pieces = found
        spec = request.servable_spec
        assert (form.servable, form.version, form.method) == (spec.name, spec.version_number, "m")
        assert form.count == len(request.instances) + len(request.instances_of_1_2)
        assert form.collapses == bool(request.instances)
        assert form.columns(method, pieces) == by_protobuf(request, method)
        assert pb.PredictReply.FromString(form.spec).servable_spec == spec


@many
@given(requests(), st.data())
def test_a_message_that_differs_is_read_rightly_or_not_at_all(request: pb.PredictRequest, data: st.DataObject) -> None:
    message = request.SerializeToString()
    forms = learnt(message)
    names = tuple(sorted((request.instances or request.instances_of_1_2)[0].items))
    method = MethodSpec("m", names, ("y",), 4)
    other = bytearray(message)
    for _ in range(data.draw(st.integers(1, 3))):
        other[data.draw(st.integers(0, len(other) - 1))] = data.draw(st.integers(0, 255))
    found = forms.find(bytes(other))
    try:
        parsed = pb.PredictRequest.FromString(bytes(other))
    except DecodeError:
        assert found is None
        return
    if found is not None:
        form, pieces = found
        assert parsed.servable_spec == request.servable_spec
        assert form.columns(method, pieces) == by_protobuf(parsed, method)


def test_large_tensors_are_views_of_the_message() -> None:
    request = pb.PredictRequest(servable_spec=pb.ServableSpec(name="s", method_name="m"))
    request.instances.add().items["x"].CopyFrom(tensor("|u1", (100_000,), bytes(range(250)) * 400))
    message = request.SerializeToString()
    found = learnt(message).find(message)
    assert found is not None
    columns = found[0].columns(MethodSpec("m", ("x",), ("y",), 4), found[1])
    assert columns is not None
    (value,) = from_column(columns[0])
    assert isinstance(value, tuple) and isinstance(value.data, memoryview) and value.data.obj is message
    assert value.data == bytes(range(250)) * 400


def test_an_input_that_is_missing_or_differs_is_left_to_protobuf() -> None:
    request = pb.PredictRequest(servable_spec=pb.ServableSpec(name="s", method_name="m"))
    for shape in ((2,), (1, 2)):
        request.instances.add().items["x"].CopyFrom(tensor("|u1", shape, b"ab"))
    message = request.SerializeToString()
    found = learnt(message).find(message)
    assert found is not None
    form, pieces = found
    assert form.columns(MethodSpec("m", ("x",), ("y",), 4), pieces) is None
    assert form.columns(MethodSpec("m", ("z",), ("y",), 4), pieces) is None


def test_what_breaks_the_rules_or_is_no_number_never_becomes_a_form() -> None:
    wrong = pb.Tensor(dtype=pb.MS_FLOAT32, shape=pb.TensorShape(dims=[2]), data=b"abc")
    text = pb.Tensor(dtype=pb.MS_STRING, bytes_val=[b"t"])
    both = tensor("|u1", (1,), b"a")
    both.bytes_val.append(b"t")
    for value in (wrong, text, both, pb.Tensor()):
        request = pb.PredictRequest(servable_spec=pb.ServableSpec(name="s", method_name="m"))
        request.instances.add().items["x"].CopyFrom(value)
        message = request.SerializeToString()
        assert learnt(message).find(message) is None
    mixed = pb.PredictRequest()
    mixed.instances.add().items["x"].CopyFrom(tensor("|u1", (1,), b"a"))
    mixed.instances_of_1_2.add().items["x"].CopyFrom(tensor("|u1", (1,), b"b"))
    assert learnt(mixed.SerializeToString()).find(mixed.SerializeToString()) is None


def test_the_number_of_forms_is_bounded_and_those_in_use_stay() -> None:
    forms: Forms[RequestForm] = Forms()

    def meet(size: int, name: str = "s") -> bool:
        request = pb.PredictRequest(servable_spec=pb.ServableSpec(name=name, method_name="m"))
        request.instances.add().items["x"].CopyFrom(tensor("|u1", (size,), bytes(size)))
        message = request.SerializeToString()
        if forms.find(message) is not None:
            return True
        forms.learn(message, lambda: request_form(message, request))
        return False

    meet(1)
    meet(1)
    for size in range(2, 300):
        assert meet(1)
        meet(size)
        meet(size)
    assert len(forms._lengths) <= 64
    for name in "abcdefghij" * 40:  # ten forms of one length take turns
        meet(1, name)
    assert max(len(length.forms) for length in forms._lengths.values()) == 4


def test_a_form_keeps_little_beside_the_tensors() -> None:
    """A client could have the master remember 25 GB of names."""
    for size, is_kept in ((60 << 10, True), (70 << 10, False)):
        request = pb.PredictRequest(servable_spec=pb.ServableSpec(name="s", method_name="m" * size))
        request.instances.add().items["x"].CopyFrom(tensor("|u1", (1 << 20,), bytes(1 << 20)))
        message = request.SerializeToString()
        assert (learnt(message).find(message) is not None) == is_kept


def test_spans_are_told_of_usual_messages_only() -> None:
    request = pb.PredictRequest(servable_spec=pb.ServableSpec(name="s", method_name="m"))
    request.instances.add().items["x"].CopyFrom(tensor("|u1", (3,), b"abc"))
    message = request.SerializeToString()
    spans = data_spans(message, 2, 3)
    assert spans is not None and [message[span.start : span.stop] for span in spans] == [b"abc"]
    assert data_spans(message, 7) is None  # no such field is an instance's
    assert data_spans(b"", 2) is None
    for stop in range(1, len(message)):  # cut off anywhere
        cut = data_spans(message[:stop], 2, 3)
        assert cut is None
    request.instances.add()
    assert data_spans(request.SerializeToString(), 2, 3) is None  # an instance without a span would be lost
    assert data_spans(message + message, 2, 3) is None  # two specs, which protobuf would merge
    assert data_spans(message + b"\x20\x01", 2, 3) is None  # a field that nobody knows
