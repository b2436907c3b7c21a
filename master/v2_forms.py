"""ModelInferRequests that are alike but for their tensors' bytes and their id: see message_forms. So are their answers.

Those are raw tensors, in the message or in clients' memory, or typed ones of FP32 and FP64: protobuf writes numbers of
a fixed size, packed, as their bytes one after the other, the smallest first (protobuf.dev/programming-guides/encoding).
Fields stand in the order in which protobuf writes them: an answer has the same bytes whoever writes it.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from mindspore_serving.cluster.dispatch_events import Answer
from mindspore_serving.cluster.errors import Failure
from mindspore_serving.cluster.messages import MethodSpec
from mindspore_serving.cluster.tensors import Buffer, Stacked
from mindspore_serving.master.client_memory import ClientMemory
from mindspore_serving.master.front_desk import FrontDesk
from mindspore_serving.master.message_forms import Form
from mindspore_serving.master.promise import Promise
from mindspore_serving.master.v2_infer import Plan, conclude, find, make_plan, patience
from mindspore_serving.master.v2_memory import Where, lend, lend_outputs, where, write
from mindspore_serving.master.v2_messages import write_response
from mindspore_serving.master.v2_types import BYTES, REGION, InferRequest, V2Tensor
from mindspore_serving.master.wire_spans import inner_span, top_spans, varint
from mindspore_serving.proto import open_inference_pb2 as pb

_ID, _INPUTS, _RAW_INPUTS = 3, 5, 7  # numbers of fields of the request
_CONTENTS = 5  # of an input
_TYPED = {"FP32": 6, "FP64": 7}  # of contents; other numbers are written in one byte or more
# Fields 3, 5 and 6 of the response, each of a length and so many bytes.
_ID_TAG, _OUTPUTS_TAG, _RAW_OUTPUTS_TAG = b"\x1a", b"\x2a", b"\x32"
_MOST_HEADS = 16  # kinds of answers to requests of one form
_Kind = tuple[int, tuple[str, ...], tuple[tuple[str, tuple[int, ...]], ...]]  # version, outputs, dtypes and shapes


class _Head(NamedTuple):
    """What answers of one kind have in common."""

    begin: bytes  # up to the id
    behind: bytes  # from there to the outputs' data
    before: list[bytes]  # each output's data


class _Source(NamedTuple):
    """Where an input's data come from: a piece of the message, or memory."""

    dtype: str
    shape: tuple[int, ...]
    place: int  # of the piece
    there: Where | None


class InferForm(Form):
    """What requests of one form have in common: `request`, but for its id and its tensors' data.

    spans: where these lie; the number of each is _ID, or any other.
    """

    def __init__(
        self, message: bytes, request: InferRequest, spans: Sequence[tuple[int, int, int]], is_typed: bool
    ) -> None:
        super().__init__(message, [(start, stop) for _, start, stop in spans])
        numbers = [number for number, _, _ in spans]
        self._id_place = numbers.index(_ID) if _ID in numbers else -1
        self._data_places = [place for place, number in enumerate(numbers) if number != _ID]
        self._request = request
        self._writes_memory = any(REGION in item.parameters for item in request.outputs)
        self._is_typed = is_typed
        self._plan: Plan | None = None
        self._inputs: list[_Source] = []  # of each of the method's
        self._bytes_elsewhere = 0
        self._heads: dict[_Kind, _Head] = {}

    def infer(
        self, desk: FrontDesk, memory: ClientMemory, pieces: Sequence[Buffer], nbytes: int, seconds_left: float | None
    ) -> Promise[bytes] | None:
        """The serialized answer to a request with these pieces; None: protobuf has to read it, and refuses it.

        Raises CallFault, and so may waiting for it.
        """
        given_id = b"" if self._id_place < 0 else bytes(pieces[self._id_place])
        if not _is_text(given_id):
            return None
        request = self._request
        target = find(desk, request)
        plan = self._plan
        if plan is None or plan.target.method is not target.method:
            self._bytes_elsewhere = lend(memory, request).nbytes - request.nbytes
            plan = self._plan = make_plan(target, request)
            self._inputs = self._arrange(target.method, plan)
            self._heads.clear()
        columns = tuple(
            [
                Stacked(dtype, shape, pieces[place] if there is None else memory.part(*there))
                for dtype, shape, place, there in self._inputs
            ]
        )
        if self._writes_memory:
            plan = Plan(target, plan.count, columns, lend_outputs(memory, plan.asked), plan.batched)
        seconds_left = patience(request.parameters, seconds_left)
        reply = partial(self._reply, plan, given_id)
        nbytes += self._bytes_elsewhere
        return desk.submit(
            target.asked_version, target.route, target.method, plan.count, columns, nbytes, seconds_left, reply
        )

    def _arrange(self, method: MethodSpec, plan: Plan) -> list[_Source]:
        columns = dict(zip(method.inputs, plan.columns, strict=True))
        places = iter(self._data_places)
        sources = {}
        for tensor in self._request.inputs:
            column, there = columns[tensor.name], where(tensor)
            assert isinstance(column, Stacked)
            sources[tensor.name] = _Source(column.dtype, column.shape, next(places) if there is None else -1, there)
        return [sources[name] for name in method.inputs]

    def _reply(self, plan: Plan, given_id: bytes, answer: Answer) -> bytes:
        columns = _stacked(plan, answer)
        head = None if columns is None else self._head(plan, answer, columns)
        if head is None:
            response = write_response(conclude(self._with_id(given_id), plan, answer), self._is_typed)
            return response.SerializeToString()
        assert columns is not None
        parts: list[Buffer] = [head.begin]
        if given_id:
            parts += (_ID_TAG, varint(len(given_id)), given_id)
        parts.append(head.behind)
        for before, column, item in zip(head.before, columns, plan.asked, strict=True):
            parts.append(before)
            if item.place is None:
                parts.append(column.data)
            else:
                write(item, item.place, column.data)
        return b"".join(parts)

    def _head(self, plan: Plan, answer: Answer, columns: Sequence[Stacked]) -> _Head | None:
        """What answers of this kind have in common; None: protobuf has to write them."""
        kind = (answer.version, answer.outputs, tuple([(column.dtype, column.shape) for column in columns]))
        head = self._heads.get(kind)
        if head is None:
            response = write_response(conclude(self._with_id(b""), plan, answer), self._is_typed)
            head = _raw_head(response) if response.raw_output_contents else _typed_head(response, columns)
            if head is None:
                return None
            if len(self._heads) >= _MOST_HEADS:
                self._heads.clear()
            self._heads[kind] = head
        return head

    def _with_id(self, given_id: bytes) -> InferRequest:
        asked = self._request
        return InferRequest(
            asked.model, asked.version, given_id.decode(), asked.parameters, asked.inputs, asked.outputs, asked.nbytes
        )


