"""A master talks to a worker of its machine past ZeroMQ, and comes back to ZeroMQ where it cannot."""

import secrets
from collections.abc import Iterator

import pytest

from mindspore_serving.cluster.arena import Arena
from mindspore_serving.cluster.codec import decode
from mindspore_serving.cluster.direct import DirectOffer, Outbox, Place
from mindspore_serving.cluster.dispatch_events import Limits
from mindspore_serving.cluster.messages import Registered, RunBatch
from mindspore_serving.cluster.tensors import Stacked
from mindspore_serving.proto import ms_service_pb2 as pb
from tests.master.direct_worker import DirectWorker
from tests.master.running_master import RunningMaster
from tests.master.test_master import int8, request


@pytest.fixture
def master() -> Iterator[RunningMaster]:
    running = RunningMaster(Limits())
    try:
        yield running
    finally:
        running.close()


@pytest.fixture
def direct(master: RunningMaster) -> Iterator[DirectWorker]:
    worker = DirectWorker(master.context, master.ctrl.port)
    yield worker
    worker.close()


def test_batches_and_answers_go_past_zeromq(master: RunningMaster, direct: DirectWorker) -> None:
    large = pb.Tensor(shape=pb.TensorShape(dims=[1000, 500]), dtype=pb.MS_UINT8, data=secrets.token_bytes(500_000))
    for tensor in (int8(7), large, int8(8)):
        call = master.send(request("echo", tensor))
        direct.echo()
        assert pb.PredictReply.FromString(call.result()).instances[0].items["y"] == tensor
    assert not direct.socket.poll(0)


def test_large_tensors_lie_in_memory_until_they_are_answered(master: RunningMaster, direct: DirectWorker) -> None:
    tensors = [
        pb.Tensor(shape=pb.TensorShape(dims=[500_000]), dtype=pb.MS_UINT8, data=secrets.token_bytes(500_000))
        for _ in range(3)
    ]
    places = []
    for tensor in tensors:
        call = master.send(request("echo", tensor))
        batch = direct.next_batch()
        (column,) = batch.columns
        assert isinstance(column, Stacked) and isinstance(column.data, memoryview)
        assert column.data.obj is direct.memory  # no copy of it
        places.append(bytes(column.data) == direct.memory[:500_000])
        direct.answer(batch)
        assert pb.PredictReply.FromString(call.result()).instances[0].items["y"] == tensor
    assert places == [True] * 3  # its place is free again with the answer


def test_what_is_still_open_keeps_its_place(master: RunningMaster, direct: DirectWorker) -> None:
    values = [secrets.token_bytes(200_000) for _ in range(2)]
    tensors = [pb.Tensor(shape=pb.TensorShape(dims=[200_000]), dtype=pb.MS_UINT8, data=value) for value in values]
    calls = [master.send(request("echo", tensors[0]))]
    batches = [direct.next_batch()]
    calls.append(master.send(request("echo", tensors[1])))
    batches.append(direct.next_batch())
    for batch, value in zip(batches, values, strict=True):
        assert isinstance(batch.columns[0], Stacked) and bytes(batch.columns[0].data) == value
    for batch in reversed(batches):
        direct.answer(batch)
    for call, tensor in zip(calls, tensors, strict=True):
        assert pb.PredictReply.FromString(call.result()).instances[0].items["y"] == tensor


def test_without_room_in_memory_the_stream_carries_it(
    master: RunningMaster, direct: DirectWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    (known,) = master.server._workers._direct.values()
    monkeypatch.setattr(known[1]._requests, "_arena", Arena(100))
    large = pb.Tensor(shape=pb.TensorShape(dims=[200_000]), dtype=pb.MS_UINT8, data=secrets.token_bytes(200_000))
    call = master.send(request("echo", large))
    batch = direct.next_batch()
    assert isinstance(batch.columns[0], Stacked) and isinstance(batch.columns[0].data, bytearray)
    direct.answer(batch)
    assert pb.PredictReply.FromString(call.result()).instances[0].items["y"] == large


def test_answers_in_memory_arrive_and_their_places_are_free_again(master: RunningMaster, direct: DirectWorker) -> None:
    places = []
    for _ in range(3):
        large = pb.Tensor(shape=pb.TensorShape(dims=[200_000]), dtype=pb.MS_UINT8, data=secrets.token_bytes(200_000))
        call = master.send(request("echo", large))
        places += direct.answer_in_memory(direct.next_batch())
        assert pb.PredictReply.FromString(call.result()).instances[0].items["y"] == large
    assert len(set(places)) < len(places)  # the master may look at an answer for a moment longer than its caller


@pytest.mark.parametrize("place", [Place(0, 200_000), Place(64, 0), Place(1 << 40, 200_000)])
def test_an_answer_that_lies_nowhere_ends_the_connection(
    master: RunningMaster, direct: DirectWorker, place: Place
) -> None:
    outbox = Outbox()
    outbox.put_placed(b"header", [place])
    direct.send(outbox)
    assert direct.line is not None and direct.line.recv(1) == b""


def test_a_system_without_shared_memory_does_without(master: RunningMaster, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> int:
        raise PermissionError

    monkeypatch.setattr("os.memfd_create", forbidden)
    worker = DirectWorker(master.context, master.ctrl.port)
    large = pb.Tensor(shape=pb.TensorShape(dims=[200_000]), dtype=pb.MS_UINT8, data=secrets.token_bytes(200_000))
    call = master.send(request("echo", large))
    worker.echo()
    assert pb.PredictReply.FromString(call.result()).instances[0].items["y"] == large
    worker.close()


def test_a_lost_connection_gives_its_batches_to_others_at_once(master: RunningMaster, direct: DirectWorker) -> None:
    call = master.send(request("echo", int8(1)))
    direct.next_batch()
    other = master.worker()
    direct.hang_up()  # ZeroMQ's connection stays
    other.echo()
    assert pb.PredictReply.FromString(call.result()).instances[0].items["y"] == int8(1)


def test_a_worker_that_registers_again_is_connected_to_again(master: RunningMaster, direct: DirectWorker) -> None:
    direct.hang_up()
    direct.offer = DirectOffer(direct.offer.place, secrets.token_hex(16))
    direct.register_again(2)
    registered = direct.hear()
    assert isinstance(registered, Registered) and registered.registration == 2


def test_a_repeated_register_keeps_the_connection_and_what_is_on_it(
    master: RunningMaster, direct: DirectWorker
) -> None:
    direct.register_again(1)
    assert isinstance(direct.hear(), Registered)


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\n\r\n", b"\1\0\0\0" + b"\xff" * 8])
def test_nonsense_on_the_connection_ends_it(master: RunningMaster, direct: DirectWorker, said: bytes) -> None:
    assert direct.line is not None
    direct.line.sendall(said)
    assert direct.line.recv(1) == b""


def test_where_nobody_listens_zeromq_goes_on(master: RunningMaster, direct: DirectWorker) -> None:
    direct.hang_up()
    direct.register_again(2, DirectOffer(secrets.token_hex(16), secrets.token_hex(16)))
    registered = decode(direct.socket.recv_multipart())
    assert isinstance(registered, Registered) and registered.registration == 2
    call = master.send(request("echo", int8(3)))
    assert isinstance(decode(direct.socket.recv_multipart()), RunBatch)
    call.cancel()
