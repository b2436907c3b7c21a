"""A worker that obeys the real control protocol over a real socket, and does what a test tells it."""

import itertools

import zmq

from mindspore_serving.cluster.codec import decode, encode
from mindspore_serving.cluster.messages import (
    BatchDone,
    FromWorker,
    Message,
    MethodSpec,
    Register,
    Registered,
    RunBatch,
)

METHODS = (MethodSpec("add_common", ("x1", "x2"), ("y",), 4), MethodSpec("echo", ("x",), ("y",), 4))
WAIT_MILLISECONDS = 60_000


class FakeWorker:
    """Registers at construction."""

    _numbers = itertools.count(1)

    def __init__(
        self,
        context: "zmq.Context[zmq.Socket[bytes]]",
        port: int,
        version: int = 1,
        methods: tuple[MethodSpec, ...] = METHODS,
    ) -> None:
        self.name = f"fake-{next(self._numbers)}"
        self.socket = context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.ROUTING_ID, self.name.encode())
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.RCVTIMEO, WAIT_MILLISECONDS)
        self.socket.connect(f"tcp://127.0.0.1:{port}")
        self.say(Register(1, "add", version, methods, "CPU:0", "here", 1))
        assert isinstance(self.hear(), Registered)

    def say(self, message: FromWorker) -> None:
        self.socket.send_multipart(encode(message))

    def hear(self) -> Message:
        return decode(self.socket.recv_multipart())

    def next_batch(self) -> RunBatch:
        """The next batch, whatever else is said before it."""
        while not isinstance(message := self.hear(), RunBatch):
            pass
        return message

    def echo(self) -> None:
        """Answers the next batch with its first input."""
        self.answer(self.next_batch())

    def echo_if_batch(self) -> None:
        """Hears one message, and answers it like echo() when it is a batch."""
        if isinstance(message := self.hear(), RunBatch):
            self.answer(message)

    def answer(self, batch: RunBatch) -> None:
        """Answers a batch with its first input."""
        self.say(BatchDone(batch.batch_id, batch.columns[:1]))

    def die(self) -> None:
        self.socket.close(0)
