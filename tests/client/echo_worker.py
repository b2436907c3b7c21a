"""A worker in a thread: it answers batches with their first input, and registers again when its master forgot it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import zmq

from mindspore_serving.cluster.codec import decode, encode
from mindspore_serving.cluster.messages import BatchDone, FromWorker, Heartbeat, Register, RunBatch, Unregistered
from tests.master.fake_worker import METHODS

BEAT_MILLISECONDS = 100


class EchoWorker:
    """Runs until close()."""

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", port: int, name: str) -> None:
        self._context = context
        self._endpoint = f"tcp://127.0.0.1:{port}"
        self._name = name
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        with self._context.socket(zmq.DEALER) as socket:
            socket.setsockopt(zmq.ROUTING_ID, self._name.encode())
            socket.setsockopt(zmq.LINGER, 0)
            socket.setsockopt(zmq.RECONNECT_IVL, 50)
            socket.connect(self._endpoint)

            def say(message: FromWorker) -> None:
                if socket.poll(0, zmq.POLLOUT):
                    socket.send_multipart(encode(message))

            register = Register(1, "add", 1, METHODS, "CPU:0", "here", 1)
            say(register)
            while not self._is_over.is_set():
                if not socket.poll(BEAT_MILLISECONDS):
                    say(Heartbeat())
                    continue
                match decode(socket.recv_multipart()):
                    case RunBatch() as batch:
                        say(BatchDone(batch.batch_id, batch.columns[:1]))
                    case Unregistered():
                        say(register)


@contextmanager
def echo_worker(context: "zmq.Context[zmq.Socket[bytes]]", port: int, name: str) -> Iterator[None]:
    """Runs an EchoWorker for the master whose control port this is."""
    worker = EchoWorker(context, port, name)
    try:
        yield
    finally:
        worker.close()
