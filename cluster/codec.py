"""Messages <-> ZeroMQ frames: a msgpack header, then large buffers as frames of their own, by reference.

Frame 0 is msgpack [protocol version, kind, fields]. Arrays stand in it in msgpack-numpy's map form
({b"nd": True, b"type": typestr, b"kind": b"", b"shape": [...], b"data": ...}); a buffer of INLINE_BYTES or more is
replaced by the number of the frame that holds it. Nothing is unpickled: a dtype outside ITEM_BYTES is refused here.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

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
from mindspore_serving.cluster.tensors import (
    ITEM_BYTES,
    Buffer,
    Column,
    Stacked,
    Tensor,
    Value,
    column_length,
    nbytes,
)

PROTOCOL_VERSION = 4
INLINE_BYTES = 64 * 1024  # measured: below this a copy into the header is cheaper than a frame of its own
# Measured: below this ZeroMQ had better copy a frame that it sends. Above, it takes it by reference, and tells a thread
# of pyzmq's when it is done with it, which costs as much as copying so many bytes.
COPIED_BYTES = 512 * 1024
MAX_DIMS = 32  # numpy's own limit before 2.0
MAX_NAME = 1024  # characters in any name or address a peer tells
MAX_METHODS = 1024
MAX_ARGUMENTS = 256  # inputs or outputs of a method
MAX_BATCH = 1 << 20  # instances in one batch
MAX_CREDIT = 1024  # batches that one master may have open at one worker

Fields: TypeAlias = Sequence[Any]  # as msgpack gives them: unchecked, from a peer


def encode(message: Message, pack_header: Callable[[Any], bytes] = msgpack.packb) -> list[Buffer]:
    """The frames of a message.

    pack_header: `msgpack.Packer().pack` of a thread that encodes often. packb makes such a packer each time, with a
    buffer of 256 KB, which takes five times as long as to fill it.
    """
    kind, pack, _ = _FORMS[type(message)]
    buffers: list[Buffer] = []
    fields = pack(message, buffers)
    return [pack_header([PROTOCOL_VERSION, kind, fields]), *buffers]


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


# --- checks: whatever a peer says is looked at before it is used; the errors raised here become FrameErrors


def _int(value: Any, low: int = 0, high: int = 2**63 - 1) -> int:
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"expected an integer from {low} to {high}")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("expected true or false")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("expected a text")
    return value


def _name(value: Any) -> str:
    if len(_text(value)) > MAX_NAME:
        raise ValueError(f"expected a text of at most {MAX_NAME} characters")
    return _text(value)


def _names(value: Any) -> tuple[str, ...]:
    return tuple(_name(item) for item in _tuple(value, MAX_ARGUMENTS))


def _tuple(value: Any, most: int) -> tuple[Any, ...]:
    if not isinstance(value, tuple) or len(value) > most:
        raise ValueError(f"expected an array of at most {most} items")
    return value


def _seconds(value: Any) -> float:
    if type(value) not in (float, int) or not 0 <= value <= 1e9:
        raise ValueError("expected a number of seconds")
    return float(value)


# --- columns


def _pack_array(array: Stacked | Tensor, buffers: list[Buffer]) -> dict[bytes, Any]:
    data: Buffer | int = array.data
    if len(array.data) >= INLINE_BYTES:
        buffers.append(array.data)
        data = len(buffers)
    return {
        b"nd": True,
        b"type": array.dtype,
        b"kind": b"",
        b"shape": array.shape,
        b"data": data,
    }


def _unpack_array(item: dict[Any, Any], frames: Sequence[Buffer]) -> tuple[str, tuple[int, ...], Buffer]:
    dtype = item[b"type"]
    if item.get(b"kind") != b"" or not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        raise ValueError("an array's dtype is not one of " + ", ".join(ITEM_BYTES))
    shape = tuple(_int(size) for size in _tuple(item[b"shape"], MAX_DIMS))
    data = item[b"data"]
    if type(data) is int:
        data = frames[_int(data, 1, len(frames) - 1)]
    elif not isinstance(data, bytes):
        raise ValueError("an array's data is neither bytes nor a frame's number")
    if len(data) != nbytes(dtype, shape):
        raise ValueError(f"an array of dtype {dtype} and shape {shape} has {len(data)} bytes")
    return dtype, shape, data


def _pack_column(column: Column, buffers: list[Buffer]) -> Any:
    if isinstance(column, Stacked):
        return _pack_array(column, buffers)
    return [_pack_array(value, buffers) if isinstance(value, Tensor) else value for value in column]


def _unpack_column(item: Any, frames: Sequence[Buffer]) -> Column:
    if isinstance(item, dict):
        stacked = Stacked(*_unpack_array(item, frames))
        if not stacked.shape or stacked.shape[0] > MAX_BATCH:
            raise ValueError("a stacked column needs its number of instances as the first dimension")
        return stacked
    return tuple(_unpack_value(value, frames) for value in _tuple(item, MAX_BATCH))


def _unpack_value(item: Any, frames: Sequence[Buffer]) -> Value:
    if isinstance(item, dict):
        return Tensor(*_unpack_array(item, frames))
    if isinstance(item, str | bytes):
        return item
    raise ValueError("a value is neither an array nor a text nor bytes")


def _unpack_columns(items: Any, count: int, frames: Sequence[Buffer]) -> tuple[Column, ...]:
    columns = tuple(_unpack_column(item, frames) for item in _tuple(items, MAX_ARGUMENTS))
    if any(column_length(column) != count for column in columns):
        raise ValueError(f"a column does not hold {count} instances")
    return columns


# --- one pair of functions per kind


def _pack_register(message: Register, _: list[Buffer]) -> Fields:
    methods = [
        (spec.name, spec.inputs, spec.outputs, spec.batch_size, spec.idempotent, spec.input_types, spec.output_types)
        for spec in message.methods
    ]
    fields = (message.registration, message.servable, message.version, methods)
    return (*fields, message.device, message.host, message.pid, message.credit, message.direct)


def _types(value: Any, names: Sequence[str]) -> tuple[TensorType | None, ...]:
    types = _tuple(value, MAX_ARGUMENTS)
    if len(types) not in (0, len(names)):
        raise ValueError(f"expected no types, or {len(names)}")
    return tuple(None if item is None else _type(*item) for item in types)


def _type(dtype: Any, shape: Any) -> TensorType:
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        raise ValueError("a type's dtype is not one of " + ", ".join(ITEM_BYTES))
    return TensorType(dtype, tuple(_int(size, ANY_SIZE) for size in _tuple(shape, MAX_DIMS)))


def _unpack_register(fields: Fields, _: Sequence[Buffer]) -> Register:
    registration, servable, version, methods, device, host, pid, credit, direct = fields
    specs = tuple(
        MethodSpec(
            _name(name),
            _names(inputs),
            _names(outputs),
            _int(batch_size, 1, MAX_BATCH),
            _flag(idempotent),
            _types(input_types, inputs),
            _types(output_types, outputs),
        )
        for name, inputs, outputs, batch_size, idempotent, input_types, output_types in _tuple(methods, MAX_METHODS)
    )
    return Register(
        _int(registration),
        _name(servable),
        _int(version, 1),
        specs,
        _name(device),
        _name(host),
        _int(pid),
        _int(credit, 1, MAX_CREDIT),
        None if direct is None else read_offer(*_names(direct)),
    )


def _pack_done(message: BatchDone, buffers: list[Buffer]) -> Fields:
    count = column_length(message.columns[0]) if message.columns else 0
    failures = [(index, failure.code, failure.text) for index, failure in message.failures.items()]
    return (
        message.batch_id,
        count,
        [_pack_column(column, buffers) for column in message.columns],
        failures,
    )


def _unpack_done(fields: Fields, frames: Sequence[Buffer]) -> BatchDone:
    batch_id, count, columns, failures = fields
    reasons = {}
    for index, code, text in _tuple(failures, MAX_BATCH):
        reasons[_int(index)] = Failure(Code(_int(code, 1)), _text(text))
    return BatchDone(_int(batch_id), _unpack_columns(columns, _int(count), frames), reasons)


def _pack_run(message: RunBatch, buffers: list[Buffer]) -> Fields:
    columns = [_pack_column(column, buffers) for column in message.columns]
    return (
        message.batch_id,
        message.method,
        message.count,
        columns,
        message.seconds_left,
        message.alone,
    )


def _unpack_run(fields: Fields, frames: Sequence[Buffer]) -> RunBatch:
    batch_id, method, count, columns, seconds_left, alone = fields
    count = _int(count, 1, MAX_BATCH)
    return RunBatch(
        _int(batch_id),
        _name(method),
        count,
        _unpack_columns(columns, count, frames),
        None if seconds_left is None else _seconds(seconds_left),
        _flag(alone),
    )


def _unpack_registered(fields: Fields, _: Sequence[Buffer]) -> Registered:
    lease_seconds, registration, siblings = fields
    return Registered(
        _seconds(lease_seconds),
        _int(registration),
        tuple(_sibling(item) for item in _tuple(siblings, MOST_PROCESSES)),
    )


def _sibling(value: Any) -> Sibling:
    return _name(value) if isinstance(value, str) else _int(value, 1, 65535)


def _unpack_reason(form: Callable[[str], Message]) -> "_Unpack":
    def unpack(fields: Fields, _: Sequence[Buffer]) -> Message:
        (reason,) = fields
        return form(_text(reason))

    return unpack


def _unpack_heartbeat(fields: Fields, _: Sequence[Buffer]) -> Heartbeat:
    (stuck_seconds,) = fields
    return Heartbeat(_seconds(stuck_seconds))


def _unpack_batch_id(form: Callable[[int], Message]) -> "_Unpack":
    def unpack(fields: Fields, _: Sequence[Buffer]) -> Message:
        (batch_id,) = fields
        return form(_int(batch_id))

    return unpack


def _unpack_credit(form: Callable[[int], Message]) -> "_Unpack":
    def unpack(fields: Fields, _: Sequence[Buffer]) -> Message:
        (batches,) = fields
        return form(_int(batches, 0, MAX_CREDIT))

    return unpack


def _pack_bare(_message: Message, _: list[Buffer]) -> Fields:
    return ()


def _unpack_bare(form: Callable[[], Message]) -> "_Unpack":
    def unpack(fields: Fields, _: Sequence[Buffer]) -> Message:
        if fields:
            raise ValueError("expected no fields")
        return form()

    return unpack


_Pack: TypeAlias = Callable[[Any, list[Buffer]], Fields]
_Unpack: TypeAlias = Callable[[Fields, Sequence[Buffer]], Message]

_FORMS: dict[type[Message], tuple[int, _Pack, _Unpack]] = {
    Register: (1, _pack_register, _unpack_register),
    Heartbeat: (2, lambda message, _: (message.stuck_seconds,), _unpack_heartbeat),
    BatchDone: (3, _pack_done, _unpack_done),
    Leaving: (4, _pack_bare, _unpack_bare(Leaving)),
    Goodbye: (5, _pack_bare, _unpack_bare(Goodbye)),
    Credit: (6, lambda message, _: (message.batches,), _unpack_credit(Credit)),
    MayRun: (7, lambda message, _: (message.batch_id,), _unpack_batch_id(MayRun)),
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
_UNPACK = {kind: unpack for kind, _, unpack in _FORMS.values()}
