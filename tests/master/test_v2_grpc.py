"""The Open Inference Protocol over gRPC: what a real master with fake workers answers to every kind of request."""

import time
from typing import Any

import grpc
import numpy as np
import pytest

from mindspore_serving.cluster.errors import Code, Failure
from mindspore_serving.cluster.messages import BatchDone, MethodSpec, TensorType
from mindspore_serving.cluster.tensors import Stacked, Tensor
from mindspore_serving.master.v2_grpc import SERVICE
from mindspore_serving.master.v2_messages import write_response
from mindspore_serving.master.v2_types import DTYPES, InferResponse, V2Tensor
from mindspore_serving.master.wire_spans import LENGTH_DELIMITED, varint, varints
from mindspore_serving.proto import open_inference_pb2 as pb
from mindspore_serving.proto.private_pool import DESCRIPTORS
from tests.master.running_master import RunningMaster
from tests.master.v2_client import V2Client, bytes_request, infer_input, infer_request, set_parameters

INVALID, NOT_FOUND, UNAVAILABLE = (
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.UNAVAILABLE,
)
UNIMPLEMENTED, INTERNAL = grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.INTERNAL


@pytest.mark.parametrize("datatype", DTYPES)
@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 0), (1, 1, 4)])
def test_every_raw_tensor_comes_back_as_it_went(v2: V2Client, datatype: str, shape: tuple[int, ...]) -> None:
    data = (np.arange(np.prod(shape)) % 2).astype(DTYPES[datatype]).tobytes()
    answer = v2.infer(infer_request("add.echo", infer_input("x", datatype, list(shape)), raw=[data]))
    (output,) = answer.outputs
    assert (output.name, output.datatype, tuple(output.shape)) == ("y", datatype, shape)
    assert list(answer.raw_output_contents) == [data]
    assert (answer.model_name, answer.model_version) == ("add.echo", "1")


TYPED: list[tuple[str, dict[str, Any]]] = [
    ("BOOL", {"bool_contents": [True, False]}),
    ("INT8", {"int_contents": [-128, 127]}),
    ("INT16", {"int_contents": [-(2**15), 2**15 - 1]}),
    ("INT32", {"int_contents": [-(2**31), 2**31 - 1]}),
    ("INT64", {"int64_contents": [-(2**63), 2**63 - 1]}),
    ("UINT8", {"uint_contents": [0, 255]}),
    ("UINT16", {"uint_contents": [0, 2**16 - 1]}),
    ("UINT32", {"uint_contents": [0, 2**32 - 1]}),
    ("UINT64", {"uint64_contents": [0, 2**64 - 1]}),
    ("FP32", {"fp32_contents": [0.5, -1.0]}),
    ("FP64", {"fp64_contents": [0.1, -1e300]}),
    ("BYTES", {"bytes_contents": [b"", b"\xff\x00"]}),
]


@pytest.mark.parametrize("datatype, contents", TYPED)
def test_who_asks_with_typed_values_is_answered_with_them(
    v2: V2Client, datatype: str, contents: dict[str, Any]
) -> None:
    tensor = infer_input("x", datatype, [2])
    tensor.contents.CopyFrom(pb.InferTensorContents(**contents))
    answer = v2.infer(infer_request("add.echo", tensor, raw=[]))
    assert answer.outputs[0].contents == tensor.contents
    assert not answer.raw_output_contents


@pytest.mark.parametrize(
    "name, dtype",
    [("int_contents", "i4"), ("int64_contents", "i8"), ("uint_contents", "u4"), ("uint64_contents", "u8")],
)
def test_whole_numbers_are_written_as_protobuf_writes_them(name: str, dtype: str) -> None:
    limits = np.iinfo(dtype)
    powers = [1 << power for power in range(limits.bits - 1)]
    given = [limits.min, limits.max, *powers, *[power - 1 for power in powers]]
    if limits.min < 0:
        given += [-power for power in powers]
    packed = varints(np.array(given * 1000, dtype))
    written = pb.InferTensorContents()
    number = written.DESCRIPTOR.fields_by_name[name].number
    written.MergeFromString(varint(number << 3 | LENGTH_DELIMITED) + varint(len(packed)) + packed)
    assert list(getattr(written, name)) == given * 1000
    assert varints(np.array([], dtype)) == b""


