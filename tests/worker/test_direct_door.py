"""The worker's door for a master on its machine: only who knows the token is let in, and what he says arrives."""

import os
import socket
from collections.abc import Iterator, Sequence

import pytest

from mindspore_serving.cluster.direct import READ_BYTES, DirectOffer, FrameReader, Outbox
from mindspore_serving.cluster.session_events import Event
from mindspore_serving.cluster.tensors import Buffer
from mindspore_serving.master.shared_memory import AnswerMemory, RequestMemory
from mindspore_serving.worker.direct_door import DirectDoor
from mindspore_serving.worker.watches import Watches

WAIT_SECONDS = 60.0


class Worker:
    """A door, and what it brought."""

    def __init__(self) -> None:
        self.watches = Watches()
        self.heard: list[list[bytes]] = []
        self.losses = 0
        self.door = DirectDoor(self._watch, self.watches.unwatch, self._hear, self._lose)

    def _watch(self, source: socket.socket, take: object, events: int = 1) -> None:
        def take_events() -> list[Event]:
            assert callable(take)
            take()
            return []

        self.watches.watch("master", source, take_events, events)

    def _hear(self, frames: Sequence[Buffer]) -> None:
        self.heard.append([bytes(frame) for frame in frames])

    def _lose(self) -> None:
        self.losses += 1

    def turn(self) -> None:
        """Takes what is there, or waits for something."""
        ready = self.watches.wait(WAIT_SECONDS)
        assert ready
        for _, take in ready:
            take()


@pytest.fixture
def worker() -> Iterator[Worker]:
    found = Worker()
    yield found
    found.door.close()


def connect(offer: DirectOffer | None, proof: bytes | None = None) -> socket.socket:
    assert offer is not None
    peer = socket.socket(socket.AF_UNIX)
    peer.settimeout(WAIT_SECONDS)
    peer.connect(offer.address)
    peer.sendall(offer.proof if proof is None else proof)
    return peer


def message(*frames: bytes) -> bytes:
    outbox = Outbox()
    outbox.put(frames)
    return b"".join(outbox.chunks())


def test_a_master_with_the_proof_is_heard_and_answered(worker: Worker) -> None:
    with connect(worker.door.offer(1)) as master:
        master.sendall(message(b"run"))
        while not worker.heard:
            worker.turn()
        assert worker.heard == [[b"run"]]
        assert worker.door.send([b"done"])
        assert master.recv(100) == message(b"done")


def test_before_a_master_has_connected_there_is_no_way(worker: Worker) -> None:
    worker.door.offer(1)
    assert not worker.door.send([b"done"])


def test_a_proof_may_come_in_pieces(worker: Worker) -> None:
    offer = worker.door.offer(1)
    assert offer is not None
    with connect(offer, offer.proof[:5]) as master:
        worker.turn()
        master.sendall(offer.proof[5:] + message(b"run"))
        while not worker.heard:
            worker.turn()


@pytest.mark.parametrize("proof", [b"\0" * 16, b"GET / HTTP/1.1\r\n"])
def test_who_has_no_proof_is_sent_away(worker: Worker, proof: bytes) -> None:
    with connect(worker.door.offer(1), proof) as stranger:
        worker.turn()
        assert stranger.recv(1) == b""
    assert worker.losses == 0 and not worker.door.send([b"secret"])


def test_a_new_registration_ends_the_old_connection_and_its_proof(worker: Worker) -> None:
    old = worker.door.offer(1)
    with connect(old) as first:
        worker.turn()
        assert worker.door.send([b"a"])
        assert worker.door.offer(1) == old  # only said again
        assert worker.door.offer(2) != old
        assert first.recv(100) == message(b"a")
        assert first.recv(100) == b""
        with connect(old) as late:
            worker.turn()
            assert late.recv(1) == b""
    assert worker.losses == 0


def test_strangers_who_say_nothing_do_not_keep_the_master_out(worker: Worker) -> None:
    offer = worker.door.offer(1)
    strangers = []
    for _ in range(12):
        strangers.append(connect(offer, b""))
        worker.turn()
    with connect(offer) as master:
        master.sendall(message(b"run"))
        while not worker.heard:
            worker.turn()
    for stranger in strangers:
        stranger.close()


