"""gRPC's health and reflection services, and messages that do not get into the way of other people's."""

import os
import subprocess
import sys
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from mindspore_serving.cluster.messages import Goodbye
from mindspore_serving.master.front_desk import Phase
from mindspore_serving.proto import health_pb2 as health
from mindspore_serving.proto import open_inference_pb2 as pb
from mindspore_serving.proto import reflection_pb2 as reflection
from mindspore_serving.proto.private_pool import DESCRIPTORS
from tests.master.running_master import WAIT_SECONDS, RunningMaster
from tests.processes import ROOT, until

SERVING, NOT_SERVING = health.HealthCheckResponse.SERVING, health.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health.HealthCheckResponse.SERVICE_UNKNOWN
MODEL_SERVICES = ("inference.GRPCInferenceService", "mindspore.serving.proto.MSService")


def check(master: RunningMaster, service: str) -> int:
    call: Any = master.channel.unary_unary("/grpc.health.v1.Health/Check")
    answer = call(health.HealthCheckRequest(service=service).SerializeToString(), timeout=WAIT_SECONDS)
    return health.HealthCheckResponse.FromString(answer).status


class Watch:
    """One call of Health/Watch."""

    def __init__(self, master: RunningMaster, service: str) -> None:
        call: Any = master.channel.stream_stream("/grpc.health.v1.Health/Watch")
        request = health.HealthCheckRequest(service=service).SerializeToString()
        self.answers = call(iter([request]), timeout=WAIT_SECONDS)

    def next(self) -> int:
        return health.HealthCheckResponse.FromString(next(self.answers)).status


@pytest.mark.parametrize("service", ["", "add", *MODEL_SERVICES])
def test_health_follows_the_workers(master: RunningMaster, service: str) -> None:
    watch = Watch(master, service)
    assert (check(master, service), watch.next()) == (SERVING, SERVING)
    master.workers[0].say(Goodbye())
    assert watch.next() == NOT_SERVING
    assert check(master, service) == NOT_SERVING
    master.worker()
    assert (check(master, service), watch.next()) == (SERVING, SERVING)
    watch.answers.cancel()


def test_a_servable_that_comes_later_is_watched(master: RunningMaster) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        check(master, "later")
    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert caught.value.details() == "service 'later' is neither a servable nor a service here"
    watch = Watch(master, "later")
    assert watch.next() == SERVICE_UNKNOWN
    watch.answers.cancel()


def test_health_lists_all(master: RunningMaster) -> None:
    call: Any = master.channel.unary_unary("/grpc.health.v1.Health/List")
    statuses = health.HealthListResponse.FromString(call(b"", timeout=WAIT_SECONDS)).statuses
    assert {name: one.status for name, one in statuses.items()} == dict.fromkeys(("", "add", *MODEL_SERVICES), SERVING)


def test_a_stopping_master_is_not_serving_and_then_ends_its_watches(master: RunningMaster) -> None:
    watch = Watch(master, "add")
    assert watch.next() == SERVING
    master.loop.call_soon_threadsafe(master.server._desk._all_answered.clear)  # somebody is still to be answered
    draining = master.later(master.server._desk.drain(WAIT_SECONDS))
    assert watch.next() == NOT_SERVING
    assert check(master, "") == NOT_SERVING
    master.loop.call_soon_threadsafe(master.server._desk._all_answered.set)
    assert draining.result(WAIT_SECONDS)
    with pytest.raises(grpc.RpcError):
        watch.next()
    assert watch.answers.code() is grpc.StatusCode.UNAVAILABLE
    until(lambda: master.server._desk.phase is Phase.ANSWERED, "the desk to have answered")


PACKAGES = ("grpc.reflection.v1", "grpc.reflection.v1alpha")


