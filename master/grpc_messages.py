"""gRPC's own layer upon HTTP/2: messages with a length, compression, timeouts, status texts, binary metadata.

Source: github.com/grpc/grpc, doc/PROTOCOL-HTTP2.md and doc/compression.md.
"""

import base64
import binascii
import re
import zlib
from collections import deque
from collections.abc import Sequence
from io import BytesIO
from struct import Struct
from typing import Final, TypeAlias

from mindspore_serving.master.http2.frames import Piece
from mindspore_serving.master.http2.headers import Field
from mindspore_serving.master.service_table import Metadata, RpcFault, Status

PREFIX_BYTES: Final = 5  # whether it is compressed, and its length in 4 bytes
Prefix: TypeAlias = tuple[int, int]  # these two
SMALL_BYTES = 4096  # of a body's piece: such ones are put together, or what they need beside their bytes would add up
RESERVED_TIMES = 4  # what has come of a large message: room for so many times as much is made, up to its length
ENCODINGS = {b"identity": None, b"gzip": zlib.MAX_WBITS | 16, b"deflate": zlib.MAX_WBITS}  # to zlib's wbits
ACCEPT_ENCODING: Final[Field] = (b"grpc-accept-encoding", b",".join(ENCODINGS))

LONGEST_TEXT_BYTES = 4096  # of a status, as it is sent

read_prefix: Final = Struct(">BL").unpack_from  # gives a Prefix

_CUT = " ..."
_TIMEOUT = re.compile(rb"(\d{1,8})([HMSmun])")
_UNIT_SECONDS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_PLAIN = frozenset(range(0x20, 0x7F)) - {ord("%")}


def parse_timeout(text: bytes) -> float:
    """A grpc-timeout in seconds. Raises RpcFault."""
    found = _TIMEOUT.fullmatch(text)
    if found is None:
        raise RpcFault(Status.INTERNAL, "grpc-timeout is not a number of at most 8 digits and a unit")
    return int(found[1]) * _UNIT_SECONDS[found[2]]


def percent_encode(text: str) -> bytes:
    """A grpc-message."""
    encoded = text.encode("utf-8", "replace")
    return b"".join(bytes((byte,)) if byte in _PLAIN else b"%%%02X" % byte for byte in encoded)


def short_text(text: str) -> str:
    """As much of it as a grpc-message may have: clients take 8 KB of metadata, or refuse all of it."""
    left = LONGEST_TEXT_BYTES
    for place, letter in enumerate(text):
        left -= 1 if ord(letter) in _PLAIN else 3 * len(letter.encode("utf-8", "replace"))
        if left < 0:
            return f"{text[: max(0, place - len(_CUT))]}{_CUT}"
    return text


def decode_metadata(name: bytes, value: bytes) -> list[tuple[str, str | bytes]]:
    """A header field as metadata; binary ones may hold several values. Raises RpcFault."""
    key = name.decode("ascii")
    if not name.endswith(b"-bin"):
        return [(key, value.decode("latin-1"))]
    try:
        return [(key, base64.b64decode(part.rstrip(b"=") + b"=" * (-len(part.rstrip(b"=")) % 4), validate=True))
                for part in value.replace(b" ", b"").split(b",")]  # fmt: skip
    except binascii.Error as error:
        raise RpcFault(Status.INTERNAL, f"metadata {key} is not base64") from error


def encode_metadata(metadata: Metadata) -> tuple[Field, ...]:
    """Metadata as header fields."""
    return tuple(
        (
            key.lower().encode("ascii"),
            base64.b64encode(value).rstrip(b"=") if isinstance(value, bytes) else value.encode("ascii", "replace"),
        )
        for key, value in metadata
    )


def message_prefix(message: bytes) -> bytes:
    """What stands before a message that is not compressed."""
    return b"\0" + len(message).to_bytes(4, "big")


