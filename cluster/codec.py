"""Messages <-> ZeroMQ frames: a msgpack header, then large buffers as frames of their own, by reference.

Frame 0 is msgpack [protocol version, kind, fields]. Arrays stand in it in msgpack-numpy's map form
({b"nd": True, b"type": typestr, b"kind": b"", b"shape": [...], b"data": ...}); a buffer of INLINE_BYTES or more is
replaced by the number of the frame that holds it. Nothing is unpickled: a dtype outside ITEM_BYTES is refused here.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

import msgpack

from mindspore_serving.cluster.direct import MAX_FRAMES, read_offer
from mindspore_serving.cluster.errors import Code, Failure, FrameError, VersionMismatch
from mindspore_serving.cluster.messages import (
    ANY_SIZE,
    BatchDone,
    Condemned,
    Credit,
    CreditKept,
    Go,
    Goodbye,
    Heartbeat,
    Leaving,
    MayRun,
    Message,
    MethodSpec,
    NotUnderstood,
    Probe,
    Refused,
    Register,
    Registered,
    Released,
    RunBatch,
    TensorType,
    Unregistered,
)
from mindspore_serving.cluster.siblings import MOST_PROCESSES, Sibling
from mindspore_serving.cluster.tensors import ITEM_BYTES, Buffer, Frame, as_buffer, column_length
from mindspore_serving.cluster.wire_values import (
    MAX_ARGUMENTS,
    MAX_BATCH,
    MAX_DIMS,
    MAX_SECONDS,
    pack_column,
    read_columns,
    read_flag,
    read_int,
    read_name,
    read_names,
    read_seconds,
    read_text,
    read_tuple,
)

PROTOCOL_VERSION: Final = 6
# Measured: below this ZeroMQ had better copy a frame that it sends. Above, it takes it by reference, and tells a thread
# of pyzmq's when it is done with it, which costs as much as copying so many bytes.
COPIED_BYTES = 512 * 1024
MAX_METHODS = 1024
MAX_CREDIT = 1024  # batches that one master may have open at one worker

Fields: TypeAlias = Sequence[Any]  # as msgpack gives them: unchecked, from a peer


def encode(message: Message, pack_header: Callable[[Any], bytes] = msgpack.packb) -> list[Buffer]:
    """The frames of a message, each of them one buffer; for pack_header see encode_gathered()."""
    return [as_buffer(frame) for frame in encode_gathered(message, pack_header)]


def encode_gathered(message: Message, pack_header: Callable[[Any], bytes] = msgpack.packb) -> list[Frame]:
    """The frames of a message, large ones in as many pieces as they came in.

    pack_header: `msgpack.Packer().pack` of a thread that encodes often. packb makes such a packer each time, with a
    buffer of 256 KB, which takes five times as long as to fill it.
    """
    kind, pack, _ = _FORMS[type(message)]
    frames: list[Frame] = []
    fields = pack(message, frames)
    return [pack_header([PROTOCOL_VERSION, kind, fields]), *frames]


def decode(frames: Sequence[Buffer]) -> Message:
    """The message in these frames.

    Raises FrameError when they hold none, VersionMismatch when they are of another protocol version.
    """
    if not 1 <= len(frames) <= MAX_FRAMES:
        raise FrameError(f"a message has 1 to {MAX_FRAMES} frames, given {len(frames)}")
    try:
        header = msgpack.unpackb(frames[0], use_list=False, max_ext_len=0)
    except (ValueError, RecursionError, msgpack.UnpackException) as error:
        raise FrameError(f"the header is not msgpack: {error}") from error
    if not (isinstance(header, tuple) and len(header) >= 1 and type(header[0]) is int):
        raise FrameError("the header is not [protocol version, kind, fields]")
    if header[0] != PROTOCOL_VERSION:
        raise VersionMismatch(PROTOCOL_VERSION, header[0])
    if len(header) != 3 or type(header[1]) is not int or not isinstance(header[2], tuple):
        raise FrameError("the header is not [protocol version, kind, fields]")
    unpack = _UNPACK.get(header[1])
    if unpack is None:
        raise FrameError(f"kind {header[1]} is unknown")
    try:
        return unpack(header[2], frames)
    except (ValueError, TypeError, KeyError, IndexError, OverflowError) as error:
        raise FrameError(f"the fields of kind {header[1]} are malformed: {error}") from error


# --- one pair of functions per kind; what they raise for a malformed field becomes a FrameError


def _pack_register(message: Register, _: list[Frame]) -> Fields:
    methods = [
        (spec.name, spec.inputs, spec.outputs, spec.batch_size, spec.idempotent, spec.input_types, spec.output_types)
        for spec in message.methods
    ]
    fields = (message.registration, message.servable, message.version, methods)
    return (*fields, message.device, message.host, message.pid, message.credit, message.direct)


def _types(value: Any, names: Sequence[str]) -> tuple[TensorType | None, ...]:
    types = read_tuple(value, MAX_ARGUMENTS)
    if len(types) not in (0, len(names)):
        raise ValueError(f"expected no types, or {len(names)}")
    return tuple(None if item is None else _type(*item) for item in types)


def _type(dtype: Any, shape: Any) -> TensorType:
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        raise ValueError("a type's dtype is not one of " + ", ".join(ITEM_BYTES))
    return TensorType(dtype, tuple(read_int(size, ANY_SIZE) for size in read_tuple(shape, MAX_DIMS)))


def _unpack_register(fields: Fields, _: Sequence[Buffer]) -> Register:
    registration, servable, version, methods, device, host, pid, credit, direct = fields
    specs = tuple(
        MethodSpec(
            read_name(name),
            read_names(inputs),
            read_names(outputs),
            read_int(batch_size, 1, MAX_BATCH),
            read_flag(idempotent),
            _types(input_types, inputs),
            _types(output_types, outputs),
        )
        for name, inputs, outputs, batch_size, idempotent, input_types, output_types in read_tuple(methods, MAX_METHODS)
    )
    return Register(
        read_int(registration),
        read_name(servable),
        read_int(version, 1),
        specs,
        read_name(device),
        read_name(host),
        read_int(pid),
        read_int(credit, 1, MAX_CREDIT),
        None if direct is None else read_offer(*read_names(direct)),
    )


def _pack_done(message: BatchDone, frames: list[Frame]) -> Fields:
    count = column_length(message.columns[0]) if message.columns else 0
    failures = [(index, failure.code, failure.text) for index, failure in message.failures.items()]
    return (
        message.batch_id,
        count,
        [pack_column(column, frames) for column in message.columns],
        failures,
        message.device_seconds,
    )


def _unpack_done(fields: Fields, frames: Sequence[Buffer]) -> BatchDone:
    batch_id, count, columns, failures, device_seconds = fields
    reasons = {}
    for index, code, text in read_tuple(failures, MAX_BATCH):
        reasons[read_int(index)] = Failure(Code(read_int(code, 1)), read_text(text))
    return BatchDone(
        read_int(batch_id),
        read_columns(columns, read_int(count), frames),
        reasons,
        None if device_seconds is None else read_seconds(device_seconds),
    )


def _pack_run(message: RunBatch, frames: list[Frame]) -> Fields:
    columns = [pack_column(column, frames) for column in message.columns]
    seconds_left = message.seconds_left
    if seconds_left is not None and seconds_left > MAX_SECONDS:
        seconds_left = None  # callers write the largest number that there is and mean: for ever
    return (
        message.batch_id,
        message.method,
        message.count,
        columns,
        seconds_left,
        message.alone,
    )


def _unpack_run(fields: Fields, frames: Sequence[Buffer]) -> RunBatch:
    batch_id, method, count, columns, seconds_left, alone = fields
    count = read_int(count, 1, MAX_BATCH)
    return RunBatch(
        read_int(batch_id),
        read_name(method),
        count,
        read_columns(columns, count, frames),
        None if seconds_left is None else read_seconds(seconds_left),
        read_flag(alone),
    )


def _unpack_registered(fields: Fields, _: Sequence[Buffer]) -> Registered:
    lease_seconds, registration, siblings = fields
    return Registered(
        read_seconds(lease_seconds),
        read_int(registration),
        tuple(_sibling(item) for item in read_tuple(siblings, MOST_PROCESSES)),
    )


def _sibling(value: Any) -> Sibling:
    return read_name(value) if isinstance(value, str) else read_int(value, 1, 65535)


def _unpack_reason(form: Callable[[str], Message]) -> "_Unpack":
    def unpack(fields: Fields, _: Sequence[Buffer]) -> Message:
        (reason,) = fields
        return form(read_text(reason))

    return unpack


def _unpack_heartbeat(fields: Fields, _: Sequence[Buffer]) -> Heartbeat:
    (stuck_seconds,) = fields
    return Heartbeat(read_seconds(stuck_seconds))


def _unpack_batch_id(form: Callable[[int], Message]) -> "_Unpack":
    def unpack(fields: Fields, _: Sequence[Buffer]) -> Message:
        (batch_id,) = fields
        return form(read_int(batch_id))

    return unpack


def _unpack_credit(form: Callable[[int], Message]) -> "_Unpack":
    def unpack(fields: Fields, _: Sequence[Buffer]) -> Message:
        (batches,) = fields
        return form(read_int(batches, 0, MAX_CREDIT))

    return unpack


def _pack_bare(_message: Message, _: list[Frame]) -> Fields:
    return ()


def _unpack_bare(form: Callable[[], Message]) -> "_Unpack":
    def unpack(fields: Fields, _: Sequence[Buffer]) -> Message:
        if fields:
            raise ValueError("expected no fields")
        return form()

    return unpack


_Pack: TypeAlias = Callable[[Any, list[Frame]], Fields]
_Unpack: TypeAlias = Callable[[Fields, Sequence[Buffer]], Message]

_FORMS: Final[dict[type[Message], tuple[int, _Pack, _Unpack]]] = {
    Register: (1, _pack_register, _unpack_register),
    Heartbeat: (2, lambda message, _: (message.stuck_seconds,), _unpack_heartbeat),
    BatchDone: (3, _pack_done, _unpack_done),
    Leaving: (4, _pack_bare, _unpack_bare(Leaving)),
    Goodbye: (5, _pack_bare, _unpack_bare(Goodbye)),
    Credit: (6, lambda message, _: (message.batches,), _unpack_credit(Credit)),
    MayRun: (7, lambda message, _: (message.batch_id,), _unpack_batch_id(MayRun)),
    NotUnderstood: (8, _pack_bare, _unpack_bare(NotUnderstood)),
    Registered: (
        11,
        lambda message, _: (message.lease_seconds, message.registration, message.siblings),
        _unpack_registered,
    ),
    Refused: (12, lambda message, _: (message.reason,), _unpack_reason(Refused)),
    Unregistered: (13, _pack_bare, _unpack_bare(Unregistered)),
    RunBatch: (14, _pack_run, _unpack_run),
    Released: (15, _pack_bare, _unpack_bare(Released)),
    Probe: (16, _pack_bare, _unpack_bare(Probe)),
    CreditKept: (17, lambda message, _: (message.batches,), _unpack_credit(CreditKept)),
    Condemned: (18, lambda message, _: (message.reason,), _unpack_reason(Condemned)),
    Go: (19, lambda message, _: (message.batch_id,), _unpack_batch_id(Go)),
}
_UNPACK: Final = {kind: unpack for kind, _, unpack in _FORMS.values()}
