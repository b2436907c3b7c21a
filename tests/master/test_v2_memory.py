"""Tensors of the Open Inference Protocol in their client's memory, over gRPC; a worker that echoes."""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import grpc
import numpy as np
import pytest

from mindspore_serving.cluster.dispatch_events import Limits
from mindspore_serving.cluster.messages import BatchDone
from mindspore_serving.cluster.tensors import Stacked
from mindspore_serving.master.config import GRPC_ENGINES
from mindspore_serving.master.v2_types import DTYPES
from mindspore_serving.proto import open_inference_pb2 as pb
from tests.master.fake_worker import FakeWorker
from tests.master.posix_memory import HALF, MOST_BYTES, NBYTES, PosixMemory, sharing, where
from tests.master.rest_client import echoing
from tests.master.running_master import RunningMaster
from tests.master.v2_client import V2Client, infer_input, infer_request, set_parameters

INVALID = grpc.StatusCode.INVALID_ARGUMENT


@pytest.fixture(params=GRPC_ENGINES)
def own(request: pytest.FixtureRequest, shm: PosixMemory) -> Iterator[V2Client]:
    """Its memory is the region 'r', and the worker echoes."""
    master = RunningMaster(Limits(lease_seconds=600.0), request.param, sharing())
    with echoing(master):
        client = V2Client(master)
        client.send("SystemSharedMemoryRegister", registration(shm)).result()
        yield client
    master.close()


def registration(shm: PosixMemory, name: str = "r", **fields: Any) -> pb.SystemSharedMemoryRegisterRequest:
    return pb.SystemSharedMemoryRegisterRequest(name=name, key=shm.key, **{"byte_size": NBYTES, **fields})


@contextmanager
def by_hand(nbytes: int = NBYTES) -> Iterator[tuple[FakeWorker, V2Client, PosixMemory]]:
    """A worker that does what the test says, a client, and its memory, which is the region 'r'."""
    with closing(RunningMaster(Limits(lease_seconds=600.0), memory=sharing())) as master, PosixMemory(nbytes) as shm:
        worker, client = master.worker(), V2Client(master)
        client.send("SystemSharedMemoryRegister", registration(shm, byte_size=nbytes)).result()
        yield worker, client, shm


def request(datatype: str, shape: list[int], given: dict[str, Any], wanted: dict[str, Any]) -> pb.ModelInferRequest:
    asked = infer_request("add.echo", infer_input("x", datatype, shape, **given), raw=[])
    set_parameters(asked.outputs.add(name="y").parameters, wanted)
    return asked


@pytest.mark.parametrize("datatype", DTYPES)
def test_a_tensor_goes_by_memory_and_comes_back_there(own: V2Client, shm: PosixMemory, datatype: str) -> None:
    data = (np.arange(6) % 2).astype(DTYPES[datatype]).tobytes()
    shm.buffer[: len(data)] = data
    answer = own.infer(request(datatype, [2, 3], where(len(data)), where(HALF, HALF)))
    (output,) = answer.outputs
    assert (output.datatype, list(output.shape), list(answer.raw_output_contents)) == (datatype, [2, 3], [b""])
    told = {name: getattr(each, each.WhichOneof("parameter_choice")) for name, each in output.parameters.items()}
    assert told == where(len(data), HALF)
    assert bytes(shm.buffer[HALF : HALF + len(data) + 1]) == data + b"\0"


@pytest.mark.parametrize("nbytes", [HALF - 1, HALF])  # in the message's header, and not
def test_either_end_may_be_in_the_message(own: V2Client, shm: PosixMemory, nbytes: int) -> None:
    data = np.random.default_rng(0).integers(256, size=nbytes).astype(np.uint8).tobytes()
    sent = infer_request("add.echo", infer_input("x", "UINT8", [1, nbytes]), raw=[data])
    set_parameters(sent.outputs.add(name="y").parameters, where(nbytes))
    assert list(own.infer(sent).raw_output_contents) == [b""]
    assert bytes(shm.buffer[:nbytes]) == data
    for typed in ({}, {"shared_memory_offset": 0}):
        answer = own.infer(request("UINT8", [1, nbytes], {**where(nbytes), **typed}, {}))
        assert list(answer.raw_output_contents) == [data]


