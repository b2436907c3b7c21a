"""Header blocks <-> fields: HPACK (RFC 7541) by the hpack library, behind a cache for blocks that recur.

A block of nothing but indexed fields means the same until an entry is added to the dynamic table. After a client's
first calls nearly all of its blocks are such, and so are all of ours.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import hpack

from mindspore_serving.master.http2.errors import ConnectionFault, ErrorCode, StreamFault
from mindspore_serving.master.http2.limits import Limits

Field: TypeAlias = tuple[bytes, bytes]
Fields: TypeAlias = tuple[Field, ...]

MOST_CACHED = 256  # blocks, each way
_INDEXED = bytes(range(0x80, 0xFF))  # an indexed field of one byte; 0xff begins an index of several
_TABLE_BYTES = 4096
_NAME = re.compile(rb":?[!#$%&'*+\-.^_`|~0-9a-z]+")
_BAD_VALUE = re.compile(rb"[\x00\r\n]|^[ \t]|[ \t]$")
_PSEUDO = frozenset((b":method", b":scheme", b":path", b":authority"))
_REQUIRED = frozenset((b":method", b":scheme", b":path"))
_OF_HTTP_1 = frozenset((b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"))


class Request(NamedTuple):
    """A request's fields as its owner reads them, and the length that it promises for its body."""

    head: Any
    content_length: int | None


class HeaderReader:
    """The decompressing side of a connection. `interpret` makes of a request's fields what its owner wants to see."""

    def __init__(self, interpret: Callable[[Fields], Any], limits: Limits) -> None:
        self._interpret = interpret
        self._decoder = hpack.Decoder(limits.max_header_bytes)
        self._known: dict[bytes, Request] = {}

    def read_request(self, block: bytes) -> Request:
        """Raises StreamFault for fields that are no request, ConnectionFault for what is no header block."""
        request = self._known.get(block)
        if request is None:
            fields = self._decode(block)
            content_length = _check_request(fields)
            request = Request(self._interpret(fields), content_length)
            if _is_indexed(block):
                if len(self._known) >= MOST_CACHED:
                    self._known.clear()
                self._known[block] = request
        return request

    def read_trailers(self, block: bytes) -> None:
        """Checks fields after a body, which nobody wants. Raises StreamFault and ConnectionFault."""
        for name, value in self._decode(block):
            if name.startswith(b":"):
                raise StreamFault(ErrorCode.PROTOCOL_ERROR, f"{name!r} after a body")
            _check_field(name, value)

    def skip(self, block: bytes) -> None:
        """Keeps the state right for a block that comes too late. Raises ConnectionFault."""
        self._decode(block)

    def _decode(self, block: bytes) -> Fields:
        if not _is_indexed(block):
            self._known.clear()
        try:
            return tuple(self._decoder.decode(block, raw=True))
        except hpack.OversizedHeaderListError as error:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "header fields that are too large") from error
        except hpack.HPACKError as error:
            raise ConnectionFault(ErrorCode.COMPRESSION_ERROR, f"no header block: {error}") from error


class HeaderWriter:
    """The compressing side of a connection."""

    def __init__(self) -> None:
        self._encoder = hpack.Encoder()
        self._known: dict[Fields, bytes] = {}

    def write(self, lasting: Fields, passing: Sequence[Field] = ()) -> bytes:
        """A header block. `lasting` fields recur and go into the table; `passing` ones do not."""
        block = self._known.get(lasting)
        if block is None:
            block = self._encoder.encode(lasting)
            if _is_indexed(block):
                if len(self._known) < MOST_CACHED:
                    self._known[lasting] = block
            else:
                self._known.clear()
        if passing:
            block += self._encoder.encode([(name, value, True) for name, value in passing])
        return block

    def set_table_size(self, size: int) -> None:
        """The peer's SETTINGS_HEADER_TABLE_SIZE: we use at most the usual size, whatever it offers."""
        self._known.clear()
        self._encoder.header_table_size = min(size, _TABLE_BYTES)


def _is_indexed(block: bytes) -> bool:
    return not block.translate(None, _INDEXED)


def _check_request(fields: Fields) -> int | None:
    """Whether these are the fields of a request (RFC 9113 §8.2 and §8.3). The content-length, if given."""
    seen: set[bytes] = set()
    length: int | None = None
    regular = False
    for name, value in fields:
        if name.startswith(b":"):
            if regular or name not in _PSEUDO or name in seen:
                raise StreamFault(ErrorCode.PROTOCOL_ERROR, f"{name!r} unknown, repeated or after other fields")
            seen.add(name)
        else:
            regular = True
        _check_field(name, value)
        if name == b"content-length":
            if not value.isdigit() or len(value) > 18 or length not in (None, int(value)):
                raise StreamFault(ErrorCode.PROTOCOL_ERROR, "a content-length that is none")
            length = int(value)
    if not seen >= _REQUIRED or (b":path", b"") in fields:
        raise StreamFault(ErrorCode.PROTOCOL_ERROR, "a request without :method, :scheme or :path")
    return length


def _check_field(name: bytes, value: bytes) -> None:
    if not _NAME.fullmatch(name) or _BAD_VALUE.search(value):
        raise StreamFault(ErrorCode.PROTOCOL_ERROR, f"a header field that may not be: {name[:100]!r}")
    if name in _OF_HTTP_1 or (name == b"te" and value != b"trailers"):
        raise StreamFault(ErrorCode.PROTOCOL_ERROR, f"a header field of HTTP/1: {name!r}")
