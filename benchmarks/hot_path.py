"""The CPU that the master spends on a request, without sockets, against a yardstick: what CI guards.

    python -m benchmarks.hot_path

A request's bytes go through the front desk, the dispatcher and the codec to a worker in memory, whose reply goes all
the way back. The yardstick is asyncio's futures, which no change of ours makes slower. Of what was tried (protobuf,
msgpack, json, sorting, Python's own objects) the ratio to it varies least with how Python was built (1.2 times), and
with what else the core computes for its other half (1.05 times). Both run in turn in one thread.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import numpy as np

from mindspore_serving.bench.payload import decode
from mindspore_serving.client.wire_values import request_bytes
from mindspore_serving.cluster.codec import decode as decode_frames
from mindspore_serving.cluster.codec import encode
from mindspore_serving.cluster.dispatch_events import Limits
from mindspore_serving.cluster.messages import BatchDone, FromMaster, FromWorker, MethodSpec, Register, RunBatch
from mindspore_serving.master.front_desk import FrontDesk
from mindspore_serving.master.ms_service import Predict, ms_predict

ROUNDS = 15
CALLERS = 8  # that call at once: the dispatcher takes bursts
CALLS = 25  # of each caller a round
_X = np.ones((2, 2), np.float32)
REQUEST = request_bytes("add", "add", 0, [{"x1": _X, "x2": _X}])
Work = Callable[[], Awaitable[None]]


class MemoryWorker:
    """Answers each batch with its first input. Its messages pass through the codec, both ways, as over a socket."""

    def __init__(self) -> None:
        self.desk = FrontDesk(Limits(), self._send)
        self._say(Register(1, "add", 1, (MethodSpec("add", ("x1", "x2"), ("y",), 32),), "CPU:0", "here", 1))

    def _send(self, worker_id: str, message: FromMaster) -> bool:
        batch = decode_frames([*encode(message)])
        if isinstance(batch, RunBatch):
            # In the next turn of the loop, as from a socket.
            asyncio.get_running_loop().call_soon(self._say, BatchDone(batch.batch_id, batch.columns[:1]))
        return True

    def _say(self, message: FromWorker) -> None:
        frames = [*encode(message)]
        decoded = decode_frames(frames)
        assert isinstance(decoded, FromWorker)
        self.desk.receive("w", decoded)


async def serve(predict: Predict) -> None:
    """CALLERS callers, each CALLS requests."""

    async def caller() -> None:
        for _ in range(CALLS):
            await predict(REQUEST, None)

    await asyncio.gather(*(caller() for _ in range(CALLERS)))


async def yardstick() -> None:
    """Fixed work of about the same length that no change of ours makes slower."""
    loop = asyncio.get_running_loop()
    for _ in range(CALLERS * CALLS * 4):
        future: asyncio.Future[None] = loop.create_future()
        loop.call_soon(future.set_result, None)
        await future


async def _cpu_seconds(work: Work) -> float:
    start = time.thread_time()
    await work()
    return time.thread_time() - start


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU of one request, and how often the yardstick's goes into it."""

    microseconds: float
    ratio: float


async def measure(rounds: int = ROUNDS, work: Callable[[Predict], Awaitable[None]] = serve) -> Cost:
    """The best of both sides over the rounds: what disturbs a round only ever makes it slower."""
    desk = MemoryWorker().desk
    predict = ms_predict(desk)
    assert decode(await predict(REQUEST, None)) != []
    ours, theirs = [], []
    for _ in range(rounds):
        theirs.append(await _cpu_seconds(yardstick))
        ours.append(await _cpu_seconds(lambda: work(predict)))
    desk.close()
    return Cost(min(ours) / (CALLERS * CALLS) * 1e6, min(ours) / min(theirs))


def main() -> None:
    costs = [asyncio.run(measure()) for _ in range(20)]
    ratios = sorted(cost.ratio for cost in costs)
    print(f"{min(cost.microseconds for cost in costs):.1f} us of CPU a request without sockets (best of 20 runs)")
    print(f"against the yardstick: median {statistics.median(ratios):.3f}, from {ratios[0]:.3f} to {ratios[-1]:.3f}")


if __name__ == "__main__":
    main()