def test_requests_that_are_alike_are_read_anew(own: V2Client, shm: PosixMemory) -> None:
    asked = request("UINT8", [1, 4], where(4), where(4, 8))
    for number in range(5):
        shm.buffer[:4] = bytes([number] * 4)
        asked.id = str(number)
        answer = own.infer(asked)
        assert (answer.id, bytes(shm.buffer[8:12])) == (str(number), bytes([number] * 4))
    own.send("SystemSharedMemoryUnregister", pb.SystemSharedMemoryUnregisterRequest(name="r")).result()
    assert own.fault(asked) == (grpc.StatusCode.NOT_FOUND, "no shared memory region 'r' is registered")
    own.send("SystemSharedMemoryRegister", registration(shm, offset=1, byte_size=20)).result()
    shm.buffer[1:5] = b"late"
    own.infer(asked)
    assert bytes(shm.buffer[9:13]) == b"late"


def test_requests_that_are_alike_are_answered_in_the_message_where_they_ask_for_it(
    own: V2Client, shm: PosixMemory
) -> None:
    there, here = (
        request("UINT8", [1, 4], where(4), {}),
        infer_request("add.echo", infer_input("x", "UINT8", [1, 4]), raw=[]),
    )
    set_parameters(here.outputs.add(name="y").parameters, where(4, 8))
    for number in range(5):
        data = bytes([number] * 4)
        shm.buffer[:4] = data
        assert list(own.infer(there).raw_output_contents) == [data]
        here.raw_input_contents[:] = [data[::-1]]
        assert list(own.infer(here).raw_output_contents) == [b""]
        assert bytes(shm.buffer[8:12]) == data[::-1]


def test_requests_that_are_alike_are_refused_alike(own: V2Client, shm: PosixMemory) -> None:
    small, wrong = request("UINT8", [1, 4], where(4), where(3)), request("FP32", [1, 4], where(4), {})
    for _ in range(5):
        assert own.fault(small) == (INVALID, "output y has 4 bytes, but its shared_memory_byte_size is 3")
        assert own.fault(wrong)[1].endswith("has 16 bytes, its shared_memory_byte_size is 4")
    good = request("UINT8", [1, 4], where(4, 100), where(4, HALF))
    for _ in range(3):
        own.infer(good)
    os.truncate(shm.path, HALF)
    assert own.fault(good) == (INVALID, f"region 'r': shared memory '{shm.key}' has become smaller, register it again")


def test_memory_that_becomes_smaller_before_the_answer_is_told() -> None:
    with by_hand() as (worker, client, shm):
        for _ in range(4):  # read by protobuf at first, and by its form later
            call = client.send("ModelInfer", request("UINT8", [1, 4], where(4), where(4, HALF)))
            batch = worker.next_batch()
            os.truncate(shm.path, 10)
            worker.answer(batch)
            assert call.exception().details() == "output y: the shared memory of region 'r' has become smaller"
            os.truncate(shm.path, NBYTES)


def test_texts_go_by_memory_in_their_raw_form(own: V2Client, shm: PosixMemory) -> None:
    raw = b"\2\0\0\0ab\1\0\0\0\xff"
    shm.buffer[: len(raw)] = raw
    answer = own.infer(request("BYTES", [2], where(len(raw)), where(100, 100)))
    assert answer.outputs[0].parameters["shared_memory_byte_size"].int64_param == len(raw)
    assert bytes(shm.buffer[100 : 100 + len(raw)]) == raw


