"""Header blocks <-> fields: HPACK (RFC 7541) by the hpack library, behind a cache for blocks that recur.

A block means the same until an entry is added to the dynamic table. After a client's first calls few of its blocks
add any, and none of ours.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

import hpack

from mindspore_serving.master.http2.errors import ConnectionFault, ErrorCode, StreamFault
from mindspore_serving.master.http2.limits import Limits
from mindspore_serving.master.http2.openings import Entries, Mark, Opening

Field: TypeAlias = tuple[bytes, bytes]
Fields: TypeAlias = tuple[Field, ...]

MOST_CACHED = 256  # blocks, each way
LARGEST_CACHED = 1024  # bytes of a block of the peer's,
LARGEST_CACHED_FIELDS = 4096  # and of what it stands for: a few bytes can name large entries of the table many times
_INDEXED = bytes(range(0x80, 0xFF))  # an indexed field of one byte; 0xff begins an index of several
_TABLE_BYTES = 4096
_NAME = re.compile(rb":?[!#$%&'*+\-.^_`|~0-9a-z]+")
_BAD_VALUE = re.compile(rb"[\x00\r\n]|^[ \t]|[ \t]$")
_PSEUDO = frozenset((b":method", b":scheme", b":path", b":authority"))
_REQUIRED = frozenset((b":method", b":scheme", b":path"))
_SECRETS = frozenset((b"authorization", b"cookie"))  # not kept for longer than their connection
_OF_HTTP_1 = frozenset((b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"))


class Request(NamedTuple):
    """A request's fields as its owner reads them, and the length that it promises for its body."""

    head: Any
    content_length: int | None


class HeaderReader:
    """The decompressing side of a connection. `interpret` makes of a request's fields what its owner wants to see.

    opening: where it begins, of all connections with the same `interpret` and limits.
    """

    def __init__(self, interpret: Callable[[Fields], Any], limits: Limits, opening: Opening) -> None:
        self._interpret = interpret
        self._opening: Opening | None = opening  # None: where it has come to is not remembered
        self._decoder = hpack.Decoder(limits.max_header_bytes)
        self._known: dict[bytes, Request] = {}
        self.recall = self._known.get  # what a block was read as; None, if it has to be read

    def read_request(self, block: bytes) -> Request:
        """Raises StreamFault for fields that are no request, ConnectionFault for what is no header block."""
        request = self.recall(block)
        if request is None:
            request = self._follow(block)
        return self._read(block) if request is None else request

    def read_trailers(self, block: bytes) -> None:
        """Checks fields after a body, which nobody wants. Raises StreamFault and ConnectionFault."""
        for name, value in self._decode(block)[0]:
            if name.startswith(b":"):
                raise StreamFault(ErrorCode.PROTOCOL_ERROR, f"{name!r} after a body")
            _check_field(name, value)

    def skip(self, block: bytes) -> None:
        """Keeps the state right for a block that comes too late. Raises ConnectionFault."""
        self._decode(block)

    def _follow(self, block: bytes) -> Request | None:
        """What a block means that other connections have begun with; None, if it has to be read."""
        step = None if self._opening is None else self._opening.follow(block, self._decoder.header_table)
        if step is None:
            return None
        self._known.clear()
        self._opening = step.after
        found: Request = step.result
        return found

    def _read(self, block: bytes) -> Request:
        opening = self._opening
        fields, added = self._decode(block)
        content_length = _check_request(fields)
        request = Request(self._interpret(fields), content_length)
        if added is not None and len(block) <= LARGEST_CACHED and _size(fields) <= LARGEST_CACHED_FIELDS:
            if not added:
                if len(self._known) >= MOST_CACHED:
                    self._known.clear()
                self._known[block] = request
            elif opening is not None and _SECRETS.isdisjoint(_names(fields)):
                self._opening = opening.remember(block, request, added)
        return request

    def _decode(self, block: bytes) -> tuple[Fields, Entries | None]:
        """The fields, and what the block added to the table: if nothing, it will mean the same again.

        None for a change of other kind.
        """
        mark = Mark(self._decoder.header_table.dynamic_entries)
        try:
            fields = tuple(self._decoder.decode(block, raw=True))
        except hpack.OversizedHeaderListError as error:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "header fields that are too large") from error
        except hpack.HPACKError as error:
            # Its text may have all of the block, tokens too: too long for a GOAWAY, and not for the log.
            raise ConnectionFault(ErrorCode.COMPRESSION_ERROR, "a header block that cannot be read") from error
        resizes = block[:1] and block[0] & 0xE0 == 0x20  # RFC 7541 §6.3: has to be done again
        added = mark.added()
        if added != ():
            self._known.clear()
        if added != () or resizes:
            self._opening = None  # unless somebody notes where this leads
        return fields, None if resizes else added


class HeaderWriter:
    """The compressing side of a connection. opening: where it begins, of all connections."""

    def __init__(self, opening: Opening) -> None:
        self._opening: Opening | None = opening
        self._encoder = hpack.Encoder()
        self._new_sizes: list[int] = []  # that the peer has set since the last block; patience bounds them
        self._known: dict[Fields, bytes] = {}
        self.edition = 0  # a block that is known stays so within one

    def recall(self, fields: Fields) -> bytes | None:
        """The block that write() would make, if that leaves the table as it is."""
        return self._known.get(fields)

    def write(self, lasting: Fields, passing: Sequence[Field] = ()) -> bytes:
        """A header block. `lasting` fields recur and go into the table; `passing` ones do not."""
        if self._new_sizes:
            self._resize()
        block = self._known.get(lasting)
        if block is None:
            block = self._follow(lasting)
        if block is None:
            block = self._encode(lasting)
        if passing:
            block += self._encoder.encode([(name, value, True) for name, value in passing])
        return block

    def set_table_size(self, size: int) -> None:
        """The peer's SETTINGS_HEADER_TABLE_SIZE: we use at most the usual size, whatever it offers."""
        self._forget()
        self._new_sizes.append(min(size, _TABLE_BYTES))

    def _follow(self, lasting: Fields) -> bytes | None:
        """The block that other connections have made of these fields here, if any."""
        step = None if self._opening is None else self._opening.follow(lasting, self._encoder.header_table)
        if step is None:
            return None
        self._forget()
        self._opening = step.after
        found: bytes = step.result
        return found

    def _encode(self, lasting: Fields) -> bytes:
        mark = Mark(self._encoder.header_table.dynamic_entries)
        block = self._encoder.encode(lasting)
        if _is_indexed(block):
            if len(self._known) < MOST_CACHED:
                self._known[lasting] = block
            return block
        self._forget()
        if added := mark.added():
            opening, self._opening = self._opening, None
            if opening is not None and len(block) <= LARGEST_CACHED:
                self._opening = opening.remember(lasting, block, added)
        elif added is None:
            self._opening = None
        return block

    def _resize(self) -> None:
        """RFC 7541 §4.2: the smallest of the sizes since the last block, then the last; none between."""
        for size in dict.fromkeys((min(self._new_sizes), self._new_sizes[-1])):
            if size != self._encoder.header_table_size:
                self._opening = None
            self._encoder.header_table_size = size
        self._new_sizes.clear()

    def _forget(self) -> None:
        self._known.clear()
        self.edition += 1


def _names(fields: Fields) -> Iterable[bytes]:
    return [name for name, _ in fields]


def _size(fields: Fields) -> int:
    return sum(len(name) + len(value) for name, value in fields)


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
