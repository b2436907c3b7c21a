"""A real master with fake workers: what it answers to every kind of request, in the texts that clients know."""

import asyncio
import pickle
import threading
from collections.abc import Callable
from typing import Any

import grpc
import msgpack
import pytest
import zmq

from mindspore_serving.cluster.addresses import Address
from mindspore_serving.cluster.codec import PROTOCOL_VERSION, decode
from mindspore_serving.cluster.dispatch_events import Limits
from mindspore_serving.cluster.errors import Code, Failure, SetupError
from mindspore_serving.cluster.messages import BatchDone, Heartbeat, Refused, Unregistered
from mindspore_serving.cluster.tensors import Stacked
from mindspore_serving.proto import ms_service_pb2 as pb
from tests.master.fake_worker import FakeWorker
from tests.master.running_master import WAIT_SECONDS, RunningMaster


def int8(value: int) -> pb.Tensor:
    return pb.Tensor(shape=pb.TensorShape(dims=[1]), dtype=pb.MS_INT8, data=bytes([value]))


def request(method: str = "echo", *values: pb.Tensor, servable: str = "add", version: int = 0) -> pb.PredictRequest:
    spec = pb.ServableSpec(name=servable, method_name=method, version_number=version)
    return pb.PredictRequest(servable_spec=spec, instances=[pb.Instance(items={"x": value}) for value in values])


def error(reply: pb.PredictReply) -> tuple[int, str]:
    """The one error of a whole failure."""
    assert len(reply.instances) == 0
    (only,) = reply.error_msg
    return only.error_code, only.error_msg.decode()


def test_an_instance_goes_to_a_worker_and_comes_back(master: RunningMaster) -> None:
    call = master.send(request("echo", int8(7), int8(8)))
    master.workers[0].echo()
    reply = pb.PredictReply.FromString(call.result())
    assert [instance.items["y"] for instance in reply.instances] == [int8(7), int8(8)]
    assert reply.servable_spec == pb.ServableSpec(name="add", method_name="echo")  # as asked: version 0 stays 0
    assert not reply.error_msg


def test_clients_of_1_2_put_their_instances_into_field_3(master: RunningMaster) -> None:
    old = pb.PredictRequest(servable_spec=request().servable_spec)
    old.instances_of_1_2.add().items["x"].CopyFrom(int8(3))
    assert b"\x1a" in old.SerializeToString()
    call = master.send(old)
    master.workers[0].echo()
    assert pb.PredictReply.FromString(call.result()).instances[0].items["y"] == int8(3)


@pytest.mark.parametrize(
    "tensor",
    [
        pb.Tensor(shape=pb.TensorShape(), dtype=pb.MS_STRING, bytes_val=["ü".encode()]),
        pb.Tensor(shape=pb.TensorShape(), dtype=pb.MS_BYTES, bytes_val=[b"\xff"]),
        pb.Tensor(shape=pb.TensorShape(dims=[2, 0]), dtype=pb.MS_FLOAT16),
        pb.Tensor(shape=pb.TensorShape(dims=[100, 1000]), dtype=pb.MS_UINT8, data=bytes(100_000)),
        *[pb.Tensor(shape=pb.TensorShape(), dtype=number, data=bytes(size))  # type: ignore[arg-type]
          for number, size in zip(range(1, 13), (1, 1, 1, 2, 2, 4, 4, 8, 8, 2, 4, 8), strict=True)],
    ],
)  # fmt: skip
def test_every_kind_of_value_comes_back_as_it_went(master: RunningMaster, tensor: pb.Tensor) -> None:
    call = master.send(request("echo", tensor, tensor))
    master.workers[0].echo()
    reply = pb.PredictReply.FromString(call.result())
    assert [instance.items["y"] for instance in reply.instances] == [tensor, tensor]