def test_requests_of_several_callers_are_joined() -> None:
    with by_hand() as (worker, client, shm):
        shm.buffer[4:12] = b"onestwos"
        first = client.send("ModelInfer", request("UINT8", [1, 4], where(4), {}))
        batch = worker.next_batch()
        more = [client.send("ModelInfer", request("UINT8", [1, 4], where(4, 4 * number), {})) for number in (1, 2)]
        more.append(
            client.send("ModelInfer", infer_request("add.echo", infer_input("x", "UINT8", [1, 4]), raw=[b"sent"]))
        )
        client.send("ServerLive", pb.ServerLiveRequest()).result()  # on the same connection: the master has the three
        worker.answer(batch)
        first.result()
        counts: list[int] = []
        while sum(counts) < 3:
            batch = worker.next_batch()
            counts.append(batch.count)
            worker.answer(batch)
        answers = [pb.ModelInferResponse.FromString(call.result()).raw_output_contents[0] for call in more]
        assert answers == [b"ones", b"twos", b"sent"]
        assert max(counts) > 1


def test_a_mixed_request_has_raw_entries_for_what_it_sends() -> None:
    with by_hand() as (worker, client, shm):
        shm.buffer[:2] = b"ab"
        here, there = infer_input("x1", "UINT8", [2]), infer_input("x2", "UINT8", [2], **where(2))
        typed = infer_input("x1", "UINT8", [2])
        typed.contents.uint_contents.extend(b"cd")
        for asked, is_typed in (
            (infer_request("add", there, here, raw=[b"cd"]), False),
            (infer_request("add", there, typed, raw=[]), True),
        ):
            call = client.send("ModelInfer", asked)
            batch = worker.next_batch()
            assert batch.columns == (Stacked("|u1", (2,), b"cd"), Stacked("|u1", (2,), b"ab"))
            worker.say(BatchDone(batch.batch_id, batch.columns[:1]))
            answer = pb.ModelInferResponse.FromString(call.result())
            assert (list(answer.raw_output_contents) == [b"cd"]) is not is_typed
            assert (list(answer.outputs[0].contents.uint_contents) == [*b"cd"]) is is_typed
        call = client.send("ModelInfer", infer_request("add", there, here, raw=[b"cd", b"more"]))
        assert call.exception().details() == "raw_input_contents has 2 entries for 1 inputs: one for each is needed"


def with_contents() -> pb.ModelInferRequest:
    asked = request("UINT8", [1, 4], where(4), {})
    asked.inputs[0].contents.uint_contents.append(1)
    return asked


FAULTS: list[tuple[pb.ModelInferRequest, grpc.StatusCode, str]] = [
    (
        request("UINT8", [1, 4], where(4, region="s"), {}),
        grpc.StatusCode.NOT_FOUND,
        "no shared memory region 's' is registered",
    ),
    (
        request("UINT8", [1, 4], {}, where(4, region="s")),
        INVALID,  # its input is looked at first
        "input 'x': UINT8 of shape [1, 4] has 4 values, given 0",
    ),
    (
        request("UINT8", [1, 4], where(4), where(4, region="s")),
        grpc.StatusCode.NOT_FOUND,
        "no shared memory region 's' is registered",
    ),
    (
        request("FP32", [1, 4], where(4), {}),
        INVALID,
        "input 'x': FP32 of shape [1, 4] has 16 bytes, its shared_memory_byte_size is 4",
    ),
    (
        request("UINT8", [1, 4], where(4, NBYTES - 3), {}),
        INVALID,
        f"region 'r' has {NBYTES} bytes, given are shared_memory_offset {NBYTES - 3} and shared_memory_byte_size 4",
    ),
    (request("BOOL", [1, 1], where(1, HALF), {}), INVALID, "input 'x': a raw BOOL is the byte 0 or 1"),
    (request("BF16", [1, 1], where(2), {}), grpc.StatusCode.UNIMPLEMENTED, "BF16 is not supported"),
    (
        request("UINT8", [1, 4], {"shared_memory_region": 1}, {}),
        INVALID,
        "input 'x': shared_memory_region should be a string",
    ),
    (
        request("UINT8", [1, 4], {"shared_memory_region": "r"}, {}),
        INVALID,
        "input 'x': shared_memory_byte_size should be a number of bytes",
    ),
    (
        request("UINT8", [1, 4], where(4), {**where(4), "shared_memory_offset": "0"}),
        INVALID,
        "output 'y': shared_memory_offset should be a number of bytes",
    ),
    (
        request("UINT8", [1, 4], where(4), where(3)),
        INVALID,
        "output y has 4 bytes, but its shared_memory_byte_size is 3",
    ),
    (with_contents(), INVALID, "input 'x' has both contents and shared_memory_region"),
]


