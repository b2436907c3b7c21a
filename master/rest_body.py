"""HTTP bodies: read and unpacked within a limit, and packed for clients that ask for it."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from starlette.requests import Request

from mindspore_serving.master.error_status import TOO_LARGE, TOO_SLOW, UNAVAILABLE, UNKNOWN_ENCODING, CallFault
from mindspore_serving.master.v2_types import quoted, refuse
from mindspore_serving.master.waits import within

BODIES_HELD = 4  # bodies of the largest size, or as many bytes of smaller ones, may wait to be read
OVERLOADED_TEXT = "the master holds too many large requests: send it again later"
SMALLEST_PACKED = 1024  # bytes: below, packing costs more than it saves
_STEP = 1 << 18  # bytes that are (un)packed before the loop's other work has its turn
_FAST = 1  # zlib's level: four times as quick as its default, for a tenth more bytes
_WINDOW_BITS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}  # RFC 9110 §8.4.1: deflate has zlib's header


class Overloaded(Exception):
    """There is no room for this body now."""


class Room:
    """What the bodies of a door may take together, from their first byte until they are read."""

    def __init__(self, most_bytes: int) -> None:
        """`most_bytes`: of one body."""
        self.most_bytes = most_bytes
        self.held_bytes = 0

    @contextmanager
    def place(self) -> Iterator["Place"]:
        """Of one body. It is given back at the end."""
        place = Place(self)
        try:
            yield place
        finally:
            self.held_bytes -= place.held_bytes


class Place:
    """What one body takes so far."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self.held_bytes = 0

    def take(self, count: int) -> None:
        """So many bytes more. Raises Overloaded."""
        self.held_bytes += count
        self.room.held_bytes += count
        if self.room.held_bytes > BODIES_HELD * self.room.most_bytes:
            raise Overloaded


async def read_body(request: Request, place: Place, seconds: float) -> bytes:
    """The whole body, unpacked. Raises CallFault, ClientDisconnect."""
    try:
        return await _read_unpacked(request, place, seconds)
    except Overloaded as error:
        raise CallFault(UNAVAILABLE, OVERLOADED_TEXT) from error


async def _read_unpacked(request: Request, place: Place, seconds: float) -> bytes:
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity" and encoding not in _WINDOW_BITS:
        raise CallFault(UNKNOWN_ENCODING, f"Content-Encoding {quoted(encoding)} is neither gzip nor deflate")
    try:
        body = await within(seconds, collect(request, place))
    except asyncio.TimeoutError as error:
        raise CallFault(TOO_SLOW, f"the request was not complete after {seconds:g} s") from error
    return body if encoding == "identity" else await unpack(body, encoding, place)


async def collect(request: Request, place: Place) -> bytes:
    """The whole body as it was sent. Raises CallFault, Overloaded, ClientDisconnect."""
    announced = request.headers.get("content-length", "0")
    _check(int(announced) if announced.isdecimal() else 0, place.room.most_bytes)
    chunks, size = [], 0
    stream: AsyncIterator[bytes] = request.stream()
    async for chunk in stream:
        chunks.append(chunk)
        size += len(chunk)
        _check(size, place.room.most_bytes)
        place.take(len(chunk))
    return b"".join(chunks)


async def unpack(body: bytes, encoding: str, place: Place) -> bytes:
    """What was packed with gzip or deflate. Raises CallFault as soon as it is more than one body may be; Overloaded."""
    unpacker = zlib.decompressobj(_WINDOW_BITS[encoding])
    parts, size = [], 0
    packed: bytes = body
    try:
        while not unpacker.eof:
            part = unpacker.decompress(packed, _STEP)
            packed = unpacker.unconsumed_tail
            size += len(part)
            _check(size, place.room.most_bytes)
            place.take(len(part))
            parts.append(part)
            if not part and not packed and not unpacker.eof:
                refuse(f"the body ends in the middle of its {encoding} data")
            await asyncio.sleep(0)
    except zlib.error as error:
        refuse(f"the body is not {encoding} data: {error}")
    if unpacker.unused_data:
        refuse(f"{len(unpacker.unused_data)} bytes follow the end of the body's {encoding} data")
    return b"".join(parts)


def wanted_encoding(accept: str) -> str:
    """gzip, deflate or identity: what an Accept-Encoding header prefers of them (RFC 9110 §12.5.3)."""
    weights: dict[str, float] = {}
    for item in accept.lower().split(","):
        name, *parameters = (word.strip() for word in item.split(";"))
        weights[name] = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                weights[name] = _weight(parameter.removeprefix("q="))
    offers = {encoding: weights.get(encoding, weights.get("*", 0.0)) for encoding in _WINDOW_BITS}
    best = max(offers, key=lambda encoding: offers[encoding])
    return best if offers[best] > 0 else "identity"


async def pack(body: bytes, encoding: str) -> bytes:
    """The body, packed with gzip or deflate."""
    packer = zlib.compressobj(_FAST, zlib.DEFLATED, _WINDOW_BITS[encoding])
    parts = []
    for start in range(0, len(body), _STEP):
        parts.append(packer.compress(body[start : start + _STEP]))
        await asyncio.sleep(0)
    return b"".join((*parts, packer.flush()))


def _check(size: int, most_bytes: int) -> None:
    if size > most_bytes:
        raise CallFault(TOO_LARGE, f"the request is bigger than {most_bytes} bytes: see --max-message-mb of the master")


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