CHECK = "Instances input x check failed, detail: "
WHOLE_FAILURES: list[tuple[pb.PredictRequest, int, str]] = [
    (request("m", int8(1), servable="nope"), 2, "Request servable(nope) method(m) , servable is not available"),
    (
        request("m", int8(1), version=2),
        2,
        "Request servable(add) method(m)  version(2) , servable is not available",
    ),
    (request("m", int8(1)), 2, "Request servable(add) method(m) , method is not available"),
    (request("echo"), 1, "Instances count of request cannot be 0, servable: add, method: echo"),
    (
        request("add_common", int8(1)),
        2,
        "Cannot find input x1 in instance input , servable add, method add_common",
    ),
    *[
        (request("echo", int8(1), tensor), 2, CHECK + text)
        for tensor, text in (
            (
                pb.Tensor(shape=pb.TensorShape(dims=[2]), dtype=pb.MS_INT16, data=b"123"),
                "Tensor check failed: input data size 3 invalid",
            ),
            (pb.Tensor(data=b"1"), "Tensor check failed: input data type proto::MS_UNKNOWN invalid"),
            (
                pb.Tensor.FromString(b"\x10\x63\x1a\x01\x00"),
                "Tensor check failed: input data type proto::MS_UNKNOWN invalid",
            ),
            (
                pb.Tensor(shape=pb.TensorShape(dims=[-1, 2]), dtype=pb.MS_INT8),
                "Tensor check failed: input  shape [-1, 2] invalid",
            ),
            (
                pb.Tensor(shape=pb.TensorShape(dims=[0, 2]), dtype=pb.MS_INT8),
                "Tensor check failed: input  shape [0, 2] invalid",
            ),
            (
                pb.Tensor(shape=pb.TensorShape(dims=[2**62, 0]), dtype=pb.MS_INT8),
                "Tensor check failed: input  shape [4611686018427387904, 0] invalid",
            ),
            (
                pb.Tensor(dtype=pb.MS_STRING),
                "Instance tensor check failed: bytes or string type shape batch size can only be 1",
            ),
            (
                pb.Tensor(dtype=pb.MS_BYTES, bytes_val=[b"a", b"b"]),
                "Instance tensor check failed: bytes or string type shape batch size can only be 1",
            ),
            (
                pb.Tensor(shape=pb.TensorShape(dims=[1, 1]), dtype=pb.MS_STRING, bytes_val=[b"a"]),
                "Instance tensor check failed: bytes or string type input  shape can only be (1,) or empty, "
                "but given shape is [1, 1]",
            ),
            (
                pb.Tensor(dtype=pb.MS_STRING, bytes_val=[b"a\xff"]),
                "Instance tensor check failed: string is not UTF-8 at byte 1",
            ),
        )
    ],
]


@pytest.mark.parametrize("asked, code, text", WHOLE_FAILURES)
def test_a_request_that_cannot_run_fails_as_a_whole(
    master: RunningMaster, asked: pb.PredictRequest, code: int, text: str
) -> None:
    reply = master.ask(asked)
    assert error(reply) == (code, text)
    assert reply.servable_spec == asked.servable_spec


@pytest.mark.parametrize("dimensions", [32, 40])  # a batch has one more, and 32 is the most that numpy had
def test_too_many_dimensions_are_refused(master: RunningMaster, dimensions: int) -> None:
    tensor = pb.Tensor(shape=pb.TensorShape(dims=[1] * dimensions), dtype=pb.MS_INT8, data=b"1")
    assert "shape" in error(master.ask(request("echo", tensor)))[1]


def test_inputs_that_the_method_does_not_have_are_ignored(master: RunningMaster) -> None:
    asked = request("echo", int8(1))
    asked.instances[0].items["more"].dtype = pb.MS_INT8
    call = master.send(asked)
    master.workers[0].echo()
    assert set(pb.PredictReply.FromString(call.result()).instances[0].items) == {"y"}


def answer_with(master: RunningMaster, failures: dict[int, Failure], good: bytes) -> pb.PredictReply:
    call = master.send(request("echo", int8(1), int8(2), int8(3)))
    batch = master.workers[0].next_batch()
    columns = (Stacked("|i1", (len(good), 1), good),) if good else ()
    master.workers[0].say(BatchDone(batch.batch_id, columns, failures))
    return pb.PredictReply.FromString(call.result())


BAD = Failure(Code.INVALID_INPUTS, "bad")


def test_one_failed_instance_of_three_has_its_error_beside_the_others(master: RunningMaster) -> None:
    reply = answer_with(master, {1: BAD}, b"\1\3")
    assert [(e.error_code, e.error_msg) for e in reply.error_msg] == [(0, b""), (2, b"bad"), (0, b"")]
    assert [dict(instance.items) for instance in reply.instances] == [{"y": int8(1)}, {}, {"y": int8(3)}]


def test_equal_failures_of_all_instances_collapse_into_one(master: RunningMaster) -> None:
    assert error(answer_with(master, {0: BAD, 1: BAD, 2: BAD}, b"")) == (2, "bad")


def test_equal_failures_do_not_collapse_for_clients_of_1_2(master: RunningMaster) -> None:
    old = pb.PredictRequest(servable_spec=request().servable_spec)
    for number in (1, 2):
        old.instances_of_1_2.add().items["x"].CopyFrom(int8(number))
    call = master.send(old)
    batch = master.workers[0].next_batch()
    master.workers[0].say(BatchDone(batch.batch_id, (), {0: BAD, 1: BAD}))
    reply = pb.PredictReply.FromString(call.result())
    assert [(e.error_code, e.error_msg) for e in reply.error_msg] == [(2, b"bad"), (2, b"bad")]
    assert [dict(instance.items) for instance in reply.instances] == [{}, {}]