@pytest.mark.parametrize("asked, status, text", FAULTS)
def test_a_wrong_request_is_refused_with_its_reason(
    own: V2Client, shm: PosixMemory, asked: pb.ModelInferRequest, status: grpc.StatusCode, text: str
) -> None:
    shm.buffer[HALF] = 2
    given_status, given_text = own.fault(asked)
    assert given_status is status and text in given_text and "\n" not in given_text


def test_a_request_is_no_larger_in_memory_than_in_a_message() -> None:
    with by_hand(MOST_BYTES) as (_, client, _):
        status, text = client.fault(request("BOOL", [1, MOST_BYTES], where(MOST_BYTES), {}))
        assert status is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert text.endswith(f"more than {MOST_BYTES}: see --max-message-mb of the master")


def test_a_stream_knows_the_memory_too(own: V2Client, shm: PosixMemory) -> None:
    asked = [request("UINT8", [1, 4], where(4), where(4, 8)), request("UINT8", [1, 4], where(4), where(3))]
    shm.buffer[:4] = b"abcd"
    answers = [pb.ModelStreamInferResponse.FromString(body) for body in own.stream(asked)]
    faults = {answer.error_message for answer in answers}
    assert faults == {"", "output y has 4 bytes, but its shared_memory_byte_size is 3"}
    assert bytes(shm.buffer[8:12]) == b"abcd"


def test_outputs_that_cannot_be_written_are_told(
    own: V2Client, shm: PosixMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.pwrite", full)
    assert own.fault(request("UINT8", [1, 4], where(4), where(4))) == (
        grpc.StatusCode.INTERNAL,
        "output y cannot be written to region 'r': No space left on device",
    )


def test_regions_are_registered_told_and_unregistered(own: V2Client, shm: PosixMemory) -> None:
    def status(name: str = "") -> dict[str, tuple[str, str, int, int]]:
        asked = own.send("SystemSharedMemoryStatus", pb.SystemSharedMemoryStatusRequest(name=name)).result()
        regions = pb.SystemSharedMemoryStatusResponse.FromString(asked).regions
        return {name: (one.name, one.key, one.offset, one.byte_size) for name, one in regions.items()}

    own.send("SystemSharedMemoryRegister", registration(shm, "s", offset=8, byte_size=16)).result()
    assert status() == {"r": ("r", shm.key, 0, NBYTES), "s": ("s", shm.key, 8, 16)}
    assert status("s") == {"s": ("s", shm.key, 8, 16)}
    code, text = own.fault(registration(shm), "SystemSharedMemoryRegister")
    assert code is grpc.StatusCode.ALREADY_EXISTS and text.endswith(": unregister it first")
    metadata = pb.ServerMetadataResponse.FromString(own.send("ServerMetadata", pb.ServerMetadataRequest()).result())
    assert "system_shared_memory" in metadata.extensions
    own.send("SystemSharedMemoryUnregister", pb.SystemSharedMemoryUnregisterRequest(name="s")).result()
    assert set(status()) == {"r"}
    own.send("SystemSharedMemoryUnregister", pb.SystemSharedMemoryUnregisterRequest()).result()
    assert status() == {}
