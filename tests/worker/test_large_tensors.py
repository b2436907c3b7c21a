"""Large tensors pass through the worker as they are: from ZeroMQ's memory to the model, and from there into frames."""

import tracemalloc
from collections.abc import Sequence
from typing import Any

import msgpack
import numpy as np
import numpy.typing as npt

from mindspore_serving.cluster.codec import decode, encode
from mindspore_serving.cluster.messages import BatchDone, RunBatch
from mindspore_serving.cluster.tensors import Stacked
from mindspore_serving.worker.batch_plan import BatchPlan
from mindspore_serving.worker.complaints import Complaints
from mindspore_serving.worker.declarations import Method, Model, Stage
from mindspore_serving.worker.loaded_model import InputSpec
from mindspore_serving.worker.pipeline import Job

Array = npt.NDArray[Any]
COUNT, PIXELS = 8, 3 * 224 * 224


class Upscaler:
    """Gives an image for an image, and remembers what it was given."""

    inputs: tuple[InputSpec, ...] = (InputSpec("x", np.dtype(np.float32), (-1, PIXELS), batched=True),)
    plan = BatchPlan(dict.fromkeys(range(1, COUNT + 1), 1.0), fill=False)

    def __init__(self) -> None:
        self.output = np.ones((COUNT, PIXELS), np.float32)
        self.seen: list[Array] = []

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        self.seen = list(arrays)
        return [self.output]


def test_no_tensor_is_copied_between_the_frames_and_the_model() -> None:
    model, upscaler = Model(("a.mindir",), True, frozenset()), Upscaler()
    method = Method("predict", ("x",), ("y",), (Stage(1, model, (0,), (1,)),), (1,))
    pixels = np.arange(COUNT * PIXELS, dtype=np.float32)
    frames = encode(RunBatch(1, "predict", COUNT, (Stacked("<f4", (COUNT, PIXELS), pixels.tobytes()),)))
    sent: list[Any] = []
    pack_header = msgpack.Packer().pack

    def serve() -> None:
        batch = decode(frames)
        assert isinstance(batch, RunBatch)
        post, done = lambda stage, step: step(), lambda done: send(done)
        Job("s", method, batch, {model: upscaler}, post, done, Complaints()).start()

    def send(done: BatchDone) -> None:
        assert not done.failures
        sent.extend(encode(done, pack_header))

    serve()  # what is allocated once for all is there now
    sent.clear()
    tracemalloc.start()
    try:
        serve()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < pixels.nbytes / 50
    assert np.array_equal(upscaler.seen[0], pixels.reshape(COUNT, PIXELS))
    assert np.shares_memory(np.frombuffer(sent[1], np.float32), upscaler.output)
