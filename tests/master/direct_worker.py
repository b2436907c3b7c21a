"""A fake worker that a master on its machine can reach past ZeroMQ."""

import mmap
import os
import secrets
import socket

import zmq

from mindspore_serving.cluster.codec import decode, encode
from mindspore_serving.cluster.direct import TOKEN_BYTES, DirectOffer, FrameReader, Outbox, Place, parts_of
from mindspore_serving.cluster.messages import BatchDone, FromWorker, Message, Register, RunBatch
from mindspore_serving.worker.answer_memory import AnswerMemory
from tests.master.fake_worker import METHODS, WAIT_MILLISECONDS, FakeWorker


class DirectWorker(FakeWorker):
    """Registers by ZeroMQ, and talks on the direct connection from then on."""

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", port: int) -> None:
        self.offer = DirectOffer(secrets.token_hex(16), secrets.token_hex(16))
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.settimeout(WAIT_MILLISECONDS / 1000)
        self.listener.bind(self.offer.address)
        self.listener.listen()
        self.line: socket.socket | None = None
        self.heard: list[Message] = []
        super().__init__(context, port)

    def say(self, message: FromWorker) -> None:
        if isinstance(message, Register):
            self.register_again(message.registration)
            return
        assert self.line is not None
        outbox = Outbox()
        outbox.put(encode(message))
        self.send(outbox)

    def send(self, outbox: Outbox) -> None:
        """All of it, on the direct connection."""
        assert self.line is not None
        while outbox:
            outbox.sent(self.line.sendmsg(outbox.chunks()))

    def register_again(self, registration: int, offer: DirectOffer | None = None) -> None:
        """By ZeroMQ; nothing is read yet."""
        register = Register(registration, "add", 1, METHODS, "CPU:0", "here", 1, 2, offer or self.offer)
        self.socket.send_multipart(encode(register))

    def accept(self) -> None:
        """The master connects, and proves that it is the one that was told of this."""
        self.line, _ = self.listener.accept()
        self.line.settimeout(WAIT_MILLISECONDS / 1000)
        proof, memories, _, _ = socket.recv_fds(self.line, TOKEN_BYTES, 2)
        assert proof == self.offer.proof
        self.reader = FrameReader()
        if memories:
            self.memory = mmap.mmap(memories[0], 0, access=mmap.ACCESS_READ)
            self.answers = AnswerMemory(mmap.mmap(memories[1], 0))
            self.reader = FrameReader(parts_of(memoryview(self.memory)))
        for memory in memories:
            os.close(memory)

    def hear(self) -> Message:
        if self.line is None:
            self.accept()
        assert self.line is not None
        while not self.heard:
            count = self.line.recv_into(self.reader.buffer())
            assert count, "the master has closed the connection"
            self.heard += map(decode, self.reader.received(count))
        return self.heard.pop(0)

    def answer(self, batch: RunBatch) -> None:
        self.say(BatchDone(batch.batch_id, batch.columns[:1]))

    def answer_in_memory(self, batch: RunBatch) -> list[Place]:
        """The same, with its large frames in the master's memory; returns where."""
        header, *frames = encode(BatchDone(batch.batch_id, batch.columns[:1]))
        places = self.answers.put(frames)
        assert places
        outbox = Outbox()
        outbox.put_placed(header, places)
        self.send(outbox)
        return places

    def hang_up(self) -> None:
        """ZeroMQ's connection stays."""
        assert self.line is not None
        self.line.close()
        self.line = None

    def die(self) -> None:
        self.hang_up()
        self.close()

    def close(self) -> None:
        if self.line is not None:
            self.line.close()
        self.listener.close()
        self.socket.close(0)