def test_truths_of_any_bytes_are_truths() -> None:
    output = V2Tensor("y", "BOOL", (4,), b"\xff\0\x80\1", {})
    response = write_response(InferResponse("m", "1", "", {}, (output,)), is_typed=True)
    assert list(response.outputs[0].contents.bool_contents) == [True, False, True, True]


def test_text_is_text_to_a_method_that_is_told_so(master: RunningMaster) -> None:
    given = infer_input("x", "BYTES", [2, 1], content_type="str")
    call = V2Client(master).send("ModelInfer", infer_request("add.echo", given, raw=[b"\2\0\0\0\xc3\xa4\0\0\0\0"]))
    batch = master.workers[0].next_batch()
    assert batch.columns == (("ä", ""),)
    master.workers[0].answer(batch)
    answer = pb.ModelInferResponse.FromString(call.result())
    assert answer.outputs[0].parameters["content_type"].string_param == "str"
    assert answer.raw_output_contents[0] == b"\2\0\0\0\xc3\xa4\0\0\0\0"


def test_a_batch_becomes_instances_and_not_batched_is_one(master: RunningMaster) -> None:
    worker, client = master.workers[0], V2Client(master)
    call = client.send("ModelInfer", bytes_request(7, 8))
    batch = worker.next_batch()
    assert (batch.count, batch.columns) == (2, (Stacked("|u1", (2, 1), b"\7\x08"),))
    worker.answer(batch)
    call.result()
    whole = bytes_request(7, 8)
    whole.parameters["batched"].bool_param = False
    call = client.send("ModelInfer", whole)
    batch = worker.next_batch()
    assert (batch.count, batch.columns) == (1, (Stacked("|u1", (1, 2, 1), b"\7\x08"),))
    worker.answer(batch)
    assert list(pb.ModelInferResponse.FromString(call.result()).outputs[0].shape) == [2, 1]


def test_id_and_parameters_come_back_but_for_those_with_a_meaning(v2: V2Client) -> None:
    asked = bytes_request(1)
    asked.id = "id 7"
    mine = {"a": True, "b": 5, "c": "text", "d": 0.5}
    set_parameters(asked.parameters, {**mine, "sequence_id": 3, "priority": 1, "triton_x": "y", "timeout": 10**9})
    answer = v2.infer(asked)
    assert answer.id == "id 7"
    expected = pb.ModelInferResponse()
    set_parameters(expected.parameters, mine)
    assert answer.parameters == expected.parameters


def test_a_model_is_a_servable_a_method_or_chosen_by_parameter(master: RunningMaster) -> None:
    client, worker = V2Client(master), master.workers[0]
    by_parameter = bytes_request(1, model="add")
    by_parameter.parameters["method"].string_param = "echo"
    for asked in (bytes_request(1, model="add.echo"), by_parameter):
        call = client.send("ModelInfer", asked)
        batch = worker.next_batch()
        assert batch.method == "echo"
        worker.answer(batch)
        assert pb.ModelInferResponse.FromString(call.result()).model_name == asked.model_name
    pair = [infer_input(name, "UINT8", [1]) for name in ("x2", "x1")]
    call = client.send("ModelInfer", infer_request("add", *pair, raw=[b"2", b"1"]))
    batch = worker.next_batch()
    assert (batch.method, [column.data for column in batch.columns if isinstance(column, Stacked)]) == (
        "add_common",
        [b"1", b"2"],
    )
    worker.answer(batch)
    call.result()


