"""HTTP bodies: read and unpacked within a limit, and packed for clients that ask for it."""

import asyncio
import zlib
from collections.abc import AsyncIterator

from starlette.requests import Request

from mindspore_serving.master.error_status import TOO_LARGE, TOO_SLOW, UNKNOWN_ENCODING, CallFault
from mindspore_serving.master.v2_types import quoted, refuse

SMALLEST_PACKED = 1024  # bytes: below, packing costs more than it saves
_STEP = 1 << 18  # bytes that are (un)packed before the loop's other work has its turn
_FAST = 1  # zlib's level: four times as quick as its default, for a tenth more bytes
_WINDOW_BITS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}  # RFC 9110 §8.4.1: deflate has zlib's header


async def read_body(request: Request, most_bytes: int, seconds: float) -> bytes:
    """The whole body, unpacked. Raises CallFault, ClientDisconnect."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", *_WINDOW_BITS):
        raise CallFault(UNKNOWN_ENCODING, f"Content-Encoding {quoted(encoding)} is neither gzip nor deflate")
    try:
        body = await asyncio.wait_for(_collect(request, most_bytes), seconds)
    except asyncio.TimeoutError as error:
        raise CallFault(TOO_SLOW, f"the request was not complete after {seconds:g} s") from error
    return body if encoding == "identity" else await unpack(body, encoding, most_bytes)


async def unpack(body: bytes, encoding: str, most_bytes: int) -> bytes:
    """What was packed with gzip or deflate. Raises CallFault as soon as it is more than `most_bytes`."""
    unpacker = zlib.decompressobj(_WINDOW_BITS[encoding])
    parts, size = [], 0
    packed: bytes = body
    try:
        while not unpacker.eof:
            part = unpacker.decompress(packed, _STEP)
            packed = unpacker.unconsumed_tail
            size += len(part)
            _check(size, most_bytes)
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


async def _collect(request: Request, most_bytes: int) -> bytes:
    announced = request.headers.get("content-length", "0")
    _check(int(announced) if announced.isdecimal() else 0, most_bytes)
    chunks, size = [], 0
    stream: AsyncIterator[bytes] = request.stream()
    async for chunk in stream:
        chunks.append(chunk)
        size += len(chunk)
        _check(size, most_bytes)
    return b"".join(chunks)


def _check(size: int, most_bytes: int) -> None:
    if size > most_bytes:
        raise CallFault(TOO_LARGE, f"the request is bigger than {most_bytes} bytes: see --max-message-mb of the master")


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
