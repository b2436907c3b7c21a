"""How many fields a protobuf message has, before it is parsed: each becomes an object, up to a hundred times its size.

A message of 100 MB can hold fifty million empty instances, which take gigabytes and a minute. Only large messages are
looked at, since small ones cannot hold many; of those, only what has fields of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from mindspore_serving.master.service_table import RpcFault, Status

LARGE_BYTES = 4 << 20
MOST_FIELDS = 1 << 20  # some ten for each of 65536 instances

Nested: TypeAlias = "Mapping[int, Nested]"  # field number -> the same of the message that the field holds

_INSTANCE: Nested = {1: {2: {}}}  # its items, a map: of an entry the value, a tensor
PREDICT: Nested = {2: _INSTANCE, 3: _INSTANCE}
INFER: Nested = {5: {5: {}}, 6: {}}  # inputs with their typed contents, and outputs

_LONGEST_SHIFT = 63
_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5


def check_fields(message: bytes, nested: Nested, most: int = MOST_FIELDS) -> None:
    """Raises RpcFault when a large message has more fields than that. What is wrong with it, its parser says."""
    if len(message) > LARGE_BYTES and _has_more_fields(message, nested, most):
        raise RpcFault(
            Status.RESOURCE_EXHAUSTED, f"the request has more than {most} fields: send fewer instances at once"
        )


def _has_more_fields(message: bytes, nested: Nested, most: int) -> bool:
    waiting = [(0, len(message), nested)]
    seen = 0
    try:
        while waiting:
            at, end, inner = waiting.pop()
            while at < end:
                seen += 1
                if seen > most:
                    return True
                key, at = _number(message, at)
                kind = key & 7
                if kind == _LENGTH:
                    length, at = _number(message, at)
                    if length and (within := inner.get(key >> 3)) is not None:
                        waiting.append((at, min(at + length, end), within))
                    at += length
                elif kind == _VARINT:
                    _, at = _number(message, at)
                else:
                    at += {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}.get(kind, 0)
    except IndexError:
        return False  # a broken number
    return False


def _number(message: bytes, at: int) -> tuple[int, int]:
    """A varint, and where it ends."""
    byte = message[at]
    if byte < 128:
        return byte, at + 1
    value, shift = byte & 127, 7
    while True:
        at += 1
        byte = message[at]
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at + 1
        shift += 7
        if shift > _LONGEST_SHIFT:
            raise IndexError("a number of more than ten bytes")
