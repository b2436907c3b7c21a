"""The client against a real gRPC server: what it sends, what it returns, and how it reports."""

import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mindspore_serving.client import Client
from mindspore_serving.proto import ms_service_pb2 as pb
from tests.client.fake_master import FakeMaster, echo, fake_master
from tests.processes import ROOT, free_port, until

ma: Any = np.ma  # it has no types
DTYPES = (
    "bool",
    "int8",
    "uint8",
    "int16",
    "uint16",
    "int32",
    "uint32",
    "int64",
    "uint64",
    "float16",
    "float32",
    "float64",
)


@pytest.fixture(scope="module")
def running() -> Iterator[FakeMaster]:
    with fake_master() as master:
        yield master


@pytest.fixture
def client(running: FakeMaster) -> Iterator[Client]:
    running.answer = echo
    running.requests.clear()
    with Client(f"127.0.0.1:{running.port}", "add", "add_common") as client:
        yield client


def sent(running: FakeMaster) -> pb.Tensor:
    return running.requests[-1].instances[0].items["x"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(value=st.sampled_from(DTYPES).flatmap(lambda d: hnp.arrays(d, hnp.array_shapes(min_dims=0, max_side=4))))
def test_arrays_of_every_type_and_shape_come_back_equal(client: Client, value: Any) -> None:
    result = client.infer({"x": value})
    assert isinstance(result, list)
    back = result[0]["x"]
    assert back.dtype == value.dtype
    assert not back.flags.writeable
    np.testing.assert_array_equal(back, value)


@pytest.mark.parametrize(
    "value", [np.arange(6, dtype=">f4").reshape(2, 3), np.arange(12).reshape(3, 4).T, np.ones((4, 4))[::2, ::2]]
)
def test_foreign_byte_order_and_strides_are_made_plain(client: Client, value: Any) -> None:
    result = client.infer([{"x": value}])
    assert isinstance(result, list)
    np.testing.assert_array_equal(result[0]["x"], value)


@pytest.mark.parametrize(
    "value, number, shape",
    [
        (True, pb.MS_BOOL, [1]),
        (7, pb.MS_INT64, [1]),
        (0.5, pb.MS_FLOAT64, [1]),
        (np.float32(0.5), pb.MS_FLOAT32, []),
        (np.float64(0.5), pb.MS_FLOAT64, []),
        (2**64 - 1, pb.MS_UINT64, [1]),
        ("text ü", pb.MS_STRING, [1]),
        (b"\xff\0", pb.MS_BYTES, [1]),
    ],
)
def test_scalars_travel_as_the_original_sent_them(
    running: FakeMaster, client: Client, value: Any, number: int, shape: list[int]
) -> None:
    result = client.infer({"x": value})
    assert (sent(running).dtype, list(sent(running).shape.dims)) == (number, shape)
    assert isinstance(result, list)
    assert result[0]["x"] == value


@pytest.mark.parametrize(
    "value, text",
    [
        ([1], "Not support value type <class 'list'>"),
        ("caf\udce9", r"the text 'caf\udce9' cannot be sent: its character 3 is no character"),
        (None, "Not support value type <class 'NoneType'>"),
        (np.array([None]), "Unknown data type object"),
        (np.array([1j]), "Unknown data type complex128"),
        (2**70, "the int 1180591620717411303424 does not fit into 64 bits: give it as a numpy value"),
        (ma.masked_equal([1, 2], 2), "a masked array has values that nobody may see: give array.filled(VALUE)"),
        (np.ma.masked, "a masked array has values that nobody may see: give array.filled(VALUE)"),
        (np.broadcast_to(np.int8(0), 1 << 31), "2147483648 bytes are more than a message can hold"),
    ],
)
def test_values_that_cannot_be_sent_are_refused(client: Client, value: Any, text: str) -> None:
    with pytest.raises(RuntimeError) as refused:
        client.infer([{"x": 1}, {"x": value}])
    assert str(refused.value) == f"{text} (input 'x' of instance 1)"


def test_a_masked_array_of_which_nothing_is_masked_is_sent(client: Client) -> None:
    result = client.infer({"x": ma.masked_equal([1, 2], 3)})
    assert isinstance(result, list)
    assert result[0]["x"].tolist() == [1, 2]


def test_an_instance_is_a_map(client: Client) -> None:
    with pytest.raises(RuntimeError, match="instance should be a map, but instance 1 is <class 'int'>"):
        client.infer([{"x": 1}, 5])  # type: ignore[list-item]


def test_the_request_names_servable_method_and_version(running: FakeMaster) -> None:
    forms: list[Client] = [
        Client("127.0.0.1", running.port, "s", "m", 3),
        Client(f"127.0.0.1:{running.port}", "s", "m", 3),
        Client(ip="127.0.0.1", port=running.port, servable_name="s", method_name="m", version_number=3),
        Client(address=f"127.0.0.1:{running.port}", servable_name="s", method_name="m", version_number=3),
    ]
    for form in forms:
        with form:
            form.infer({"x": 1})
        spec = running.requests[-1].servable_spec
        assert (spec.name, spec.method_name, spec.version_number) == ("s", "m", 3)


@pytest.mark.parametrize(
    "arguments, text",
    [
        (("127.0.0.1", 1, 5, "m"), "Parameter 'servable_name' should be str, but actually <class 'int'>"),
        (("127.0.0.1:1", "", "m"), "Parameter 'servable_name' should not be empty str"),
        (("127.0.0.1:1", "s", "m", "1"), "Parameter 'version_number' should be int, but actually <class 'str'>"),
        (("127.0.0.1:1", "s", "m", -1), "Parameter 'version_number' should be >= 0"),
        (("127.0.0.1", 0, "s", "m"), r"Parameter 'port' should be in range \[1,65535\]"),
        ((5, 5500, "s", "m"), "Parameter 'ip' should be str"),
        (("127.0.0.1:1", "s"), r"Client\(\) missing 1 required positional argument"),
    ],
)
def test_bad_arguments_are_refused(arguments: tuple[Any, ...], text: str) -> None:
    with pytest.raises(RuntimeError, match=text):
        Client(*arguments)


def test_a_failed_instance_has_its_error_in_its_place(running: FakeMaster, client: Client) -> None:
    def answer(request: pb.PredictRequest, _: grpc.ServicerContext) -> pb.PredictReply:
        reply = pb.PredictReply(instances=[request.instances[0], pb.Instance()])
        reply.error_msg.add()
        reply.error_msg.add(error_code=2, error_msg=b"bad")
        return reply

    running.answer = answer
    assert client.infer([{"x": "a"}, {"x": "b"}]) == [{"x": "a"}, {"error": "bad"}]


def test_a_whole_failure_is_one_dict(running: FakeMaster, client: Client) -> None:
    error = pb.ErrorMsg(error_code=1, error_msg=b"no")
    running.answer = lambda *_: pb.PredictReply(error_msg=[error])
    assert client.infer([{"x": 1}, {"x": 2}]) == client.infer_async({"x": 1}).result() == {"error": "no"}


CORRUPT = [
    pb.PredictReply(instances=[pb.Instance()], error_msg=[pb.ErrorMsg(), pb.ErrorMsg()]),
    pb.PredictReply(instances=[pb.Instance(items={"y": pb.Tensor(dtype=pb.MS_INT8, data=b"12")})]),
    pb.PredictReply(instances=[pb.Instance(items={"y": pb.Tensor(dtype=pb.MS_STRING)})]),
    pb.PredictReply(instances=[pb.Instance(items={"y": pb.Tensor()})]),
    pb.PredictReply(instances=[pb.Instance(items={"y": pb.Tensor(dtype=pb.MS_STRING, bytes_val=[b"\xff"])})]),
    pb.PredictReply(instances=[pb.Instance(items={"y": pb.Tensor(dtype=pb.MS_INT8, shape={"dims": [1 << 62, 8, 0]})})]),
    pb.PredictReply(
        instances=[pb.Instance(items={"y": pb.Tensor(dtype=pb.MS_INT8, shape={"dims": [1] * 70}, data=b"1")})]
    ),
]


@pytest.mark.parametrize("reply", CORRUPT)
def test_a_corrupt_reply_is_named(running: FakeMaster, client: Client, reply: pb.PredictReply) -> None:
    running.answer = lambda *_: reply
    with pytest.raises(RuntimeError, match=r"the reply (has|is|cannot)"):
        client.infer({"x": 1})


def test_an_absent_server_is_an_error_dict_the_same_way_for_both_calls() -> None:
    with Client(f"127.0.0.1:{free_port()}", "s", "m", retry=False) as client:
        for result in (client.infer({"x": 1}), client.infer_async({"x": 1}).result()):
            assert isinstance(result, dict)
            assert result["error"].startswith("Grpc Error, (14, 'unavailable'), ")


@pytest.mark.parametrize("size", [1, 2_000_000])
def test_a_call_that_finds_the_server_unavailable_is_sent_again(running: FakeMaster, client: Client, size: int) -> None:
    def answer(request: pb.PredictRequest, context: grpc.ServicerContext) -> pb.PredictReply:
        if len(running.requests) == 1:
            context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        return pb.PredictReply(instances=request.instances)

    running.answer = answer
    result = client.infer({"x": np.zeros(size, np.uint8)})
    assert isinstance(result, list)
    assert result[0]["x"].size == size
    assert len(running.requests) == 2


def test_a_timeout_is_an_error_and_a_pending_call_can_be_waited_for_and_cancelled(
    running: FakeMaster, client: Client
) -> None:
    go_on = threading.Event()

    def answer(request: pb.PredictRequest, _: grpc.ServicerContext) -> pb.PredictReply:
        go_on.wait(60)
        return pb.PredictReply(instances=request.instances)

    running.answer = answer
    late = client.infer({"x": 1}, timeout=0.2)
    assert isinstance(late, dict)
    assert late["error"].startswith("Grpc Error, (4, 'deadline exceeded')")
    pending = client.infer_async({"x": 1})
    with pytest.raises(TimeoutError):
        pending.result(0.05)
    assert not pending.done()
    assert pending.cancel()
    cancelled = pending.result()
    assert isinstance(cancelled, dict)
    assert cancelled["error"].startswith("Grpc Error, (1, 'cancelled')")
    go_on.set()


def test_a_pending_call_that_is_answered_holds_its_request_no_longer(client: Client) -> None:
    tracemalloc.start()
    try:
        calls = [client.infer_async({"x": bytes(1 << 20)}) for _ in range(8)]
        for call in calls:
            call.result()
        until(lambda: tracemalloc.get_traced_memory()[0] < 4 << 20, "the requests go")
    finally:
        tracemalloc.stop()


def test_a_closed_client_says_so(running: FakeMaster) -> None:
    client = Client(f"127.0.0.1:{running.port}", "s", "m")
    client.close()
    client.close()
    with pytest.raises(RuntimeError, match="this Client is closed"):
        client.infer({"x": 1})


def test_importing_the_client_loads_nothing_of_the_servers() -> None:
    code = (
        "import sys, mindspore_serving.client\n"
        "assert not {'mindspore', 'zmq', 'msgpack', 'msgpack_numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
