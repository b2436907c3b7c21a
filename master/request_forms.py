"""PredictRequests that are alike but for their tensors' bytes: see message_forms."""

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from mindspore_serving.cluster.messages import MethodSpec
from mindspore_serving.cluster.tensors import Buffer, Column, Stacked, Tensor
from mindspore_serving.master.message_forms import Form
from mindspore_serving.master.tensor_rules import TensorFault
from mindspore_serving.master.wire_spans import DataSpan, data_spans
from mindspore_serving.master.wire_tensors import from_wire
from mindspore_serving.proto import ms_service_pb2 as pb

_INSTANCES, _INSTANCES_OF_1_2 = 2, 3  # numbers of fields


class _Input(NamedTuple):
    """How one input's column is put together."""

    dtype: str
    shape: tuple[int, ...]  # the number of instances first
    pick: Callable[[Sequence[Buffer]], Any]  # its piece of a single instance, or its pieces of all of them


class RequestForm(Form):
    """What requests of one form have in common. `spec`: the field servable_spec as it is written."""

    def __init__(self, message: bytes, request: pb.PredictRequest, spans: Sequence[DataSpan]) -> None:
        """Raises TensorFault when the request breaks the rules of tensors."""
        super().__init__(message, [(span.start, span.stop) for span in spans])
        spec = request.servable_spec
        self.servable, self.version, self.method = spec.name, spec.version_number, spec.method_name
        self.spec = pb.PredictReply(servable_spec=spec).SerializeToString()
        self.count = 1 + max(span.instance for span in spans)
        self.collapses = not request.instances_of_1_2  # see predict.Call
        instances = request.instances or request.instances_of_1_2
        self._cells: dict[tuple[int, str], tuple[int, Tensor]] = {}
        for place, span in enumerate(spans):
            name = span.name.decode()
            value = from_wire(instances[span.instance].items[name])
            assert isinstance(value, Tensor) and value.data == message[span.start : span.stop]
            self._cells[span.instance, name] = place, value._replace(data=b"")
        self._plans: dict[tuple[str, ...], tuple[_Input, ...] | None] = {}

    def columns(self, method: MethodSpec, pieces: Sequence[Buffer]) -> tuple[Column, ...] | None:
        """One for each input. None: some instance lacks an input, or they differ in type or shape."""
        try:
            plan = self._plans[method.inputs]
        except KeyError:
            plan = self._plans[method.inputs] = self._plan(method)
        if plan is None:
            return None
        if self.count == 1:
            return tuple([Stacked(dtype, shape, pick(pieces)) for dtype, shape, pick in plan])
        return tuple([Stacked(dtype, shape, b"".join(pick(pieces))) for dtype, shape, pick in plan])

    def _plan(self, method: MethodSpec) -> tuple[_Input, ...] | None:
        plan = []
        for name in method.inputs:
            cells = [self._cells.get((instance, name)) for instance in range(self.count)]
            first = cells[0]
            if first is None or any(cell is None or cell[1] != first[1] for cell in cells):
                return None
            places = [cell[0] for cell in cells if cell is not None]
            plan.append(_Input(first[1].dtype, (self.count, *first[1].shape), _picker(places)))
        return tuple(plan)


def _picker(places: list[int]) -> Callable[[Sequence[Buffer]], Any]:
    """Takes what is at these places: one piece, or several. As a rule they lie apart by the number of inputs."""
    if len(places) > 1:
        even = range(places[0], places[-1] + 1, max(1, places[1] - places[0]))
        if places == list(even):
            return itemgetter(slice(even.start, even.stop, even.step))
    return itemgetter(*places)


def request_form(message: bytes, request: pb.PredictRequest) -> RequestForm | None:
    """The form of a message, and what protobuf has read in it; None when it has no form."""
    spans = data_spans(message, _INSTANCES, _INSTANCES_OF_1_2)
    if spans is None:
        return None
    try:
        return RequestForm(message, request, spans)
    except TensorFault:
        return None
