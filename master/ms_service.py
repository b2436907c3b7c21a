"""MSService/Predict: a request's bytes in, a reply's bytes out. A request's fault is an answer, not a gRPC status."""

from collections.abc import Callable
from functools import partial

from google.protobuf.message import DecodeError

from mindspore_serving.cluster.errors import RequestRefused
from mindspore_serving.master.front_desk import FrontDesk
from mindspore_serving.master.message_fields import PREDICT, check_fields
from mindspore_serving.master.message_forms import Forms
from mindspore_serving.master.predict import Call, check_count, read_columns
from mindspore_serving.master.promise import Promise, kept
from mindspore_serving.master.reply_forms import Replies, write_failure
from mindspore_serving.master.request_forms import RequestForm, request_form
from mindspore_serving.master.service_table import CallInfo, RpcFault, ServiceTable, Status, Unary
from mindspore_serving.master.wire_tensors import from_wire
from mindspore_serving.proto import ms_service_pb2 as pb

Predict = Callable[[bytes, float | None], Promise[bytes]]


def ms_service(desk: FrontDesk) -> ServiceTable:
    """The service of MindSpore Serving's own clients."""
    predict = ms_predict(desk)

    def handle(body: bytes, info: CallInfo) -> Promise[bytes]:
        return predict(body, info.seconds_left)

    return {"mindspore.serving.proto.MSService": {"Predict": Unary(handle)}}


def ms_predict(desk: FrontDesk) -> Predict:
    """Answers a serialized PredictRequest, whose caller waits so many seconds, with a serialized PredictReply.

    It raises RpcFault for bytes that are no request.
    """
    forms: Forms[RequestForm] = Forms()
    replies = Replies()

    def predict(body: bytes, seconds_left: float | None) -> Promise[bytes]:
        found = forms.find(body)
        if found is None:
            return read(body, seconds_left)
        form, pieces = found
        try:
            route, method = desk.resolve(form.servable, form.version, form.method)
        except RequestRefused as refused:
            return kept(write_failure(form.spec, refused.failure))
        columns = form.columns(method, pieces)
        if columns is None:
            return read(body, seconds_left)
        finish = partial(replies.write, form.spec, form.collapses)
        return desk.submit(form.version, route, method, form.count, columns, len(body), seconds_left, finish)

    def read(body: bytes, seconds_left: float | None) -> Promise[bytes]:
        check_fields(body, PREDICT)
        try:
            request = pb.PredictRequest.FromString(body)
        except DecodeError as error:
            raise RpcFault(Status.INTERNAL, "Unable to parse request") from error
        asked = request.servable_spec
        spec = pb.PredictReply(servable_spec=asked).SerializeToString()
        # Clients of 1.2 and of later releases put the instances into different fields.
        fields = (request.instances, request.instances_of_1_2)
        try:
            check_count(sum(map(len, fields)))
            forms.learn(body, lambda: request_form(body, request))
            instances = [instance.items for field in fields for instance in field]
            names = (asked.name, asked.version_number, asked.method_name)
            call = Call(*names, instances, from_wire, len(body), not request.instances_of_1_2)
            route, method = desk.resolve(call.servable, call.version, call.method)
            columns = read_columns(call, method)
        except RequestRefused as refused:
            return kept(write_failure(spec, refused.failure))
        finish = partial(replies.write, spec, call.collapses)
        count = len(instances)
        return desk.submit(call.version, route, method, count, columns, call.nbytes, seconds_left, finish)

    return predict
