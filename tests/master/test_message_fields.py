"""Messages of very many fields are refused before they are parsed; whatever a client may really send is not."""

from collections.abc import AsyncIterator

import pytest

from mindspore_serving.master.client_memory import ClientMemory
from mindspore_serving.master.message_fields import INFER, LARGE_BYTES, MOST_FIELDS, PREDICT, Nested, check_fields
from mindspore_serving.master.service_table import CallInfo, RpcFault, Status, Streaming, Unary
from mindspore_serving.master.services import services
from mindspore_serving.proto import ms_service_pb2 as ms
from mindspore_serving.proto import open_inference_pb2 as oip
from tests.fuzz.echo_desk import EchoDesk
from tests.master.rest_client import RestClient
from tests.master.running_master import RunningMaster

FLOODS = {
    "instances": (PREDICT, ms.PredictRequest(instances=[ms.Instance()])),
    "instances of 1.2": (PREDICT, ms.PredictRequest(instances_of_1_2=[ms.Instance()])),
    "inputs": (INFER, oip.ModelInferRequest(inputs=[oip.ModelInferRequest.InferInputTensor()])),
    "outputs": (INFER, oip.ModelInferRequest(outputs=[oip.ModelInferRequest.InferRequestedOutputTensor()])),
    "raw contents": (INFER, oip.ModelInferRequest(raw_input_contents=[b""])),
}

PADDING = b"\xa2\x06\x81\x80\x80\x02" + bytes(LARGE_BYTES + 1)  # one field, 100, that no message has


@pytest.mark.parametrize("what", FLOODS)
def test_a_flood_of_small_fields_is_refused(what: str) -> None:
    nested, message = FLOODS[what]
    body = message.SerializeToString() * 999 + PADDING
    check_fields(body, nested, 1000)
    with pytest.raises(RpcFault, match="more than 999 fields: send fewer instances at once") as refused:
        check_fields(body, nested, 999)
    assert refused.value.status is Status.RESOURCE_EXHAUSTED


def test_a_flood_inside_of_one_instance_is_refused() -> None:
    count = 1000
    texts = ms.PredictRequest()
    texts.instances.add().items["x"].bytes_val.extend([b""] * count)
    items = b"\x0a\x00" * count
    contents = oip.InferTensorContents(bytes_contents=[b""] * count)
    typed = oip.ModelInferRequest(inputs=[oip.ModelInferRequest.InferInputTensor(contents=contents)])
    for nested, body in (
        (PREDICT, texts.SerializeToString()),
        (PREDICT, b"\x12" + _varint(len(items)) + items),
        (INFER, typed.SerializeToString()),
    ):
        with pytest.raises(RpcFault, match="more than 1000 fields"):
            check_fields(body + PADDING, nested, 1000)


def test_large_values_and_the_largest_batch_pass() -> None:
    batch = ms.PredictRequest()
    for _ in range(65536):
        items = batch.instances.add().items
        for name in ("x1", "x2"):
            items[name].CopyFrom(ms.Tensor(shape=ms.TensorShape(dims=[2]), dtype=ms.MS_FLOAT32, data=bytes(8)))
    check_fields(batch.SerializeToString(), PREDICT)
    contents = oip.InferTensorContents(fp32_contents=[1.0] * (2 * MOST_FIELDS))
    typed = oip.ModelInferRequest(inputs=[oip.ModelInferRequest.InferInputTensor(contents=contents)])
    check_fields(typed.SerializeToString(), INFER)
    raw = oip.ModelInferRequest(raw_input_contents=[b"\x2a\x00" * MOST_FIELDS])
    check_fields(raw.SerializeToString(), INFER)


@pytest.mark.parametrize("body", [b"\xff", b"\x12\xff\xff", b"\x0b", b"\x0d\1", b"\x12\x05\x0a", b"\xff" * 1000])
@pytest.mark.parametrize("nested", [PREDICT, INFER])
def test_what_is_no_message_is_left_to_the_parser(body: bytes, nested: Nested) -> None:
    check_fields(PADDING + body, nested)


def test_more_instances_than_a_batch_of_any_kind_are_refused(master: RunningMaster) -> None:
    many = ms.PredictRequest(servable_spec=ms.ServableSpec(name="add", method_name="echo"))
    many.instances.extend([ms.Instance()] * 40_000)
    many.instances_of_1_2.extend([ms.Instance()] * 40_000)
    for _ in range(2):  # the second one might go by a shorter way
        (error,) = master.ask(many).error_msg
        assert error.error_msg == b"Instances count of request is 80000, more than 65536: send fewer at once"
    rest = RestClient(master.open_rest())
    assert rest.error({"instances": [{"x": 1}] * 65_537}).startswith("Instances count of request is 65537, more than")
    rest.connection.close()


def test_the_services_ask_before_they_parse() -> None:
    """Either service, and a stream, in which it is an answer."""
    desk = EchoDesk()
    flood = b"\x2a\x00" * (MOST_FIELDS + 1) + PADDING, b"\x12\x00" * (MOST_FIELDS + 1) + PADDING
    service = services(desk.desk, ClientMemory())
    infer, stream = (service["inference.GRPCInferenceService"][name] for name in ("ModelInfer", "ModelStreamInfer"))
    predict = service["mindspore.serving.proto.MSService"]["Predict"]
    assert isinstance(infer, Unary) and isinstance(stream, Streaming) and isinstance(predict, Unary)

    async def call(how: Unary, body: bytes) -> bytes:
        return await how.handler(body, CallInfo())

    async def bodies() -> AsyncIterator[bytes]:
        yield flood[0]

    async def streamed() -> list[bytes]:
        return [reply async for reply in stream.handler(bodies(), CallInfo())]

    for how, body in ((infer, flood[0]), (predict, flood[1])):
        with pytest.raises(RpcFault, match="more than 1048576 fields"):
            desk.run(call(how, body))
    (answer,) = desk.run(streamed())
    assert "more than 1048576 fields" in oip.ModelStreamInferResponse.FromString(answer).error_message
    desk.close()


def _varint(number: int) -> bytes:
    content = b""
    while number > 127:
        content += bytes([number & 127 | 128])
        number >>= 7
    return content + bytes([number])