def reflect(
    master: RunningMaster, *requests: reflection.ServerReflectionRequest, package: str = PACKAGES[0]
) -> list[reflection.ServerReflectionResponse]:
    call: Any = master.channel.stream_stream(f"/{package}.ServerReflection/ServerReflectionInfo")
    answers = call(iter([request.SerializeToString() for request in requests]), timeout=WAIT_SECONDS)
    return [reflection.ServerReflectionResponse.FromString(answer) for answer in answers]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_client_without_proto_files_lists_and_calls(master: RunningMaster, package: str) -> None:
    (listed,) = reflect(master, reflection.ServerReflectionRequest(list_services=""), package=package)
    services = {service.name for service in listed.list_services_response.service}
    assert services == {*MODEL_SERVICES, "grpc.health.v1.Health", *(f"{each}.ServerReflection" for each in PACKAGES)}
    pool = descriptor_pool.DescriptorPool()
    for service in services:
        asked = reflection.ServerReflectionRequest(file_containing_symbol=service, host="h")
        (found,) = reflect(master, asked, package=package)
        assert (found.valid_host, found.original_request) == ("h", asked)
        for file in found.file_descriptor_response.file_descriptor_proto:
            pool.Add(descriptor_pb2.FileDescriptorProto.FromString(file))
    method = pool.FindServiceByName("grpc.health.v1.Health").methods_by_name["Check"]
    request = message_factory.GetMessageClass(method.input_type)(service="add")
    call: Any = master.channel.unary_unary("/grpc.health.v1.Health/Check")
    answer: Any = message_factory.GetMessageClass(method.output_type).FromString(call(request.SerializeToString()))
    assert answer.status == SERVING


def test_reflection_finds_files_and_symbols_of_every_kind(master: RunningMaster) -> None:
    file = "mindspore_serving/proto/open_inference.proto"
    requests = [reflection.ServerReflectionRequest(file_by_filename=file)] + [
        reflection.ServerReflectionRequest(file_containing_symbol=f"inference.{symbol}")
        for symbol in (
            "ModelInferRequest",
            "ModelInferRequest.InferInputTensor",
            "ModelInferRequest.InferInputTensor.shape",
            "DataType",
            "GRPCInferenceService.ModelInfer",
        )
    ]
    for answer in reflect(master, *requests):
        (content,) = answer.file_descriptor_response.file_descriptor_proto
        assert descriptor_pb2.FileDescriptorProto.FromString(content).name == file


def test_reflection_says_what_it_does_not_know(master: RunningMaster) -> None:
    extension = reflection.ExtensionRequest(containing_type="inference.ModelConfig", extension_number=1)
    unknown, file, extended, numbers, of_nothing, nothing = reflect(
        master,
        reflection.ServerReflectionRequest(file_containing_symbol="no.Thing"),
        reflection.ServerReflectionRequest(file_by_filename="nothing.proto"),
        reflection.ServerReflectionRequest(file_containing_extension=extension),
        reflection.ServerReflectionRequest(all_extension_numbers_of_type="inference.ModelConfig"),
        reflection.ServerReflectionRequest(all_extension_numbers_of_type="no.Thing"),
        reflection.ServerReflectionRequest(),
    )
    assert unknown.error_response.error_message == "'no.Thing' is not known here"
    assert [each.error_response.error_code for each in (unknown, file, extended, of_nothing, nothing)] == [
        5,
        5,
        5,
        5,
        3,
    ]
    assert numbers.all_extension_numbers_response.base_type_name == "inference.ModelConfig"


def test_other_peoples_messages_of_the_same_names_are_loaded_beside_ours() -> None:
    other = descriptor_pb2.FileDescriptorProto(name="open_inference.proto", package="inference", syntax="proto3")
    other.message_type.add(name="ModelInferRequest").field.add(name="other", number=1, type=9, label=1)
    descriptor_pool.Default().Add(other)
    theirs = message_factory.GetMessageClass(
        descriptor_pool.Default().FindMessageTypeByName("inference.ModelInferRequest")
    )
    assert theirs(other="x").SerializeToString() == pb.ModelInferRequest(model_name="x").SerializeToString()
    for file in DESCRIPTORS.file:
        if file.package != "mindspore.serving.proto":
            with pytest.raises(KeyError):
                descriptor_pool.Default().FindFileByName(file.name)


@pytest.mark.parametrize("implementation", ["upb", "python"])
def test_our_messages_work_with_either_implementation_of_protobuf(implementation: str) -> None:
    code = (
        "from google.protobuf.internal import api_implementation; print(api_implementation.Type())\n"
        "import mindspore_serving.master.services\n"
        "from mindspore_serving.proto import open_inference_pb2 as pb, health_pb2 as health\n"
        "tensor = pb.ModelInferRequest.InferInputTensor(name='x', shape=[1])\n"
        "tensor.parameters['a'].int64_param = 5\n"
        "request = pb.ModelInferRequest(inputs=[tensor])\n"
        "assert pb.ModelInferRequest.FromString(request.SerializeToString()) == request\n"
        "assert health.HealthCheckResponse.NOT_SERVING == 2 and pb.DataType.Name(pb.TYPE_FP32) == 'TYPE_FP32'\n"
    )
    environment = {**os.environ, "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": implementation}
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout.strip()) == (0, implementation), ran.stderr