def test_the_newest_version_answers_or_the_one_that_is_asked_for(master: RunningMaster) -> None:
    newer, client = master.worker(version=3), V2Client(master)
    for asked_version, worker, version in (("", newer, "3"), ("3", newer, "3"), ("1", master.workers[0], "1")):
        asked = bytes_request(1)
        asked.model_version = asked_version
        call = client.send("ModelInfer", asked)
        worker.echo()
        assert pb.ModelInferResponse.FromString(call.result()).model_version == version
    about = client.send("ModelMetadata", pb.ModelMetadataRequest(name="add")).result()
    assert list(pb.ModelMetadataResponse.FromString(about).versions) == ["1", "3"]


def wrong(
    *inputs: pb.ModelInferRequest.InferInputTensor, raw: list[bytes] | None = None, model: str = "add.echo", **more: Any
) -> pb.ModelInferRequest:
    asked = infer_request(model, *inputs, raw=[] if raw is None else raw)
    asked.model_version = more.pop("version", "")
    for name in more.pop("outputs", ()):
        asked.outputs.add(name=name)
    set_parameters(asked.parameters, more)
    return asked


def typed(datatype: str, shape: list[int], **contents: Any) -> pb.ModelInferRequest.InferInputTensor:
    tensor = infer_input("x", datatype, shape)
    tensor.contents.CopyFrom(pb.InferTensorContents(**contents))
    return tensor