class MessageReader:
    """The messages in a body, taken out one by one; what was not taken stays as it came.

    One that comes in many pieces is put together as they come, so that each byte is copied once.
    """

    __slots__ = ("_at", "_chunks", "_flag", "_lacking", "_largest", "_long", "_reserved", "_wbits", "size")

    def __init__(self, encoding: bytes, largest: int) -> None:
        self._wbits = ENCODINGS[encoding]
        self._largest = largest
        self._long: BytesIO | None = None  # a message, from behind its prefix on, that stands before the chunks
        self._flag = 0  # of it
        self._lacking = 0  # bytes of it
        self._reserved = 0  # bytes of memory for it
        self._chunks: deque[bytes] = deque()
        self._at = 0  # where the next message begins in the first chunk
        self.size = 0  # bytes that were fed and not taken

    def feed(self, pieces: Sequence[Piece], size: int) -> None:
        """What comes next of the body, so many bytes; afterwards they may change."""
        self.size += size
        if self._long is None and not self._chunks and pieces and self._is_begin(pieces[0], size):
            pieces, size = (pieces[0][PREFIX_BYTES:], *pieces[1:]), size - PREFIX_BYTES
        if self._long is not None and size <= self._lacking:
            self._reserve(self._long, size)
            self._long.writelines(pieces)
            self._lacking -= size
            return
        for piece in pieces:
            self._feed(piece)

    def _feed(self, piece: Piece) -> None:
        if self._long is not None and self._lacking:
            written = self._long.write(piece[: self._lacking])
            self._lacking -= written
            piece = piece[written:]
        if piece:
            self._keep(bytes(piece))

    @property
    def held(self) -> int:
        """Bytes of memory for what was fed and not taken."""
        return self.size if self._long is None else self.size + max(0, self._reserved - self._long.tell())

    @property
    def missing(self) -> int:
        """Bytes that the message at hand still lacks; 0 when it is complete or its length is unknown.

        Raises RpcFault when it will be too large.
        """
        if self._long is not None:
            return self._lacking
        return 0 if self.size < PREFIX_BYTES else max(0, PREFIX_BYTES + self._next_length() - self.size)

    def take(self) -> bytes | None:
        """The next message, if it is complete. Raises RpcFault when it is too large or cannot be read."""
        if self._long is not None:
            return self._take_long(self._long)
        if self.size < PREFIX_BYTES:
            return None
        length = self._next_length()
        whole = PREFIX_BYTES + length
        if self.size < whole:
            return None
        if len(self._chunks[0]) - self._at < whole:
            self._join()
        first, at = self._chunks[0], self._at
        flag = first[at]
        message = first[at + PREFIX_BYTES : at + whole]
        self.size -= whole
        self._at += whole
        if self._at == len(first):
            self._chunks.popleft()
            self._at = 0
        return self._decompress(message) if flag else message

    def _is_begin(self, piece: Piece, size: int) -> bool:
        """Whether a message begins here that goes on behind these bytes, or in their next piece.

        What is wrong with one comes to light elsewhere.
        """
        length = int.from_bytes(piece[1:PREFIX_BYTES], "big")
        if not PREFIX_BYTES <= len(piece) < PREFIX_BYTES + length or size > PREFIX_BYTES + length:
            return False
        if length > self._largest or piece[0] > (self._wbits is not None):
            return False
        self._flag = piece[0]
        self._lacking = length
        self._reserved = 0
        self._long = BytesIO()
        return True

    def _reserve(self, message: BytesIO, size: int) -> None:
        """Makes room for so many bytes more: else a message is moved again and again as it grows."""
        done = message.tell()
        if done + size > self._reserved:
            self._reserved = min(done + self._lacking, RESERVED_TIMES * (done + size))
            message.seek(self._reserved - 1)
            message.write(b"\0")
            message.seek(done)

    def _keep(self, chunk: bytes) -> None:
        chunks = self._chunks
        if chunks and len(chunks[-1]) + len(chunk) <= SMALL_BYTES:
            chunks[-1] += chunk
        else:
            chunks.append(chunk)

    def _take_long(self, message: BytesIO) -> bytes | None:
        if self._lacking:
            return None
        whole = message.getvalue()  # without a copy
        self._long = None
        self.size -= PREFIX_BYTES + len(whole)
        return self._decompress(whole) if self._flag else whole

    def _next_length(self) -> int:
        if len(self._chunks[0]) - self._at < PREFIX_BYTES:
            self._join()
        first, at = self._chunks[0], self._at
        if first[at] > 1:
            raise RpcFault(Status.INTERNAL, "a message that begins with neither 0 nor 1")
        if first[at] and self._wbits is None:
            raise RpcFault(Status.INTERNAL, "a compressed message without grpc-encoding")
        length = int.from_bytes(first[at + 1 : at + PREFIX_BYTES], "big")
        if length > self._largest:
            raise self._too_large(length)
        return length

    def _join(self) -> None:
        first = self._chunks.popleft()
        joined = b"".join((first[self._at :], *self._chunks))
        self._chunks.clear()
        self._chunks.append(joined)
        self._at = 0

    def _decompress(self, message: bytes) -> bytes:
        assert self._wbits is not None
        stream = zlib.decompressobj(self._wbits)
        try:
            plain = stream.decompress(message, self._largest + 1)  # never more, whatever it would become
        except zlib.error as error:
            raise RpcFault(Status.INTERNAL, "a message that cannot be decompressed") from error
        if len(plain) > self._largest:
            raise self._too_large(len(plain))
        if not stream.eof or stream.unused_data:
            raise RpcFault(Status.INTERNAL, "a message that cannot be decompressed")
        return plain

    def _too_large(self, length: int) -> RpcFault:
        text = f"Received message larger than max ({length} vs. {self._largest})"
        return RpcFault(Status.RESOURCE_EXHAUSTED, text)
