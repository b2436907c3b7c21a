"""A master's whole path in memory, without sockets: from the bytes of a client to a worker, and back."""

import asyncio
import time

import hpack
import msgpack
import numpy as np

from mindspore_serving.bench.load import PREDICT
from mindspore_serving.client.wire_values import request_bytes
from mindspore_serving.cluster.codec import decode, encode
from mindspore_serving.cluster.dispatch_events import Limits
from mindspore_serving.cluster.messages import BatchDone, FromMaster, FromWorker, MethodSpec, Register, RunBatch
from mindspore_serving.event_loop import run
from mindspore_serving.master.client_memory import ClientMemory
from mindspore_serving.master.front_desk import FrontDesk
from mindspore_serving.master.grpc_messages import message_prefix
from mindspore_serving.master.http2 import frames
from mindspore_serving.master.http2.frames import Kind
from mindspore_serving.master.lean_connection import LeanConnection
from mindspore_serving.master.lean_door import LeanDoor
from mindspore_serving.master.services import services

CALLERS = 8  # that call at once: the dispatcher takes bursts
BURSTS = 25  # a round
CALLS = CALLERS * BURSTS
MOST_ROUNDS = 3
FIELDS = (
    (":method", "POST"),
    (":scheme", "http"),
    (":path", PREDICT),
    (":authority", "memory"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
)
_X = np.ones((2, 2), np.float32)


class MemoryWorker:
    """Answers each batch with its first input. Its messages pass through the codec, both ways, as over a socket."""

    def __init__(self) -> None:
        self._pack = msgpack.Packer().pack
        self.desk = FrontDesk(Limits(), self._send)
        self._say(Register(1, "add", 1, (MethodSpec("add", ("x1", "x2"), ("y",), 64),), "CPU:0", "here", 1))

    def _send(self, worker_id: str, message: FromMaster) -> bool:
        batch = decode(encode(message, self._pack))
        if isinstance(batch, RunBatch):
            # In the next turn of the loop, as from a socket.
            asyncio.get_running_loop().call_soon(self._say, BatchDone(batch.batch_id, batch.columns[:1]))
        return True

    def _say(self, message: FromWorker) -> None:
        decoded = decode(encode(message, self._pack))
        assert isinstance(decoded, FromWorker)
        self.desk.receive("w", decoded)


class MemoryTransport(asyncio.Transport):
    """Takes what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.last = b""  # that was written

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing waits here."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.last = bytes(data)


class MemoryClient:
    """One connection to a door, and the calls of one message on it."""

    def __init__(self, door: LeanDoor, message: bytes) -> None:
        self.transport = MemoryTransport()
        self._connection = LeanConnection(door)
        self._connection.connection_made(self.transport)
        self._encoder = hpack.Encoder()
        self._body = message_prefix(message) + message
        self._stream = -1
        granted = frames.window_frame(0, frames.LARGEST_WINDOW - frames.DEFAULT_WINDOW)
        self._hear(frames.PREFACE + frames.settings_frame({}) + granted)

    def burst(self) -> bytes:
        """CALLERS calls, as they come with one receipt."""
        said = b""
        for _ in range(CALLERS):
            self._stream += 2
            block = self._encoder.encode(FIELDS)
            said += frames.pack(Kind.HEADERS, frames.END_HEADERS, self._stream, block)
            said += frames.pack(Kind.DATA, frames.END_STREAM, self._stream, self._body)
        return said

    async def call(self, burst: bytes) -> None:
        """Until all are answered."""
        self._hear(burst)
        while self._connection.idle_since is None:  # noqa: ASYNC110  some turns of the loop, which count
            await asyncio.sleep(0)

    def _hear(self, data: bytes) -> None:
        self._connection.get_buffer(-1)[: len(data)] = data
        self._connection.buffer_updated(len(data))


async def _serve(instances: int, rounds: int) -> float:
    """CPU seconds of the calls."""
    request = request_bytes("add", "add", 0, [{"x1": _X, "x2": _X}] * instances)
    desk = MemoryWorker().desk
    client = MemoryClient(LeanDoor(services(desk, ClientMemory()), 1), request)
    # What making them takes is the same, however many are called.
    bursts = [client.burst() for _ in range(BURSTS * MOST_ROUNDS)]
    started_at = time.process_time()
    for burst in bursts[: BURSTS * rounds]:
        await client.call(burst)
        assert client.transport.last.count(_X.tobytes()) == CALLERS * instances
    seconds = time.process_time() - started_at
    desk.close()
    return seconds


async def _wait_often(rounds: int) -> None:
    loop = asyncio.get_running_loop()
    for _ in range(CALLS * rounds):
        future: asyncio.Future[None] = loop.create_future()
        loop.call_soon(future.set_result, None)
        await future


def one_instance(rounds: int) -> float:
    """Rounds of CALLS requests, up to MOST_ROUNDS. Returns the CPU seconds that they took."""
    return run(_serve(1, rounds), None)


def sixteen_instances(rounds: int) -> float:
    """The same with 16 instances each."""
    return run(_serve(16, rounds), None)


def yardstick(rounds: int) -> None:
    """Rounds of CALLS futures of asyncio's, which no change of ours makes slower."""
    asyncio.run(_wait_often(rounds))
