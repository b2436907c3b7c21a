"""MSService/Predict: a request's bytes in, a reply's bytes out. A request's fault is an answer, not a gRPC status."""

from collections.abc import Sequence

from google.protobuf.message import DecodeError

from mindspore_serving.cluster.batcher import Result
from mindspore_serving.cluster.dispatcher import Answer
from mindspore_serving.cluster.errors import Code, Failure, RequestRefused
from mindspore_serving.cluster.messages import MethodSpec
from mindspore_serving.cluster.tensors import Instance
from mindspore_serving.master.front_desk import FrontDesk
from mindspore_serving.master.wire_tensors import TensorFault, from_wire, to_wire
from mindspore_serving.proto import ms_service_pb2 as pb


class Unparsable(ValueError):
    """The bytes are no PredictRequest."""


async def predict(desk: FrontDesk, body: bytes, seconds_left: float | None) -> bytes:
    """The serialized PredictReply to a serialized PredictRequest. Raises Unparsable."""
    try:
        request = pb.PredictRequest.FromString(body)
    except DecodeError as error:
        raise Unparsable("Unable to parse request") from error
    spec = request.servable_spec
    try:
        route, method = desk.resolve(spec.name, spec.version_number, spec.method_name)
        instances = _instances(request, method)
    except RequestRefused as refused:
        return _refusal(spec, refused.failure)
    answer = await desk.ask(spec.version_number, route, method, instances, len(body), seconds_left)
    return _reply(spec, answer)


def _instances(request: pb.PredictRequest, method: MethodSpec) -> tuple[Instance, ...]:
    """Each instance's inputs in the method's order; inputs that the method does not have are ignored."""
    servable = request.servable_spec.name
    # Clients of 1.2 and of later releases put them into different fields.
    given = [*request.instances, *request.instances_of_1_2]
    if not given:
        text = f"Instances count of request cannot be 0, servable: {servable}, method: {method.name}"
        raise RequestRefused(Code.FAILED, text)
    instances = []
    for instance in given:
        items = instance.items
        values = []
        for name in method.inputs:
            if name not in items:
                text = f"Cannot find input {name} in instance input , servable {servable}, method {method.name}"
                raise RequestRefused(Code.INVALID_INPUTS, text)
            try:
                values.append(from_wire(items[name]))
            except TensorFault as fault:
                text = f"Instances input {name} check failed, detail: {fault}"
                raise RequestRefused(Code.INVALID_INPUTS, text) from fault
        instances.append(tuple(values))
    return tuple(instances)


def _reply(spec: pb.ServableSpec, answer: Answer) -> bytes:
    if isinstance(answer.results, Failure):
        return _refusal(spec, answer.results)
    failures = {result for result in answer.results if isinstance(result, Failure)}
    if len(failures) == 1 and all(isinstance(result, Failure) for result in answer.results):
        return _refusal(spec, failures.pop())  # all failed alike: one error for the whole request
    return _reply_per_instance(spec, answer.outputs, answer.results, with_errors=bool(failures))


def _reply_per_instance(
    spec: pb.ServableSpec, outputs: Sequence[str], results: Sequence[Result], with_errors: bool
) -> bytes:
    reply = pb.PredictReply(servable_spec=spec)
    for result in results:
        instance = reply.instances.add()
        if isinstance(result, Failure):
            _add_error(reply, result)
            continue
        if with_errors:
            reply.error_msg.add()  # code 0 and no text: this instance is good
        for name, value in zip(outputs, result, strict=True):
            to_wire(value, instance.items[name])
    return reply.SerializeToString()


def _refusal(spec: pb.ServableSpec, failure: Failure) -> bytes:
    reply = pb.PredictReply(servable_spec=spec)
    _add_error(reply, failure)
    return reply.SerializeToString()


def _add_error(reply: pb.PredictReply, failure: Failure) -> None:
    # Texts may quote what a user's function raised, lone surrogates included: never let one spoil the reply.
    text = (failure.text or "Predict failed").encode(errors="replace")
    reply.error_msg.add(error_code=int(failure.code), error_msg=text)