def test_different_failures_of_all_instances_do_not_collapse(master: RunningMaster) -> None:
    reply = answer_with(master, {0: BAD, 1: BAD, 2: Failure(Code.FAILED, "")}, b"")
    assert [e.error_msg for e in reply.error_msg] == [b"bad", b"bad", b"Predict failed"]
    assert len(reply.instances) == 3


def status(call: Callable[[], object]) -> tuple[grpc.StatusCode, str | None]:
    with pytest.raises(grpc.RpcError) as raised:
        call()
    return raised.value.code(), raised.value.details()


def test_transport_errors_are_grpc_statuses(master: RunningMaster) -> None:
    parse = (grpc.StatusCode.INTERNAL, "Unable to parse request")
    assert status(lambda: master.ask(b"\xff\xff")) == parse
    big = request("echo", pb.Tensor(dtype=pb.MS_BYTES, bytes_val=[bytes(1 << 20)]))
    code, details = status(lambda: master.ask(big))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert details is not None
    assert "larger than max" in details
    other: Any = master.channel.unary_unary("/mindspore.serving.proto.MSService/Other")
    assert status(lambda: other(b""))[0] is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_a_message_that_is_small_only_while_compressed_is_refused(
    master: RunningMaster, compression: grpc.Compression
) -> None:
    def ask(size: int) -> object:
        bomb = request("nope", pb.Tensor(dtype=pb.MS_BYTES, bytes_val=[bytes(size)])).SerializeToString()
        return master._predict(bomb, compression=compression, timeout=WAIT_SECONDS)

    assert isinstance(ask(1 << 19), bytes)
    code, details = status(lambda: ask(1 << 26))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert details is not None
    assert "larger than max" in details


def test_a_callers_deadline_reaches_the_worker_and_a_lost_caller_frees_its_place() -> None:
    running = RunningMaster(Limits(lease_seconds=60.0, max_enqueued_requests=1))
    worker = running.worker()
    try:
        late = running.send(request("echo", int8(1)), timeout=1.0)
        seconds_left = worker.next_batch().seconds_left
        assert seconds_left is not None
        assert 0 < seconds_left < 1.5  # gRPC rounds it up on the way
        full = error(running.ask(request("echo", int8(2))))
        assert full == (1, "Serving Error: enqueued requests count exceeds the limit 1")
        assert status(late.result)[0] is grpc.StatusCode.DEADLINE_EXCEEDED
        # The place may be freed a moment after the caller was told.
        while (call := running.send(request("echo", int8(3)))).done() or not answered(worker, call):
            pass
    finally:
        running.close()


def answered(worker: FakeWorker, call: Any) -> bool:
    """Whether the call reached the worker (and then it answers) rather than being refused."""
    while not worker.socket.poll(20):
        if call.done():
            return False
    worker.echo()
    return bool(pb.PredictReply.FromString(call.result()).instances)


def test_a_call_without_a_deadline_gets_one_of_the_master(master: RunningMaster) -> None:
    call = master._predict.future(request("echo", int8(1)).SerializeToString())
    seconds_left = master.workers[0].next_batch().seconds_left
    assert seconds_left == pytest.approx(Limits().default_timeout_seconds, abs=WAIT_SECONDS)
    call.cancel()


def test_a_dead_workers_batch_runs_on_another(master: RunningMaster) -> None:
    call = master.send(request("echo", int8(5)))
    first = master.workers[0]
    first.next_batch()
    second = master.worker()
    first.die()
    second.echo()
    assert pb.PredictReply.FromString(call.result()).instances[0].items["y"] == int8(5)


def test_a_master_that_stood_still_for_longer_than_a_lease_loses_no_worker() -> None:
    lease_seconds = 3.0
    running = RunningMaster(Limits(lease_seconds=lease_seconds))
    try:
        first, second = running.worker(), running.worker()
        stands, go_on = threading.Event(), threading.Event()

        def stand_still() -> None:  # as it does while it parses a very large request
            stands.set()
            go_on.wait()

        running.loop.call_soon_threadsafe(stand_still)
        assert stands.wait(WAIT_SECONDS)  # or it reads the heartbeats before, and rightly misses the next ones
        for worker in (first, second):
            worker.say(Heartbeat())
        assert not threading.Event().wait(1.25 * lease_seconds)
        go_on.set()
        for _ in range(5):  # turns of the loop: what is due is done
            running.run(asyncio.sleep(0))
        assert running.server._desk.worker_count == 2
        call = running.send(request("echo", *[int8(value) for value in range(8)]))
        for worker in (first, second):
            worker.say(Heartbeat())
            worker.echo()
        assert len(pb.PredictReply.FromString(call.result()).instances) == 8
    finally:
        running.close()


