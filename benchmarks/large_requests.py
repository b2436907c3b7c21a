"""The CPU that the lean door spends on a large request, in memory: HTTP/2 and gRPC's messages, without sockets.

    python -m benchmarks.large_requests

Requests come in DATA frames as h2load cuts them (16 KB, whatever the server announces) or as gRPC's own clients do (as
large as the server announces), and in receipts of at most the door's buffer, as from a socket. Each receipt is copied
to where the door receives, as the kernel would; what this takes by itself is printed too.
"""

import argparse
import asyncio
import cProfile
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from benchmarks.memory_path import MemoryTransport
from mindspore_serving.master.grpc_messages import message_prefix
from mindspore_serving.master.http2 import frames
from mindspore_serving.master.http2.frames import Kind
from mindspore_serving.master.http2.limits import Limits
from mindspore_serving.master.lean_connection import LeanConnection
from mindspore_serving.master.lean_door import LeanDoor
from mindspore_serving.master.service_table import CallInfo, Unary

MESSAGE_BYTES = 3 * 224 * 224 * 4  # an image of float32
REQUESTS = 50  # a round
UNDER_WAY = 8  # whose bytes workers still need: so memory is not that which was free a moment ago
FRAME_BYTES = tuple(sorted({16 << 10, Limits().max_frame_bytes}))
RECEIPT_BYTES = (16 << 10, 64 << 10, 256 << 10)
_FIELDS = (
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/Images/Drop"),
    (b"te", b"trailers"),
    (b"content-type", b"application/grpc"),
)


class Cost(NamedTuple):
    """CPU time of one request, and of copying its bytes once."""

    microseconds: float
    copy_microseconds: float


def request(stream_id: int, message: bytes, frame_bytes: int) -> bytes:
    """A call as its client sends it, its fields without compression (RFC 7541 §6.2.2)."""
    block = b"".join(b"\0%c%s%c%s" % (len(name), name, len(value), value) for name, value in _FIELDS)
    body = message_prefix(message) + message
    said = frames.pack(Kind.HEADERS, frames.END_HEADERS, stream_id, block)
    for at in range(0, len(body), frame_bytes):
        flags = frames.END_STREAM if at + frame_bytes >= len(body) else 0
        said += frames.pack(Kind.DATA, flags, stream_id, body[at : at + frame_bytes])
    return said


async def measure(frame_bytes: int, receipt_bytes: int, rounds: int) -> Cost:
    """The best of both over the rounds: what disturbs a round only ever makes it slower."""
    message = bytes(range(256)) * (MESSAGE_BYTES // 256)
    arrived = 0
    under_way: deque[bytes] = deque(maxlen=UNDER_WAY)
    reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    reply.set_result(b"")

    def drop(body: bytes, _: CallInfo) -> "asyncio.Future[bytes]":
        nonlocal arrived
        arrived += 1
        under_way.append(body)
        return reply

    door = LeanDoor({"Images": {"Drop": Unary(drop)}}, 1)
    connection = LeanConnection(door)
    connection.connection_made(MemoryTransport())

    def hear(receipt: memoryview) -> None:
        connection.get_buffer(-1)[: len(receipt)] = receipt
        connection.buffer_updated(len(receipt))

    def copy(receipt: memoryview) -> None:
        door.inbox[: len(receipt)] = receipt

    hear(memoryview(frames.PREFACE + frames.settings_frame({})))
    streams = iter(range(1, frames.LARGEST_STREAM_ID, 2))
    costs = []
    for _ in range(rounds):
        said = [memoryview(request(next(streams), message, frame_bytes)) for _ in range(REQUESTS)]
        cuts = [[one[at : at + receipt_bytes] for at in range(0, len(one), receipt_bytes)] for one in said]
        costs.append(Cost(await _microseconds(hear, cuts), await _microseconds(copy, cuts)))
    assert arrived == rounds * REQUESTS and set(under_way) == {message}
    return Cost(*map(min, zip(*costs, strict=True)))


async def _microseconds(take: Callable[[memoryview], None], cuts: list[list[memoryview]]) -> float:
    started_at = time.process_time()
    for receipts in cuts:
        for receipt in receipts:
            take(receipt)
        await asyncio.sleep(0)  # the reply goes out
    return (time.process_time() - started_at) / len(cuts) * 1e6


def main() -> None:
    """Prints a table, or where the time goes."""
    parser = argparse.ArgumentParser(description="The lean door's CPU on large requests, in memory.")
    parser.add_argument("--rounds", type=int, default=15, help="of each kind (default: 15)")
    parser.add_argument("--profile", action="store_true", help="print a profile of h2load's kind instead")
    arguments = parser.parse_args()
    if arguments.profile:
        with cProfile.Profile() as profile:
            asyncio.run(measure(FRAME_BYTES[0], RECEIPT_BYTES[-1], arguments.rounds))
        profile.print_stats("tottime")
        return
    print(f"requests of {MESSAGE_BYTES} bytes\nframes KB   receipts KB   CPU us   MB/s   of it one copy, us")
    for frame_bytes in FRAME_BYTES:
        for receipt_bytes in RECEIPT_BYTES:
            cost = asyncio.run(measure(frame_bytes, receipt_bytes, arguments.rounds))
            speed = MESSAGE_BYTES / cost.microseconds
            print(
                f"{frame_bytes >> 10:9} {receipt_bytes >> 10:13} {cost.microseconds:8.0f} {speed:6.0f} "
                f"{cost.copy_microseconds:20.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
