"""Drives a master with unmodified tritonclient (both doors, blocking and asyncio) and gRPC's own companions.

Run in an environment of its own: `python with_tritonclient.py GRPC_ADDRESS HTTP_ADDRESS`. It knows nothing of ours.
"""

import asyncio
import os
import queue
import sys

import grpc
import ml_dtypes
import numpy as np
import tritonclient.grpc as by_grpc
import tritonclient.grpc.aio as by_grpc_aio
import tritonclient.http as by_http
import tritonclient.http.aio as by_http_aio
from google.protobuf import descriptor_pool, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from tritonclient.utils import InferenceServerException, shared_memory, triton_to_np_dtype

TYPES = ("BOOL", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64", "FP16", "FP32", "FP64")
MODEL = "judged"


def tensor(module, name, array, datatype, **options):
    given = module.InferInput(name, list(array.shape), datatype)
    given.set_data_from_numpy(array, **options)
    return given


def refused(call, *words):
    """The call fails, and its text has these words."""
    try:
        call()
    except InferenceServerException as error:
        text = str(error)
    else:
        text = "nothing was refused"
    assert all(word in text for word in words), (words, text)


def samples():
    for datatype in TYPES:
        array = np.array([[0, 1, 1], [1, 0, 1]]).astype(triton_to_np_dtype(datatype))
        yield datatype, array
        yield datatype, np.zeros((2, 0), array.dtype)
    yield "BYTES", np.array([b"", b"\xff\x00", "ä".encode()], object)
    yield "INT64", np.array([[-(2**63), 2**63 - 1]], np.int64)
    yield "UINT64", np.array([[0, 2**64 - 1]], np.uint64)


def check_common(client, module):
    """What the http and the grpc client have in common."""
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready(MODEL) and client.is_model_ready(MODEL, "1") and client.is_model_ready(f"{MODEL}.echo")
    assert not client.is_model_ready("nobody")
    for datatype, array in samples():
        result = client.infer(
            f"{MODEL}.echo", [tensor(module, "x", array, datatype)], request_id="r1", parameters={"mine": "back"}
        )
        back = result.as_numpy("y")
        assert back.dtype == array.dtype and back.shape == array.shape, (datatype, back, array)
        assert (back == array).all(), (datatype, back, array)
    ones = np.ones((1, 2, 2), np.float32)
    both = [tensor(module, name, ones, "FP32") for name in ("x1", "x2")]
    for version in ("", "1"):
        result = client.infer(MODEL, both, version, outputs=[module.InferRequestedOutput("y")])
        assert (result.as_numpy("y") == 2).all()
    plain = [tensor(module, name, ones[0], "FP32") for name in ("x1", "x2")]
    result = client.infer(MODEL, plain, parameters={"method": "add", "batched": False})
    assert result.as_numpy("y").shape == (2, 2)
    assert client.infer(
        MODEL, [tensor(module, "x", np.array([2], np.int32), "INT32")], parameters={"method": "text"}
    ).as_numpy("y").tolist() == [b"word word"]
    refused(lambda: client.infer("nobody", both), "nobody", "not known")
    refused(lambda: client.infer(MODEL, both, "7"), "version 7")
    refused(lambda: client.infer(f"{MODEL}.nothing", both), "nothing")
    refused(lambda: client.infer(MODEL, both[:1]), "x2", "missing")
    refused(lambda: client.infer(MODEL, [*both, tensor(module, "x3", ones, "FP32")]), "x3")
    refused(lambda: client.infer(MODEL, [both[0], tensor(module, "x2", ones.astype(np.int32), "INT32")]), "data type")
    half = module.InferInput("x", [1, 1], "BF16")
    half.set_data_from_numpy(np.ones((1, 1), ml_dtypes.bfloat16))
    refused(lambda: client.infer(f"{MODEL}.echo", [half]), "BF16")
    refused(lambda: client.infer(f"{MODEL}.broken", [tensor(module, "x", np.ones((1, 1)), "FP64")]), "always fails")
    seconds = tensor(module, "x", np.array([0.5]), "FP64")
    refused(lambda: client.infer(f"{MODEL}.wait", [seconds], timeout=1000), "deadline")
    refused(lambda: client.load_model(MODEL), "worker")
    refused(lambda: client.unload_model(MODEL), "worker")
    check_memory(client, module)
    refused(lambda: client.get_cuda_shared_memory_status(), "CUDA", "system shared memory")
    refused(lambda: client.get_trace_settings(), "trace")
    refused(lambda: client.get_log_settings(), "log")


def check_memory(client, module):
    """Tensors that lie in the client's memory, both ways."""
    client.unregister_system_shared_memory()
    array, nbytes = np.arange(20_000, dtype=np.float32).reshape(2, -1), 80_000
    key = f"/judged-{os.getpid()}"
    held = shared_memory.create_shared_memory_region("held", key, 2 * nbytes)
    try:
        shared_memory.set_shared_memory_region(held, [array])
        client.register_system_shared_memory("whole", key, 2 * nbytes)
        client.register_system_shared_memory("end", key, nbytes, offset=nbytes)
        status = client.get_system_shared_memory_status()
        known = status if isinstance(status, list) else [each for _, each in sorted(status.regions.items())]
        assert sorted(str(each["name"] if isinstance(each, dict) else each.name) for each in known) == ["end", "whole"]
        refused(lambda: client.register_system_shared_memory("end", key, 4), "registered already")
        refused(lambda: client.register_system_shared_memory("no", "/judged-nobody", 4), "no shared memory")
        given, asked = module.InferInput("x", list(array.shape), "FP32"), module.InferRequestedOutput("y")
        given.set_shared_memory("whole", nbytes)
        asked.set_shared_memory("end", nbytes)
        output = client.infer(f"{MODEL}.echo", [given], outputs=[asked]).get_output("y")
        shape = list(output["shape"] if isinstance(output, dict) else output.shape)
        assert (shared_memory.get_contents_as_numpy(held, np.float32, shape, nbytes) == array).all()
        back = client.infer(f"{MODEL}.echo", [given]).as_numpy("y")
        assert (back == array).all()
        given.set_shared_memory("whole", nbytes, offset=2 * nbytes - 4)
        refused(lambda: client.infer(f"{MODEL}.echo", [given]), "whole", "160000 bytes")
        client.unregister_system_shared_memory("whole")
        refused(lambda: client.infer(f"{MODEL}.echo", [given]), "no shared memory region 'whole'")
        client.unregister_system_shared_memory()
    finally:
        shared_memory.destroy_shared_memory_region(held)


def check_http(address):
    with by_http.InferenceServerClient(address, concurrency=4) as client:
        check_common(client, by_http)
        assert client.get_server_metadata()["name"] == "mindspore-serving-cluster"
        about = client.get_model_metadata(MODEL)
        assert about["inputs"][0] == {"name": "x1", "datatype": "FP32", "shape": [-1, 2, 2]}, about
        assert client.get_model_config(MODEL)["input"][0]["data_type"] == "TYPE_FP32"
        assert [(each["name"], each["state"]) for each in client.get_model_repository_index()] == [(MODEL, "READY")]
        (counts,) = client.get_inference_statistics(MODEL)["model_stats"]
        assert counts["inference_count"] >= counts["execution_count"] > 0 and counts["last_inference"] > 0
        for datatype, array in samples():
            if datatype == "FP16" or (datatype == "BYTES"):
                continue  # the client sends them as binary only, or cannot say these bytes in JSON
            for binary in (True, False):
                for wanted in (True, False):
                    given = tensor(by_http, "x", array, datatype, binary_data=binary)
                    asked = by_http.InferRequestedOutput("y", binary_data=wanted)
                    for packing in (None, "gzip", "deflate"):
                        result = client.infer(
                            f"{MODEL}.echo",
                            [given],
                            outputs=[asked],
                            request_compression_algorithm=packing,
                            response_compression_algorithm=packing,
                        )
                        assert (result.as_numpy("y") == array).all()
        mixed = np.ones((1, 2, 2), np.float32)
        given = [tensor(by_http, name, mixed, "FP32", binary_data=name == "x2") for name in ("x1", "x2")]
        result = client.infer(MODEL, given, request_id="id 7", parameters={"mine": 5})
        response = result.get_response()
        assert response["id"] == "id 7" and response["parameters"] == {"mine": 5}, response
        assert response["model_version"] == "1"
        large = np.arange(100_000, dtype=np.float32).reshape(1, -1)
        result = client.infer(
            f"{MODEL}.echo", [tensor(by_http, "x", large, "FP32")], response_compression_algorithm="gzip"
        )
        assert (result.as_numpy("y") == large).all()
        pending = [client.async_infer(f"{MODEL}.echo", [tensor(by_http, "x", large, "FP32")]) for _ in range(8)]
        assert all((each.get_result().as_numpy("y") == large).all() for each in pending)


def check_grpc(address):
    with by_grpc.InferenceServerClient(address) as client:
        check_common(client, by_grpc)
        assert client.get_server_metadata().name == "mindspore-serving-cluster"
        assert list(client.get_model_metadata(MODEL).inputs[0].shape) == [-1, 2, 2]
        config = client.get_model_config(MODEL).config
        assert config.parameters["methods"].string_value == "add,echo,text,wait,broken"
        assert client.get_model_repository_index().models[0].state == "READY"
        counts = client.get_inference_statistics(MODEL).model_stats[0]
        assert counts.inference_stats.success.count > 0 and counts.inference_stats.fail.count > 0
        assert counts.inference_stats.compute_infer.ns > 0
        array = np.ones((1, 3), np.float32)
        given = [tensor(by_grpc, "x", array, "FP32")]
        response = client.infer(f"{MODEL}.echo", given, request_id="id 8", parameters={"mine": 5}).get_response()
        assert response.id == "id 8" and response.parameters["mine"].int64_param == 5
        client.infer(f"{MODEL}.echo", given, compression_algorithm="gzip")
        refused(lambda: client.infer(f"{MODEL}.wait", [wait_of(0.5)], client_timeout=0.05), "DEADLINE_EXCEEDED")
        check_stream(client)


def wait_of(seconds):
    return tensor(by_grpc, "x", np.array([seconds]), "FP64")


def check_stream(client):
    """Pipelined; a fault is an answer of its own."""
    answers = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    array = np.ones((1, 3), np.float32)
    for number in range(20):
        given = tensor(by_grpc, "x", array * number, "FP32")
        client.async_stream_infer(
            f"{MODEL}.echo", [given], request_id=str(number), enable_empty_final_response=number == 3
        )
    client.async_stream_infer("nobody", [given], request_id="bad")
    client.async_stream_infer(f"{MODEL}.echo", [given], request_id="last")
    got = [answers.get(timeout=30) for _ in range(22)]
    client.stop_stream()
    faults = [error for _, error in got if error is not None]
    assert len(faults) == 1 and "nobody" in str(faults[0]), faults
    results = {result.get_response().id: result for result, error in got if error is None}
    assert set(results) == {*map(str, range(20)), "last"}
    assert all((results[str(number)].as_numpy("y") == number).all() for number in range(20))
    assert results["3"].get_response().parameters["triton_final_response"].bool_param


async def check_aio(grpc_address, http_address):
    array = np.ones((2, 3), np.float16)
    async with by_http_aio.InferenceServerClient(http_address) as client:
        given = [tensor(by_http_aio, "x", array, "FP16")]
        assert await client.is_server_ready() and await client.is_model_ready(MODEL)
        results = await asyncio.gather(*(client.infer(f"{MODEL}.echo", given) for _ in range(8)))
        assert all((result.as_numpy("y") == array).all() for result in results)
    async with by_grpc_aio.InferenceServerClient(grpc_address) as client:
        given = [tensor(by_grpc_aio, "x", array, "FP16")]
        assert await client.is_server_ready() and await client.is_model_ready(MODEL)
        results = await asyncio.gather(*(client.infer(f"{MODEL}.echo", given) for _ in range(8)))
        assert all((result.as_numpy("y") == array).all() for result in results)

        async def requests():
            for number in range(8):
                yield {"model_name": f"{MODEL}.echo", "inputs": given, "request_id": str(number)}

        ids = set()
        async for result, error in client.stream_infer(requests()):
            assert error is None, error
            ids.add(result.get_response().id)
            if len(ids) == 8:
                break
        assert ids == set(map(str, range(8)))


def check_reflection(address):
    """What grpcurl does: list the services, get a method's messages, call it."""
    with grpc.insecure_channel(address) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        services = set(database.get_services())
        assert services == {
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection",
            "inference.GRPCInferenceService",
            "mindspore.serving.proto.MSService",
        }, services
        pool = descriptor_pool.DescriptorPool(database)
        for service in services:
            assert pool.FindServiceByName(service).methods
        method = pool.FindServiceByName("inference.GRPCInferenceService").methods_by_name["ModelReady"]
        request = message_factory.GetMessageClass(method.input_type)(name=MODEL)
        answer = channel.unary_unary(f"/{method.containing_service.full_name}/{method.name}")(
            request.SerializeToString()
        )
        assert message_factory.GetMessageClass(method.output_type).FromString(answer).ready
        method = pool.FindServiceByName("mindspore.serving.proto.MSService").methods_by_name["Predict"]
        assert method.output_type.fields_by_name["error_msg"].number == 4


def check_health(address):
    with grpc.insecure_channel(address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        serving = health_pb2.HealthCheckResponse.SERVING
        for name in ("", MODEL, "inference.GRPCInferenceService"):
            assert health.Check(health_pb2.HealthCheckRequest(service=name)).status == serving
        watch = health.Watch(health_pb2.HealthCheckRequest(service=MODEL))
        assert next(watch).status == serving
        watch.cancel()


def main() -> None:
    grpc_address, http_address = sys.argv[1:]
    for name, check in (
        ("http", lambda: check_http(http_address)),
        ("grpc", lambda: check_grpc(grpc_address)),
        ("aio", lambda: asyncio.run(check_aio(grpc_address, http_address))),
        ("reflection", lambda: check_reflection(grpc_address)),
        ("health", lambda: check_health(grpc_address)),
    ):
        check()
        print(f"{name}: passed", flush=True)


if __name__ == "__main__":
    main()