X = infer_input("x", "UINT8", [1, 1])
FAULTS: list[tuple[pb.ModelInferRequest, grpc.StatusCode, str]] = [
    (wrong(X, raw=[b"1"], model="nope"), NOT_FOUND, "model 'nope' is not known: no worker has registered"),
    (wrong(X, raw=[b"1"], model="nope.echo"), NOT_FOUND, "model 'nope.echo' is not known"),
    (wrong(X, raw=[b"1"], model="add.nope"), NOT_FOUND, "has no method 'nope': it has add_common, echo"),
    (wrong(X, raw=[b"1"], version="2"), NOT_FOUND, "servable add has no version 2: it has 1"),
    (wrong(X, raw=[b"1"], version="x"), NOT_FOUND, "has no version 'x': versions are 1, 2, ..."),
    (wrong(X, raw=[b"1"], model="add", method="nope"), NOT_FOUND, "has no method 'nope'"),
    (wrong(X, raw=[b"1"], model="add", method=3), INVALID, "parameter 'method' should be a string"),
    (wrong(X, raw=[b"1"], method="add_common"), INVALID, "names another method than parameter 'method'"),
    (wrong(X, raw=[b"1"], batched="no"), INVALID, "parameter 'batched' should be true or false"),
    (wrong(X, raw=[b"1"], timeout=-1), INVALID, "parameter 'timeout' should be a number of microseconds"),
    (wrong(X, raw=[b"1"], timeout="1"), INVALID, "parameter 'timeout' should be a number of microseconds"),
    (wrong(X, raw=[b"1"], outputs=["z"]), INVALID, "has no output 'z': it has y"),
    (wrong(X, raw=[b"1"], outputs=["y", "y"]), INVALID, "an output is asked for twice"),
    (wrong(model="add"), INVALID, "servable add method add_common: input x1 is missing"),
    (wrong(X, X, raw=[b"1", b"2"]), INVALID, "an input is given twice"),
    (wrong(infer_input("z", "UINT8", [1]), raw=[b"1"]), INVALID, "has no input 'z': it has x"),
    (wrong(X, raw=[b"1", b"2"]), INVALID, "raw_input_contents has 2 entries for 1 inputs: one for each is needed"),
    (wrong(X, raw=[b"12"]), INVALID, "input 'x': UINT8 of shape [1, 1] has 1 bytes, given 2"),
    (wrong(infer_input("x", "BF16", [1]), raw=[b"12"]), UNIMPLEMENTED, "BF16 is not supported, send FP32 or FP16"),
    (wrong(infer_input("x", "INT4", [1]), raw=[b"1"]), INVALID, "datatype 'INT4' is none of BOOL, INT8"),
    (wrong(infer_input("x", "UINT8", [-1]), raw=[b"1"]), INVALID, "shape [-1] has a negative dimension"),
    (wrong(infer_input("x", "UINT8", [1] * 40), raw=[b"1"]), INVALID, "40 dimensions are more than 31"),
    (
        wrong(infer_input("x", "UINT8", []), raw=[b"1"]),
        INVALID,
        "lacks the first dimension, which counts the instances",
    ),
    (wrong(infer_input("x", "UINT8", [0, 2]), raw=[b""]), INVALID, "1 to 65536 of them, but it is 0"),
    (wrong(infer_input("x", "UINT8", [2**62, 0]), raw=[b""]), INVALID, "1 to 65536 of them, but it is 4611686018427"),
    (wrong(infer_input("x", "FP64", [2**62, 2**62]), raw=[b""]), INVALID, "given 0"),
    (wrong(infer_input("x", "UINT8", [1, 0, 2]), raw=[b""]), INVALID, "only the last dimension can be 0"),
    (wrong(infer_input("x", "BOOL", [1]), raw=[b"2"]), INVALID, "a raw BOOL is the byte 0 or 1"),
    (wrong(infer_input("x", "BYTES", [1]), raw=[b"\5\0\0\0a"]), INVALID, "an element's length goes beyond the end"),
    (wrong(infer_input("x", "BYTES", [1]), raw=[b"\1\0\0\0ab"]), INVALID, "1 bytes follow the last element"),
    (wrong(infer_input("x", "BYTES", [2**60]), raw=[b"ab"]), INVALID, "have more than 65536 elements"),
    (wrong(infer_input("x", "BYTES", [1, 2]), raw=[bytes(8)]), INVALID, "there are no arrays of them"),
    (wrong(infer_input("x", "BYTES", [1], content_type="str"), raw=[b"\1\0\0\0\xff"]), INVALID, "is not UTF-8"),
    (
        wrong(infer_input("x", "UINT8", [1], shared_memory_region="r", shared_memory_byte_size=1)),
        UNIMPLEMENTED,
        "without --shared-memory: send",
    ),
    (wrong(typed("FP16", [1, 0], fp32_contents=[1.0])), INVALID, "FP16 has no typed contents, send it in raw"),
    (wrong(typed("FP16", [1])), INVALID, "FP16 has no typed contents, send it in raw_input_contents"),
    (wrong(typed("FP32", [1], fp64_contents=[1.0])), INVALID, "belong into fp32_contents, not fp64_contents"),
    (wrong(typed("FP32", [2], fp32_contents=[1.0])), INVALID, "FP32 of shape [2] has 2 values, given 1"),
    (wrong(typed("INT8", [1], int_contents=[128])), INVALID, "a value is not from -128 to 127, as INT8 has to be"),
    (wrong(typed("UINT8", [1], uint_contents=[1]), raw=[b"1"]), INVALID, "contents field must not be specified when"),
    (
        wrong(infer_input("x1", "UINT8", [2]), infer_input("x2", "UINT8", [3]), raw=[b"12", b"123"], model="add"),
        INVALID,
        "should be the same for all inputs, but x1 has 2, x2 has 3",
    ),
]


@pytest.mark.parametrize("asked, status, text", FAULTS)
def test_a_wrong_request_is_refused_with_its_reason(
    v2: V2Client, asked: pb.ModelInferRequest, status: grpc.StatusCode, text: str
) -> None:
    given_status, given_text = v2.fault(asked)
    assert (given_status, "\n" in given_text) == (status, False)
    assert text in given_text


def test_classification_and_outputs_in_shared_memory_are_refused(v2: V2Client) -> None:
    elsewhere = {"shared_memory_region": "r", "shared_memory_byte_size": 1}
    for parameters, text in (({"classification": 3}, "classification"), (elsewhere, "without --shared-memory")):
        asked = bytes_request(1)
        set_parameters(asked.outputs.add(name="y").parameters, parameters)
        status, given = v2.fault(asked)
        assert status is UNIMPLEMENTED and text in given


