"""Replies that are written by their form are those that protobuf writes."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from mindspore_serving.cluster.dispatch_events import Answer
from mindspore_serving.cluster.errors import Code, Failure
from mindspore_serving.cluster.results import Results
from mindspore_serving.cluster.tensors import ITEM_BYTES, Column, Stacked, from_column
from mindspore_serving.master.reply_forms import Replies
from mindspore_serving.master.wire_tensors import to_wire
from mindspore_serving.proto import ms_service_pb2 as pb

SPEC = pb.ServableSpec(name="s", method_name="m", version_number=3)
SPEC_BYTES = pb.PredictReply(servable_spec=SPEC).SerializeToString()
BAD = Failure(Code.SYSTEM_ERROR, "bad")


@st.composite
def columns(draw: st.DrawFn, count: int) -> tuple[Column, ...]:
    found: list[Column] = []
    for _ in range(draw(st.integers(0, 3))):
        if draw(st.integers(0, 4)) == 0:
            found.append(tuple(draw(st.lists(st.text(max_size=3), min_size=count, max_size=count))))
            continue
        dtype = draw(st.sampled_from(sorted(ITEM_BYTES)))
        shape = (count, *draw(st.lists(st.integers(0, 3), max_size=2)))
        size = math.prod(shape) * ITEM_BYTES[dtype]
        found.append(Stacked(dtype, shape, draw(st.binary(min_size=size, max_size=size))))
    return tuple(found)


def by_protobuf(answer: Answer) -> pb.PredictReply:
    assert isinstance(answer.results, Results)
    reply = pb.PredictReply(servable_spec=SPEC)
    rows = [from_column(column) for column in answer.results.columns]
    for index in range(answer.results.count):
        instance = reply.instances.add()
        for name, row in zip(answer.outputs, rows, strict=True):
            to_wire(row[index], instance.items[name])
    return reply


@settings(max_examples=200)
@given(st.data())
def test_a_reply_is_the_same_however_it_is_written(data: st.DataObject) -> None:
    replies = Replies()
    count = data.draw(st.integers(1, 4))
    for _ in range(2):  # the second one finds the form of the first, if it is of the same kind
        values = data.draw(columns(count))
        answer = Answer(1, ("y", "ü", "zz")[: len(values)], Results(count, values), 1)
        reply = pb.PredictReply.FromString(replies.write(SPEC_BYTES, True, answer))
        assert reply == by_protobuf(answer)


def test_a_form_is_used_again_for_other_values() -> None:
    replies = Replies()
    for value in (b"ab", b"cd", b"ef"):
        answer = Answer(1, ("y",), Results(2, (Stacked("|u1", (2,), value),)), 1)
        reply = pb.PredictReply.FromString(replies.write(SPEC_BYTES, True, answer))
        assert [instance.items["y"].data for instance in reply.instances] == [value[:1], value[1:]]
    assert replies._form.cache_info().hits == 2


def test_failures_stand_in_their_slots_and_collapse_where_they_are_alike() -> None:
    replies = Replies()
    some = Answer(1, ("y",), Results(3, (Stacked("|u1", (2,), b"ac"),), {1: BAD}), 1)
    reply = pb.PredictReply.FromString(replies.write(SPEC_BYTES, True, some))
    assert [error.error_code for error in reply.error_msg] == [0, Code.SYSTEM_ERROR, 0]
    assert [instance.items["y"].data for instance in reply.instances if instance.items] == [b"a", b"c"]
    assert len(reply.instances) == 3 and reply.servable_spec == SPEC
    everyone = Answer(1, ("y",), Results(2, (), {0: BAD, 1: BAD}), 1)
    reply = pb.PredictReply.FromString(replies.write(SPEC_BYTES, True, everyone))
    assert len(reply.error_msg) == 1 and not reply.instances  # as 2.x answers
    reply = pb.PredictReply.FromString(replies.write(SPEC_BYTES, False, everyone))
    assert len(reply.error_msg) == 2 and len(reply.instances) == 2  # as 1.2 did
    whole = Answer(1, ("y",), BAD, 1)
    reply = pb.PredictReply.FromString(replies.write(SPEC_BYTES, True, whole))
    assert reply.error_msg[0].error_msg == b"bad" and reply.servable_spec == SPEC