def infer_form(message: bytes, request: InferRequest, is_typed: bool) -> InferForm | None:
    """The form of a message, and what was read in it; None when it has no form."""
    if not request.inputs:
        return None
    spans = _typed_spans(message, request) if is_typed else _raw_spans(message, request)
    if spans is None or [number for number, _, _ in spans].count(_ID) > 1:
        return None
    inputs = [V2Tensor(given.name, given.datatype, given.shape, b"", given.parameters) for given in request.inputs]
    asked = InferRequest(request.model, request.version, "", request.parameters, inputs, request.outputs, len(message))
    return InferForm(message, asked, spans, is_typed)


def _raw_spans(message: bytes, request: InferRequest) -> list[tuple[int, int, int]] | None:
    spans = top_spans(message, _ID, _RAW_INPUTS)
    here = [tensor for tensor in request.inputs if REGION not in tensor.parameters]
    if spans is None or [number for number, _, _ in spans].count(_RAW_INPUTS) != len(here):
        return None
    if any(tensor.datatype in ("BOOL", BYTES) for tensor in request.inputs):  # their values are looked at
        return None
    return spans


def _typed_spans(message: bytes, request: InferRequest) -> list[tuple[int, int, int]] | None:
    found = []
    datatypes = [tensor.datatype for tensor in reversed(request.inputs)]
    for number, start, stop in top_spans(message, _ID, _INPUTS) or ():
        if number == _INPUTS:
            datatype = datatypes.pop()
            span = inner_span(message, start, stop, _CONTENTS, _TYPED[datatype]) if datatype in _TYPED else None
            if span is None:
                return None
            start, stop = span
        found.append((number, start, stop))
    return None if datatypes else found


def _raw_head(response: pb.ModelInferResponse) -> _Head:
    before = [_RAW_OUTPUTS_TAG + varint(len(data)) for data in response.raw_output_contents]
    response.ClearField("raw_output_contents")
    return _Head(*_around_the_id(response), before)


def _typed_head(response: pb.ModelInferResponse, columns: Sequence[Stacked]) -> _Head | None:
    before = []
    for output, column in zip(response.outputs, columns, strict=True):
        written, size = output.SerializeToString(), len(column.data)
        if output.datatype not in _TYPED or REGION in output.parameters or not size or written[-size:] != column.data:
            return None
        before.append(b"".join((_OUTPUTS_TAG, varint(len(written)), written[:-size])))
    response.ClearField("outputs")
    return _Head(*_around_the_id(response), before)


def _around_the_id(response: pb.ModelInferResponse) -> tuple[bytes, bytes]:
    """What stands before it and behind it, in a response without an id."""
    begin = pb.ModelInferResponse(model_name=response.model_name, model_version=response.model_version)
    response.ClearField("model_name")
    response.ClearField("model_version")
    return begin.SerializeToString(), response.SerializeToString()


def _is_text(given: bytes) -> bool:
    try:
        given.decode()
    except UnicodeDecodeError:
        return False
    return True


def _stacked(plan: Plan, answer: Answer) -> list[Stacked] | None:
    """The columns that are asked for, if every instance has succeeded with tensors of one kind for each of them."""
    results = answer.results
    if isinstance(results, Failure) or results.failures:
        return None
    places = {name: place for place, name in enumerate(answer.outputs)}
    columns = [results.columns[places[item.name]] for item in plan.asked]
    stacked = [column for column in columns if isinstance(column, Stacked)]
    return stacked if len(stacked) == len(columns) else None