def test_a_parameter_without_value_is_refused(v2: V2Client) -> None:
    asked = bytes_request(1)
    asked.parameters["empty"].SetInParent()
    assert v2.fault(asked) == (INVALID, "parameter 'empty' has no value")


def test_the_first_failed_instance_is_the_answer(master: RunningMaster) -> None:
    call = V2Client(master).send("ModelInfer", bytes_request(1, 2))
    batch = master.workers[0].next_batch()
    failures = {1: Failure(Code.FAILED, "it broke")}
    master.workers[0].say(BatchDone(batch.batch_id, (Stacked("|u1", (1, 1), b"1"),), failures))
    error = call.exception()
    assert (error.code(), error.details()) == (INTERNAL, "instance 1 of 2: it broke")


def test_results_that_are_not_one_tensor_are_refused(master: RunningMaster) -> None:
    call = V2Client(master).send("ModelInfer", bytes_request(1, 2))
    batch = master.workers[0].next_batch()
    column = (Tensor("|u1", (1,), b"1"), "text")
    master.workers[0].say(BatchDone(batch.batch_id, (column,)))
    error = call.exception()
    assert error.code() is INTERNAL
    assert error.details() == "output y is not one tensor: its instances are BYTES, UINT8 [1]; ask for each on its own"


def test_the_timeout_parameter_ends_the_wait(master: RunningMaster) -> None:
    asked = bytes_request(1)
    asked.parameters["timeout"].int64_param = 50_000
    status, text = V2Client(master).fault(asked)
    assert status is grpc.StatusCode.DEADLINE_EXCEEDED
    assert "the deadline passed" in text


def test_without_workers_another_master_may_help(master: RunningMaster) -> None:
    client = V2Client(master)
    calls = []
    for _ in range(2):
        calls.append(client.send("ModelInfer", bytes_request(1)))
        master.workers[0].next_batch()
    calls.append(client.send("ModelInfer", bytes_request(1)))  # waits behind them
    master.workers[0].die()
    assert calls[-1].exception().code() is UNAVAILABLE
    assert client.fault(bytes_request(1)) == (
        UNAVAILABLE,
        "servable add version 1 is not ready: it has no live worker",
    )
    ready = client.send("ServerReady", pb.ServerReadyRequest()).result()
    assert not pb.ServerReadyResponse.FromString(ready).ready
    index = client.send("RepositoryIndex", pb.RepositoryIndexRequest()).result()
    (one,) = pb.RepositoryIndexResponse.FromString(index).models
    assert (one.name, one.version, one.state, one.reason) == ("add", "1", "UNAVAILABLE", "it has no live worker")
    index = client.send("RepositoryIndex", pb.RepositoryIndexRequest(ready=True)).result()
    assert not pb.RepositoryIndexResponse.FromString(index).models


@pytest.mark.parametrize("name, ready", [("add", True), ("add.echo", True), ("nope", False), ("add.nope", False)])
def test_a_model_is_ready_or_not(v2: V2Client, name: str, ready: bool) -> None:
    answer = v2.send("ModelReady", pb.ModelReadyRequest(name=name)).result()
    assert pb.ModelReadyResponse.FromString(answer).ready is ready


FLOATS = TensorType("<f4", (2, -1))
TYPES = (MethodSpec("known", ("a", "b"), ("c",), 4, True, (FLOATS, None), (TensorType("|b1", ()),)),)


def test_metadata_says_what_is_known_of_tensors(master: RunningMaster) -> None:
    master.worker(version=2, methods=TYPES)
    client = V2Client(master)
    about = pb.ModelMetadataResponse.FromString(
        client.send("ModelMetadata", pb.ModelMetadataRequest(name="add", version="2")).result()
    )
    tensors = [(each.name, each.datatype, list(each.shape)) for each in (*about.inputs, *about.outputs)]
    assert tensors == [("a", "FP32", [-1, 2, -1]), ("b", "BYTES", [-1]), ("c", "BOOL", [-1])]
    config = pb.ModelConfigResponse.FromString(
        client.send("ModelConfig", pb.ModelConfigRequest(name="add", version="2")).result()
    ).config
    assert [(each.data_type, list(each.dims)) for each in config.input] == [
        (pb.TYPE_FP32, [2, -1]),
        (pb.TYPE_INVALID, [-1]),
    ]
    assert (config.max_batch_size, config.parameters["methods"].string_value) == (4, "known")
    assert client.fault(pb.ModelMetadataRequest(name="nope"), "ModelMetadata")[0] is NOT_FOUND


