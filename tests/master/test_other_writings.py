"""Requests that are written otherwise than protobuf writes them: who remembers forms answers as who has none."""

import random
from collections.abc import Callable, Iterator

import pytest
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from mindspore_serving.master.client_memory import ClientMemory
from mindspore_serving.master.message_fields import INFER, PREDICT, Nested
from mindspore_serving.master.ms_service import ms_service
from mindspore_serving.master.service_table import CallInfo, RpcFault, ServiceTable, Unary
from mindspore_serving.master.v2_grpc import v2_service
from mindspore_serving.master.wire_spans import LENGTH_DELIMITED, varint
from mindspore_serving.proto import ms_service_pb2, open_inference_pb2
from tests.fuzz.echo_desk import EchoDesk
from tests.master.test_request_forms import requests as predict_requests
from tests.master.test_v2_forms import METHODS, respond
from tests.master.test_v2_forms import requests as infer_requests

ODD = 0.08  # the share of fields with which something is done
NO_NAN = 127  # bytes below make none of a number: its payload may get lost in protobuf's reading
many = settings(max_examples=150)


@pytest.fixture(scope="module")
def desk() -> Iterator[EchoDesk]:
    opened = EchoDesk(METHODS, respond)
    yield opened
    opened.close()


def number(value: int, chance: random.Random) -> bytes:
    """A varint, perhaps longer than it need be."""
    written = varint(value)
    return written if chance.random() > ODD else written[:-1] + bytes([written[-1] | 0x80, 0x80, 0])


def read_number(message: bytes, at: int) -> tuple[int, int]:
    end = at
    while message[end] & 0x80:
        end += 1
    digits = message[at : end + 1]
    return sum((digit & 0x7F) << 7 * place for place, digit in enumerate(digits)), end + 1


def written_otherwise(message: bytes, nested: Nested, chance: random.Random) -> bytes:
    """What says the same, or nearly: fields in another order, twice, in two pieces, or with longer numbers."""
    fields: list[bytes] = []
    at = 0
    while at < len(message):
        tag, at = read_number(message, at)
        value, start = read_number(message, at)
        if tag & 7 != LENGTH_DELIMITED:
            fields.append(number(tag, chance) + number(value, chance))
            at = start
            continue
        at = start + value
        content = message[start:at]
        inner = nested.get(tag >> 3)
        if inner is not None:
            content = written_otherwise(content, inner, chance)
        pieces = [content]
        if inner is not None and chance.random() < ODD:
            cut = chance.randrange(len(content) + 1)
            pieces = [content[:cut], content[cut:]]
        fields += [number(tag, chance) + number(len(piece), chance) + piece for piece in pieces]
    if fields and chance.random() < ODD:
        fields.insert(chance.randrange(len(fields)), chance.choice(fields))
    if chance.random() < ODD:
        chance.shuffle(fields)
    return b"".join(fields)


def outcome(desk: EchoDesk, table: ServiceTable, message: bytes, reply: type[Message]) -> object:
    ((method,),) = [[names[name] for name in ("Predict", "ModelInfer") if name in names] for names in table.values()]
    assert isinstance(method, Unary)
    handler = method.handler

    async def ask() -> bytes:
        return await handler(message, CallInfo())

    try:
        return reply.FromString(desk.run(ask())).SerializeToString(deterministic=True)
    except RpcFault as fault:
        return fault.status, str(fault)


def check(
    desk: EchoDesk,
    make: Callable[[], ServiceTable],
    written: tuple[bytes, Nested],
    reply: type[Message],
    chance: random.Random,
) -> None:
    message = written_otherwise(*written, chance)
    remembers = make()
    expected = outcome(desk, make(), message, reply)
    for _ in range(3):  # the second time a form is learnt
        assert outcome(desk, remembers, message, reply) == expected
    other = bytearray(message)
    for _ in range(chance.randrange(1, 3) if other else 0):
        other[chance.randrange(len(other))] = chance.choice((chance.randrange(NO_NAN), 0, 1, 2))
    assert outcome(desk, remembers, bytes(other), reply) == outcome(desk, make(), bytes(other), reply)


@many
@given(predict_requests(), st.randoms(use_true_random=False))
def test_predictions(desk: EchoDesk, request: ms_service_pb2.PredictRequest, chance: random.Random) -> None:
    for items in [instance.items for instance in (*request.instances, *request.instances_of_1_2)]:
        items["b"].CopyFrom(items["bb"] if "bb" in items else next(iter(items.values())))  # as METHODS have it
    nested: Nested = {1: {}, **PREDICT}
    check(
        desk,
        lambda: ms_service(desk.desk),
        (request.SerializeToString(), nested),
        ms_service_pb2.PredictReply,
        chance,
    )


@many
@given(infer_requests(), st.randoms(use_true_random=False))
def test_inferences(desk: EchoDesk, request: open_inference_pb2.ModelInferRequest, chance: random.Random) -> None:
    memory = ClientMemory()
    written = (request.SerializeToString(), INFER)
    check(desk, lambda: v2_service(desk.desk, memory), written, open_inference_pb2.ModelInferResponse, chance)
