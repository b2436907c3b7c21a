"""The table of docs/doors.md: what a fault of each kind is in HTTP and in gRPC, the same request through both doors."""

import json
import re
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from mindspore_serving.cluster.addresses import Address
from mindspore_serving.cluster.dispatch_events import Limits
from mindspore_serving.cluster.errors import Code, Failure
from mindspore_serving.cluster.messages import BatchDone
from mindspore_serving.master import error_status
from mindspore_serving.master.error_status import Fate
from mindspore_serving.master.rest_api import MEGABYTE, RestDoor
from mindspore_serving.master.rest_body import BODIES_HELD
from mindspore_serving.proto import open_inference_pb2 as pb
from tests.master.rest_client import RestClient
from tests.master.running_master import RunningMaster
from tests.master.test_rest_hostile import HEAD, connect
from tests.master.v2_client import V2Client, infer_input, set_parameters
from tests.processes import ROOT, until

INFER = "/v2/models/add.echo/infer"


def asked(datatype: str = "INT8", model: str = "add.echo", **parameters: Any) -> tuple[str, Any, pb.ModelInferRequest]:
    """The same request for both doors: URL, JSON, and message."""
    tensor = {"name": "x", "datatype": datatype, "shape": [1, 1], "data": [5]}
    message = pb.ModelInferRequest(model_name=model, inputs=[infer_input("x", datatype, [1, 1])])
    message.raw_input_contents.append(b"\5")
    set_parameters(message.parameters, parameters)
    return f"/v2/models/{model}/infer", {"inputs": [tensor], "parameters": parameters}, message


@pytest.fixture
def doors(master: RunningMaster) -> Iterator[tuple[RunningMaster, RestClient, V2Client]]:
    """A master, and a client at each of its doors."""
    rest = RestClient(master.open_rest())
    yield master, rest, V2Client(master)
    rest.connection.close()


@pytest.mark.parametrize(
    "request_, status, code",
    [
        (asked("INT9"), 400, grpc.StatusCode.INVALID_ARGUMENT),
        (asked(model="nobody"), 404, grpc.StatusCode.NOT_FOUND),
        (asked(model="add.nothing"), 404, grpc.StatusCode.NOT_FOUND),
        (asked("BF16"), 501, grpc.StatusCode.UNIMPLEMENTED),
        (asked(timeout=1), 504, grpc.StatusCode.DEADLINE_EXCEEDED),
    ],
)
def test_the_same_request_is_refused_alike_at_both_doors(
    doors: tuple[RunningMaster, RestClient, V2Client], request_: Any, status: int, code: grpc.StatusCode
) -> None:
    _, rest, v2 = doors
    url, document, message = request_
    answered, _, body = rest.exchange(document, url)
    assert (answered, v2.fault(message)) == (status, (code, json.loads(body)["error"]))


def test_a_failing_method_is_500_and_internal(doors: tuple[RunningMaster, RestClient, V2Client]) -> None:
    master, rest, v2 = doors
    url, document, message = asked()

    def fail() -> None:
        batch = master.workers[0].next_batch()
        master.workers[0].say(BatchDone(batch.batch_id, (), {0: Failure(Code.FAILED, "it broke")}))

    rest.connection.request("POST", url, json.dumps(document))
    fail()
    response = rest.connection.getresponse()
    assert (response.status, json.load(response)) == (500, {"error": "it broke"})
    call = v2.send("ModelInfer", message)
    fail()
    assert (call.exception().code(), call.exception().details()) == (grpc.StatusCode.INTERNAL, "it broke")


def test_a_full_queue_is_429_and_resource_exhausted() -> None:
    master = RunningMaster(Limits(lease_seconds=60.0, max_enqueued_requests=1))
    master.worker()
    rest, v2 = RestClient(master.open_rest()), V2Client(master)
    url, document, message = asked()
    waiting = v2.send("ModelInfer", message)
    batch = master.workers[0].next_batch()
    status, headers, body = rest.exchange(document, url)
    assert (status, headers["retry-after"].isdigit()) == (429, True)
    assert v2.fault(message) == (grpc.StatusCode.RESOURCE_EXHAUSTED, json.loads(body)["error"])
    master.workers[0].answer(batch)
    assert waiting.result()
    rest.connection.close()
    master.close()


def test_a_v2_body_that_never_comes_is_408_and_too_many_of_them_503(master: RunningMaster) -> None:
    async def open_door(seconds: float) -> tuple[RestDoor, Address]:
        door = RestDoor(master.server._desk, 1, request_seconds=seconds)
        address = door.bind(Address("127.0.0.1", 0))
        await door.start()
        return door, address

    head = HEAD.replace(b"/model/add:echo", INFER.encode())
    door, address = master.run(open_door(0.05))
    with connect(address) as slow:
        slow.sendall(head + b"content-length: 5\r\n\r\n{")
        assert slow.recv(1000).startswith(b"HTTP/1.1 408 ")
    master.run(door.stop())
    door, address = master.run(open_door(600.0))
    waiting = [connect(address) for _ in range(BODIES_HELD)]
    for connection in waiting:
        connection.sendall(head + b"content-length: %d\r\n\r\n" % MEGABYTE + b" " * (MEGABYTE - 1))
    until(lambda: door._room.held_bytes == BODIES_HELD * (MEGABYTE - 1), "the bodies")
    client = RestClient(address)
    status, headers, body = client.exchange(b" " * 50_000, INFER)  # not in one read: what comes whole waits nowhere
    assert (status, headers["retry-after"]) == (503, "1")
    assert json.loads(body) == {"error": "the master holds too many large requests: send it again later"}
    client.connection.close()
    for connection in waiting:
        connection.close()
    master.run(door.stop())


def test_the_table_has_every_fate_that_there_is() -> None:
    table = (ROOT / "docs" / "doors.md").read_text()
    rows = re.findall(r"^\|.*\| (\d{3})[^|]*\| (\w*) *\|$", table, re.MULTILINE)
    for fate in [value for value in vars(error_status).values() if isinstance(value, Fate)]:
        assert [grpc_name for http, grpc_name in rows if int(http) == fate.http], fate
        assert all(name in ("", fate.grpc.name) for http, name in rows if int(http) == fate.http), fate
