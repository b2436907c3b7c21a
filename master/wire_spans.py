"""Where the tensors' bytes lie in a serialized PredictRequest or PredictReply: what else stands there is the same for
many of them, and need not be read, or written, each time.

Source: protobuf.dev/programming-guides/encoding; the field numbers are those of proto/ms_service.proto.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

LENGTH_DELIMITED = 2
_VARINT = 0
_SPEC = 1
_ITEMS = 1
_KEY, _VALUE = 1, 2
_SHAPE, _DTYPE, _DATA = 1, 2, 3
_MOST_SPANS = 1024
_MOST_DIGITS = 10  # of a number of 64 bits, to the base of 128
_AT_ONCE = 1 << 16  # numbers: the arrays in between stay small


class DataSpan(NamedTuple):
    """The bytes of `data` of one tensor, in the whole message."""

    instance: int
    name: bytes
    start: int
    stop: int


class _Unusual(ValueError):
    """Something that may be right, but that our reading of spans does not cover."""


class _Field(NamedTuple):
    number: int
    kind: int
    start: int
    stop: int


def data_spans(message: bytes, *instance_fields: int) -> list[DataSpan] | None:
    """One for each tensor, in the order of the bytes; the fields with these numbers are the instances.

    None for a message that is written in some other way than usual, or has other tensors than those of numbers.
    """
    try:
        return _spans(message, instance_fields)
    except (_Unusual, IndexError):
        return None


def top_spans(message: bytes, *numbers: int) -> list[tuple[int, int, int]] | None:
    """Number, start and stop of each field with one of these numbers that is no part of another, in the order of the
    bytes. None for a message that is written in some other way than usual, or has more of them than usual.
    """
    spans: list[tuple[int, int, int]] = []
    try:
        for field in _fields(message, 0, len(message)):
            if field.number in numbers:
                _expect(field.kind == LENGTH_DELIMITED and len(spans) < _MOST_SPANS)
                spans.append((field.number, field.start, field.stop))
    except (_Unusual, IndexError):
        return None
    return spans


def inner_span(message: bytes, start: int, stop: int, *path: int) -> tuple[int, int] | None:
    """Start and stop of the field that these numbers lead to, each inside the one before, the first in this part of the
    message. None where one of them is missing or repeated, or its neighbours are written in some other way than usual.
    """
    try:
        for number in path:
            (field,) = [field for field in _fields(message, start, stop) if field.number == number]
            _expect(field.kind == LENGTH_DELIMITED)
            start, stop = field.start, field.stop
    except (ValueError, IndexError):  # _Unusual is a ValueError, too
        return None
    return start, stop


def varint(number: int) -> bytes:
    """A number from 0 on as protobuf writes it."""
    digits = bytearray()
    while number > 0x7F:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    digits.append(number)
    return bytes(digits)


def varints(numbers: "np.ndarray[Any, np.dtype[Any]]") -> bytes:
    """Whole numbers as protobuf writes those of a packed field: negative ones as if they had 64 bits."""
    return b"".join([_varints(numbers[at : at + _AT_ONCE]) for at in range(0, len(numbers), _AT_ONCE)])


def _varints(numbers: "np.ndarray[Any, np.dtype[Any]]") -> bytes:
    left = numbers.astype(np.int64 if numbers.dtype.kind == "i" else np.uint64).view(np.uint64)
    lengths = np.ones(len(left), np.intp)
    for place in range(1, _MOST_DIGITS):
        lengths += left >= np.uint64(1 << 7 * place)
    ends = np.cumsum(lengths)
    starts = ends - lengths
    written = np.empty(int(ends[-1]), np.uint8)
    for place in range(int(lengths.max())):
        more = lengths > place + 1
        written[starts + place] = (left & np.uint64(0x7F)).astype(np.uint8) | (more.astype(np.uint8) << 7)
        starts, left, lengths = starts[more], left[more] >> np.uint64(7), lengths[more]
    return written.tobytes()


def _spans(message: bytes, instance_fields: tuple[int, ...]) -> list[DataSpan]:
    spans: list[DataSpan] = []
    numbers = set()
    instances = 0
    for field in _fields(message, 0, len(message)):
        numbers.add(field.number)
        if field.number == _SPEC:
            _expect(field.kind == LENGTH_DELIMITED and not instances)
            continue
        _expect(field.number in instance_fields and field.kind == LENGTH_DELIMITED)
        names = set()
        for item in _fields(message, field.start, field.stop):
            _expect(item.number == _ITEMS and item.kind == LENGTH_DELIMITED)
            span = _item(message, item, instances)
            _expect(span.name not in names)
            names.add(span.name)
            spans.append(span)
        _expect(bool(names))
        instances += 1
        _expect(len(spans) <= _MOST_SPANS)
    _expect(bool(spans) and len(numbers - {_SPEC}) == 1)  # not instances of both generations
    return spans


def _item(message: bytes, item: _Field, instance: int) -> DataSpan:
    """An entry of the map from names to tensors."""
    parts = _once(message, item)
    key, value = parts.get(_KEY), parts.get(_VALUE)
    _expect(key is not None and value is not None and len(parts) == 2)
    assert key is not None and value is not None
    _expect(key.kind == value.kind == LENGTH_DELIMITED)
    tensor = _once(message, value)
    _expect(tensor.keys() <= {_SHAPE, _DTYPE, _DATA} and _DATA in tensor)
    data = tensor[_DATA]
    _expect(data.kind == LENGTH_DELIMITED)
    return DataSpan(instance, message[key.start : key.stop], data.start, data.stop)


def _once(message: bytes, outer: _Field) -> dict[int, _Field]:
    """The fields in there, none of which is repeated."""
    found: dict[int, _Field] = {}
    for field in _fields(message, outer.start, outer.stop):
        _expect(field.number not in found)
        found[field.number] = field
    return found


def _fields(message: bytes, at: int, stop: int) -> Iterator[_Field]:
    while at < stop:
        tag, at = _varint(message, at)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            start, (_, at) = at, _varint(message, at)
        else:
            _expect(kind == LENGTH_DELIMITED)
            length, start = _varint(message, at)
            at = start + length
        _expect(at <= stop)
        yield _Field(number, kind, start, at)


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """Its value, and where it ends."""
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        _expect(shift < 64)


def _expect(usual: bool) -> None:
    if not usual:
        raise _Unusual
