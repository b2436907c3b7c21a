"""PredictReplies: written by protobuf, or, where only tensors differ from one written before, by joining bytes."""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from struct import Struct
from typing import Final, NamedTuple

from mindspore_serving.cluster.dispatch_events import Answer
from mindspore_serving.cluster.errors import Failure
from mindspore_serving.cluster.results import Results
from mindspore_serving.cluster.tensors import Buffer, Stacked, nbytes
from mindspore_serving.master.predict import error_text
from mindspore_serving.master.wire_spans import data_spans
from mindspore_serving.master.wire_tensors import to_wire
from mindspore_serving.proto import ms_service_pb2 as pb

_INSTANCES = 3  # number of the field
_MOST_FORMS = 64
_MOST_INSTANCES: Final = 256  # of a reply that is written by its form
_COPIED_BYTES: Final = 4 << 10  # of an instance's tensor: larger ones are views of their column
_Kinds = tuple[tuple[str, tuple[int, ...]], ...]  # dtype and shape of an instance's tensor, for each output


class _Form(NamedTuple):
    """What stands between the tensors' bytes of replies of one form; their own places are empty."""

    parts: list[Buffer]  # the first one is the servable_spec's, and then every second one a tensor's
    first: list[int]  # place of each output
    step: int  # to the next instance's
    cuts: list[Callable[[Buffer], Sequence[Buffer]]]  # an output's column into the bytes of each instance


class Replies:
    """Writes replies. The number of forms that are kept is bounded."""

    def __init__(self) -> None:
        self._form = lru_cache(maxsize=_MOST_FORMS)(_make_form)

    def write(self, spec: bytes, collapses: bool, answer: Answer) -> bytes:
        """The reply to a request whose servable_spec is `spec`, as that field is written. collapses: see Call."""
        results = answer.results
        if not isinstance(results, Results):
            return write_failure(spec, results)
        stacked = _all_stacked(results)
        form = None
        if stacked is not None and results.count <= _MOST_INSTANCES:
            kinds = tuple([(column.dtype, column.shape[1:]) for column in stacked])
            form = self._form(answer.outputs, results.count, kinds)
        if form is None or stacked is None:
            collapsed = results.collapsed() if collapses else results
            if isinstance(collapsed, Failure):
                return write_failure(spec, collapsed)
            return _write_all(spec, answer.outputs, results)
        return _fill(form, spec, results.count, stacked)


def write_failure(spec: bytes, failure: Failure) -> bytes:
    """The reply to a request that failed as a whole."""
    reply = pb.PredictReply()
    _add_error(reply, failure)
    return spec + reply.SerializeToString()


def _write_all(spec: bytes, outputs: tuple[str, ...], results: Results) -> bytes:
    reply = pb.PredictReply()
    for result in results.each():
        instance = reply.instances.add()
        if isinstance(result, Failure):
            _add_error(reply, result)
            continue
        if results.failures:
            reply.error_msg.add()  # code 0 and no text: this instance is good
        for name, value in zip(outputs, result, strict=True):
            to_wire(value, instance.items[name])
    return spec + reply.SerializeToString()


def _add_error(reply: pb.PredictReply, failure: Failure) -> None:
    reply.error_msg.add(error_code=failure.code.on_the_wire, error_msg=error_text(failure).encode())


def _all_stacked(results: Results) -> list[Stacked] | None:
    """The columns, if every instance has succeeded with tensors of one kind for each output."""
    if results.failures:
        return None
    stacked = [column for column in results.columns if isinstance(column, Stacked)]
    return stacked if len(stacked) == len(results.columns) else None


def _make_form(outputs: tuple[str, ...], count: int, kinds: _Kinds) -> _Form | None:
    """None where there are no bytes to put in."""
    columns = tuple(Stacked(dtype, (count, *shape), bytes(count * nbytes(dtype, shape))) for dtype, shape in kinds)
    message = _write_all(b"", outputs, Results(count, columns))
    spans = data_spans(message, _INSTANCES)
    if spans is None or len(spans) != count * len(outputs):
        return None
    parts: list[Buffer] = [b""]
    end = 0
    for span in spans:
        parts += [message[end : span.start], b""]
        end = span.stop
    parts.append(message[end:])
    names = [span.name.decode() for span in spans[: len(outputs)]]
    if [span.name.decode() for span in spans] != names * count:
        return None
    first = [2 + 2 * names.index(name) for name in outputs]
    return _Form(parts, first, 2 * len(outputs), [_cut(count, nbytes(dtype, shape)) for dtype, shape in kinds])


def _fill(form: _Form, spec: bytes, count: int, columns: Sequence[Stacked]) -> bytes:
    parts = form.parts.copy()
    parts[0] = spec
    for output, column in enumerate(columns):
        at = form.first[output]
        if count == 1:
            parts[at] = column.data
        else:
            parts[at :: form.step] = form.cuts[output](column.data)
    return b"".join(parts)


def _cut(count: int, size: int) -> Callable[[Buffer], Sequence[Buffer]]:
    if size <= _COPIED_BYTES:
        return Struct(f"{size}s" * count).unpack
    return partial(_views, size)


def _views(size: int, data: Buffer) -> list[Buffer]:
    view = memoryview(data)
    return [view[at : at + size] for at in range(0, len(data), size)]