def test_frames_are_read_in_the_memory_that_the_master_hands_over(worker: Worker) -> None:
    offer = worker.door.offer(1)
    memory = RequestMemory(1 << 20)
    with connect(offer, b"") as master:
        assert offer is not None
        socket.send_fds(master, [offer.proof], [memory.fd])
        for key, text in enumerate((b"first", b"second")):
            places = memory.put(key, [text])
            assert places is not None
            outbox = Outbox()
            outbox.put_placed(b"header", places)
            master.sendall(b"".join(outbox.chunks()))
        while len(worker.heard) < 2:
            worker.turn()
    assert worker.heard == [[b"header", b"first"], [b"header", b"second"]]
    memory.close()


def test_large_answers_lie_in_the_memory_that_the_master_hands_over(worker: Worker) -> None:
    offer = worker.door.offer(1)
    requests, answers = RequestMemory(1 << 20), AnswerMemory(1 << 20)
    said = [[b"header", b"a" * 300_000], [b"small"], [b"header", b"b" * 300_000, b"c" * 300_000], [b"header", b"d"]]
    with connect(offer, b"") as master:
        assert offer is not None
        socket.send_fds(master, [offer.proof], [requests.fd, answers.fd])
        worker.turn()
        reader = FrameReader(answers.frame_at)
        for frames in said:
            assert worker.door.send(frames)
            stream = master.recv(READ_BYTES)
            assert len(stream) < 100  # the frames are not in it
            reader.buffer()[: len(stream)] = stream
            (heard,) = reader.received(len(stream))
            assert [bytes(frame) for frame in heard] == frames
            del heard  # without this, the third would find no room
    for memory in (requests, answers):
        memory.close_descriptor()


@pytest.mark.parametrize(
    ("header", "frame"), [(b"header", bytes(2 << 20)), (bytes(60_000), bytes(70_000))], ids=["no room", "large header"]
)
def test_what_does_not_go_through_memory_goes_by_the_stream(worker: Worker, header: bytes, frame: bytes) -> None:
    offer = worker.door.offer(1)
    requests, answers = RequestMemory(1 << 20), AnswerMemory(1 << 20)
    with connect(offer, b"") as master:
        assert offer is not None
        socket.send_fds(master, [offer.proof], [requests.fd, answers.fd])
        worker.turn()
        assert worker.door.send([header, frame])
        if worker.door.is_blocked:
            worker.door.await_room()
        stream = master.recv(len(message(header, frame)), socket.MSG_WAITALL | socket.MSG_DONTWAIT)
        while len(stream) < len(message(header, frame)):
            worker.turn()
            stream += master.recv(1 << 20)
        assert stream == message(header, frame)
    for memory in (requests, answers):
        memory.close_descriptor()


def test_descriptors_of_strangers_are_closed(worker: Worker) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for said in (b"\0" * 16, b"GET /"):
        with connect(worker.door.offer(1), b"") as stranger, open(os.devnull, "rb") as file:
            socket.send_fds(stranger, [said], [file.fileno()])
            worker.turn()
            stranger.shutdown(socket.SHUT_WR)
            while len(said) < 16 and worker.door._strangers:
                worker.turn()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_master_whose_memory_cannot_be_read_is_talked_to_by_zeromq(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    offer = worker.door.offer(1)
    with connect(offer, b"") as master, open(os.devnull, "rb") as file:
        assert offer is not None
        socket.send_fds(master, [offer.proof], [file.fileno()])
        worker.turn()
        assert master.recv(1) == b""
    assert worker.losses == 1 and worker.door.offer(2) is None
    assert "only ZeroMQ: its memory cannot be read" in caplog.text


@pytest.mark.parametrize("end", [b"", bytes(12)], ids=["closed", "nonsense"])
def test_the_end_of_the_connection_is_told_once(worker: Worker, end: bytes) -> None:
    with connect(worker.door.offer(1)) as master:
        worker.turn()
        master.sendall(end)
        if not end:
            master.shutdown(socket.SHUT_WR)
        while not worker.losses:
            worker.turn()
        assert worker.losses == 1 and not worker.door.send([b"done"])


def test_more_than_the_kernel_takes_arrives_in_order(worker: Worker) -> None:
    answers = [bytes([number]) * 3_000_000 for number in range(3)]
    with connect(worker.door.offer(1)) as master:
        worker.turn()
        for answer in answers:
            assert worker.door.send([b"header", answer])
        assert worker.door.is_blocked
        worker.door.await_room()
        master.setblocking(False)
        reader = FrameReader()
        got: list[list[bytes]] = []
        while len(got) < len(answers):
            try:
                count = master.recv_into(reader.buffer())
            except BlockingIOError:
                worker.turn()
                continue
            got += [[bytes(frame) for frame in frames] for frames in reader.received(count)]
        assert got == [[b"header", answer] for answer in answers]
        assert not worker.door.is_blocked and worker.door.send([b"small"])