def test_a_worker_of_another_protocol_version_is_told_so(master: RunningMaster) -> None:
    with master.context.socket(zmq.DEALER) as other:
        other.setsockopt(zmq.LINGER, 0)
        other.setsockopt(zmq.RCVTIMEO, WAIT_SECONDS * 1000)
        other.connect(f"tcp://127.0.0.1:{master.ctrl.port}")
        other.send(msgpack.packb([PROTOCOL_VERSION + 1, 1, "anything"]))
        refused = decode(other.recv_multipart())
        assert isinstance(refused, Refused)
        assert "install the same release" in refused.reason


def test_a_hostile_message_is_dropped_and_the_sender_may_go_on(master: RunningMaster) -> None:
    worker = master.workers[0]
    array = {b"nd": True, b"type": "|O", b"kind": b"O", b"shape": [1], b"data": pickle.dumps(print)}
    worker.socket.send(msgpack.packb([PROTOCOL_VERSION, 3, [1, 1, [array], []]]))
    worker.socket.send(msgpack.packb([PROTOCOL_VERSION, 14, [1, "m", 1, [], None]]))  # what only a master says
    call = master.send(request("echo", int8(1)))
    worker.echo()
    assert len(pb.PredictReply.FromString(call.result()).instances) == 1


def test_an_answer_that_cannot_be_read_costs_the_worker_its_registration(master: RunningMaster) -> None:
    worker = master.workers[0]
    call = master.send(request("echo", int8(1)))
    batch = worker.next_batch()
    worker.socket.send(msgpack.packb([PROTOCOL_VERSION, 3, [batch.batch_id, 1, ["not a column"], []]]))
    assert isinstance(decode(worker.socket.recv_multipart()), Unregistered)
    call.cancel()


def test_a_second_door_and_a_busy_port_are_refused(master: RunningMaster) -> None:
    async def open_again() -> list[str]:
        texts = []
        with pytest.raises(SetupError) as refused:
            master.server.bind_grpc(Address("127.0.0.1", 0), 1)
        texts.append(str(refused.value))
        with pytest.raises(SetupError) as refused:
            master.server.open_control(Address("127.0.0.1", 0))
        texts.append(str(refused.value))
        return texts

    assert master.run(open_again()) == [
        "Serving Error: Serving gRPC server is already running",
        "Serving Error: Master server is already running",
    ]


def test_a_stopping_master_refuses_new_calls_as_unavailable(master: RunningMaster) -> None:
    open_call = master.send(request("echo", int8(1)))
    batch = master.workers[0].next_batch()
    stopping = asyncio.run_coroutine_threadsafe(master.server.stop(WAIT_SECONDS), master.loop)
    while status_or_none(master) is not grpc.StatusCode.UNAVAILABLE:
        pass
    master.workers[0].say(BatchDone(batch.batch_id, batch.columns))
    assert len(pb.PredictReply.FromString(open_call.result()).instances) == 1
    stopping.result(WAIT_SECONDS)


def status_or_none(master: RunningMaster) -> grpc.StatusCode | None:
    """How a new call ends, if it ends soon."""
    try:
        master.send(request("nope", int8(1))).result()
    except grpc.RpcError as raised:
        code: grpc.StatusCode = raised.code()
        return code
    return None


def test_the_holes_of_the_original_are_closed(master: RunningMaster) -> None:
    """It read and wrote the server's shared memory for any client, and let it call models past their methods."""
    shared = pb.Tensor.FromString(b"\x0a\x03\x0a\x01\x04\x10\x02" + b"\x2a\x07\x0a\x05key_1")  # Tensor.shm_data
    assert error(master.ask(request("echo", shared))) == (2, CHECK + "Tensor check failed: input data size 0 invalid")
    hidden = request("@call_tensor_add.mindir_0", int8(1))
    assert error(master.ask(hidden)) == (
        2,
        "Request servable(add) method(@call_tensor_add.mindir_0) , method is not available",
    )
    written = request("echo", int8(1))
    output_buffers = b"\x12\x0a\x0a\x01y\x12\x05\x0a\x03key"
    instance = written.instances[0].SerializeToString() + output_buffers
    written.instances[0].ParseFromString(instance)
    call = master.send(written)
    master.workers[0].echo()
    assert pb.PredictReply.FromString(call.result()).instances[0].items["y"] == int8(1)
