"""PredictRequests that are alike but for their tensors' bytes: read by protobuf once, then by comparing bytes.

Clients ask for the same method with the same names, types and shapes again and again. All that stands between the
tensors' bytes, lengths included, is then the same, and whatever protobuf would make of it is known: that is a form.
Comparing costs a tenth of reading.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import pairwise
from operator import itemgetter
from struct import Struct
from typing import Any, NamedTuple

from mindspore_serving.cluster.messages import MethodSpec
from mindspore_serving.cluster.tensors import Buffer, Column, Stacked, Tensor
from mindspore_serving.master.tensor_rules import TensorFault
from mindspore_serving.master.wire_spans import DataSpan, data_spans
from mindspore_serving.master.wire_tensors import from_wire
from mindspore_serving.proto import ms_service_pb2 as pb

_INSTANCES, _INSTANCES_OF_1_2 = 2, 3  # numbers of fields
_MOST_LENGTHS = 64  # of messages whose forms are kept
_MOST_FORMS = 4  # of one length
_LEARN_EVERY = 16  # messages of a length that no form fits: the second one is learnt, and every so many after it
_COPIED_BYTES = 16 << 10  # tensors up to here are copied out of the message; larger ones are views of it


class _Input(NamedTuple):
    """How one input's column is put together."""

    dtype: str
    shape: tuple[int, ...]  # the number of instances first
    pick: Callable[[Sequence[Buffer]], Any]  # its piece of a single instance, or its pieces of all of them


class RequestForm:
    """What requests of one form have in common. `spec`: the field servable_spec as it is written."""

    def __init__(self, message: bytes, request: pb.PredictRequest, spans: Sequence[DataSpan]) -> None:
        """Raises TensorFault when the request breaks the rules of tensors."""
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
        self._bounds = [(span.start, span.stop) for span in spans]
        self._copies = max(stop - start for start, stop in self._bounds) <= _COPIED_BYTES
        edges = [0, *(edge for bounds in self._bounds for edge in bounds), len(message)]
        kinds = ("s", "s" if self._copies else "x")
        self._layout = Struct("".join(f"{b - a}{kinds[i % 2]}" for i, (a, b) in enumerate(pairwise(edges))))
        self._fixed = tuple(message[a:b] for a, b in list(pairwise(edges))[::2])
        self._plans: dict[tuple[str, ...], tuple[_Input, ...] | None] = {}

    def pieces(self, message: bytes) -> Sequence[Buffer] | None:
        """The tensors' bytes in a message of the same length; None when it is of another form."""
        found: tuple[bytes, ...] = self._layout.unpack(message)
        if self._copies:
            return found[1::2] if found[::2] == self._fixed else None
        if found != self._fixed:
            return None
        view = memoryview(message)
        return [view[start:stop] for start, stop in self._bounds]

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
            plan.append(_Input(first[1].dtype, (self.count, *first[1].shape), itemgetter(*places)))
        return tuple(plan)


class _Length:
    """What is known of the messages of one length."""

    def __init__(self) -> None:
        self.forms: list[RequestForm] = []
        self.strangers = 0


class RequestForms:
    """The forms of the requests that come again and again. Their number is bounded."""

    def __init__(self) -> None:
        self._lengths: OrderedDict[int, _Length] = OrderedDict()

    def find(self, message: bytes) -> tuple[RequestForm, Sequence[Buffer]] | None:
        """The form of this message, and its tensors' bytes; None: protobuf has to read it."""
        length = self._lengths.get(len(message))
        if length is None:
            return None
        for form in length.forms:
            pieces = form.pieces(message)
            if pieces is not None:
                self._lengths.move_to_end(len(message))
                return form, pieces
        return None

    def learn(self, message: bytes, request: pb.PredictRequest) -> None:
        """A message that no form fits, and what protobuf has read in it. Its form is kept if others like it came."""
        length = self._lengths.get(len(message))
        if length is None:
            length = self._lengths[len(message)] = _Length()
            if len(self._lengths) > _MOST_LENGTHS:
                self._lengths.popitem(last=False)
        length.strangers += 1
        if length.strangers % _LEARN_EVERY != 2:
            return
        self._lengths.move_to_end(len(message))
        spans = data_spans(message, _INSTANCES, _INSTANCES_OF_1_2)
        if spans is None:
            return
        try:
            form = RequestForm(message, request, spans)
        except TensorFault:
            return
        length.forms = [form, *length.forms[: _MOST_FORMS - 1]]