def test_the_server_tells_its_name_and_what_works(v2: V2Client) -> None:
    about = pb.ServerMetadataResponse.FromString(v2.send("ServerMetadata", pb.ServerMetadataRequest()).result())
    assert (about.name, "binary_tensor_data" in about.extensions) == ("mindspore-serving-cluster", True)
    assert pb.ServerLiveResponse.FromString(v2.send("ServerLive", pb.ServerLiveRequest()).result()).live


def test_statistics_count_requests_instances_and_batches(master: RunningMaster) -> None:
    client, worker = V2Client(master), master.workers[0]
    before = time.time()
    for answers in ({}, {0: Failure(Code.FAILED, "it broke")}):
        call = client.send("ModelInfer", bytes_request(*range(1, 3 - len(answers))))
        batch = worker.next_batch()
        worker.say(BatchDone(batch.batch_id, () if answers else batch.columns, answers))
        call.exception()
    for name in ("add", "add.echo", ""):
        stats = pb.ModelStatisticsResponse.FromString(
            client.send("ModelStatistics", pb.ModelStatisticsRequest(name=name)).result()
        )
        (one,) = stats.model_stats
        assert (one.name, one.version, one.inference_count, one.execution_count) == (name or "add", "1", 2, 2)
        assert before - 1 < one.last_inference / 1000 < time.time() + 1
        parts = one.inference_stats
        assert (parts.success.count, parts.fail.count, parts.queue.count, parts.compute_infer.count) == (1, 1, 2, 2)
        assert parts.success.ns + parts.fail.ns >= parts.queue.ns + parts.compute_infer.ns - 10 > 0
        assert [(each.batch_size, each.compute_infer.count) for each in one.batch_stats] == [(1, 1), (2, 1)]
        # perf_analyzer ends where these differ
        assert parts.compute_input.count == parts.compute_output.count == 2
        assert [(each.compute_input.count, each.compute_output.count) for each in one.batch_stats] == [(1, 1), (1, 1)]
    other = client.send("ModelStatistics", pb.ModelStatisticsRequest(name="add.add_common")).result()
    assert pb.ModelStatisticsResponse.FromString(other).model_stats[0].inference_count == 0


def test_what_is_not_supported_says_what_to_do(v2: V2Client) -> None:
    for method in (
        *(f"{kind}SharedMemory{verb}" for kind in ("System", "Cuda") for verb in ("Status", "Register", "Unregister")),
        *("RepositoryModelLoad", "RepositoryModelUnload", "TraceSetting", "LogSettings"),
    ):
        status, text = v2.fault(pb.ServerLiveRequest(), method)
        assert status is UNIMPLEMENTED and ": " in text, method


def test_every_method_of_the_proto_file_is_served(v2: V2Client) -> None:
    (service,) = [
        service for file in DESCRIPTORS.file for service in file.service if f"{file.package}.{service.name}" == SERVICE
    ]
    for method in service.method:
        if method.name != "ModelStreamInfer":
            error = v2.send(method.name, pb.ServerLiveRequest()).exception()
            assert error is None or error.details() != "Method not found!", method.name


def test_bytes_that_are_no_request_are_refused(master: RunningMaster) -> None:
    call: Any = master.channel.unary_unary(f"/{SERVICE}/ModelInfer")
    with pytest.raises(grpc.RpcError) as caught:
        call(b"\xff")
    assert isinstance(caught.value, grpc.Call)
    assert (caught.value.code(), caught.value.details()) == (
        INVALID,
        "the request is no inference.ModelInferRequest",
    )
