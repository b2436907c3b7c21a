"""MSService/Predict: a request's bytes in, a reply's bytes out. A request's fault is an answer, not a gRPC status."""

from google.protobuf.message import DecodeError

from mindspore_serving.cluster.errors import Failure
from mindspore_serving.master.front_desk import FrontDesk
from mindspore_serving.master.predict import Call, Predictions, error_text, predict
from mindspore_serving.master.service_table import CallInfo, RpcFault, ServiceTable, Status, Unary
from mindspore_serving.master.wire_tensors import from_wire, to_wire
from mindspore_serving.proto import ms_service_pb2 as pb


def ms_service(desk: FrontDesk) -> ServiceTable:
    """The service of MindSpore Serving's own clients."""

    async def handle(body: bytes, info: CallInfo) -> bytes:
        return await ms_predict(desk, body, info.seconds_left)

    return {"mindspore.serving.proto.MSService": {"Predict": Unary(handle)}}


async def ms_predict(desk: FrontDesk, body: bytes, seconds_left: float | None) -> bytes:
    """The serialized PredictReply to a serialized PredictRequest. Raises RpcFault for bytes that are none."""
    try:
        request = pb.PredictRequest.FromString(body)
    except DecodeError as error:
        raise RpcFault(Status.INTERNAL, "Unable to parse request") from error
    spec = request.servable_spec
    # Clients of 1.2 and of later releases put the instances into different fields.
    instances = [instance.items for field in (request.instances, request.instances_of_1_2) for instance in field]
    collapses = not request.instances_of_1_2
    call = Call(spec.name, spec.version_number, spec.method_name, instances, from_wire, len(body), collapses)
    return _reply(spec, await predict(desk, call, seconds_left))


def _reply(spec: pb.ServableSpec, predicted: Predictions | Failure) -> bytes:
    reply = pb.PredictReply(servable_spec=spec)
    if isinstance(predicted, Failure):
        _add_error(reply, predicted)
        return reply.SerializeToString()
    with_errors = any(isinstance(result, Failure) for result in predicted.results)
    for result in predicted.results:
        instance = reply.instances.add()
        if isinstance(result, Failure):
            _add_error(reply, result)
            continue
        if with_errors:
            reply.error_msg.add()  # code 0 and no text: this instance is good
        for name, value in zip(predicted.outputs, result, strict=True):
            to_wire(value, instance.items[name])
    return reply.SerializeToString()


def _add_error(reply: pb.PredictReply, failure: Failure) -> None:
    reply.error_msg.add(error_code=failure.code.on_the_wire, error_msg=error_text(failure).encode())
