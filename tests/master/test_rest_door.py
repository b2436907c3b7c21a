"""The life of the RESTful door: health, clients that leave or never finish, draining, busy ports, large replies."""

import asyncio
import http.client
import json
import socket
from collections.abc import Iterator

import numpy as np
import pytest

from mindspore_serving.cluster.addresses import Address
from mindspore_serving.cluster.dispatch_events import Limits
from mindspore_serving.cluster.errors import Code, Failure, RequestRefused, SetupError
from mindspore_serving.cluster.messages import BatchDone
from mindspore_serving.cluster.results import Results
from mindspore_serving.cluster.tensors import Stacked, Tensor, to_columns
from mindspore_serving.master.front_desk import FrontDesk, Phase
from mindspore_serving.master.predict import Predictions
from mindspore_serving.master.rest_api import RestDoor
from mindspore_serving.master.rest_json import read_instances, write_reply
from tests.master.rest_client import RestClient
from tests.master.running_master import WAIT_SECONDS, RunningMaster
from tests.processes import listens, until

ECHO = "/model/add:echo"
BODY = json.dumps({"instances": [{"x": 1}, {"x": 2}, {"x": 3}]})


@pytest.fixture
def client(master: RunningMaster) -> Iterator[RestClient]:
    """A client of the RESTful door of `master`."""
    client = RestClient(master.open_rest())
    yield client
    client.connection.close()


def answer_with(master: RunningMaster, client: RestClient, failures: dict[int, Failure], good: bytes) -> object:
    client.connection.request("POST", ECHO, BODY)
    batch = master.workers[0].next_batch()
    columns = (Stacked("|i1", (len(good),), good),) if good else ()
    master.workers[0].say(BatchDone(batch.batch_id, columns, failures))
    response = client.connection.getresponse()
    assert response.status == 200
    return json.load(response)


BAD = Failure(Code.INVALID_INPUTS, "bad")


def test_failed_instances_have_their_error_in_their_slot(master: RunningMaster, client: RestClient) -> None:
    assert answer_with(master, client, {1: BAD}, b"\1\3") == {"instances": [{"y": 1}, {"error_msg": "bad"}, {"y": 3}]}
    assert answer_with(master, client, {0: BAD, 1: BAD, 2: Failure(Code.FAILED, "")}, b"") == {
        "instances": [{"error_msg": "bad"}, {"error_msg": "bad"}, {"error_msg": "Predict failed"}]
    }
    assert answer_with(master, client, {0: BAD, 1: BAD, 2: BAD}, b"") == {"error_msg": "bad"}


def test_outputs_are_in_alphabetical_order_and_a_reply_that_cannot_be_built_is_an_error() -> None:
    unaligned = memoryview(b"\0" + np.arange(3, dtype="<f8").tobytes())[1:]
    values = ("a", b"b", Tensor("<f8", (3,), unaligned))
    assert write_reply(Predictions(("z", "y", "x"), Results(1, to_columns([values])))) == (
        b'{"instances":[{"x":[0.0,1.0,2.0],"y":{"b64":"Yg=="},"z":"a"}]}'
    )
    broken = json.loads(write_reply(Predictions(("y",), Results(1, (("\ud800",),)))))
    assert broken["error_msg"].startswith("Failed to construct the response: ")
    assert json.loads(write_reply(Failure(Code.FAILED, "\ud800"))) == {"error_msg": "?"}


def test_a_body_of_very_many_arrays_is_refused_before_it_takes_memory() -> None:
    with pytest.raises(RequestRefused, match="more than 4194304 arrays and objects"):
        read_instances(b"[" + b"[]," * (1 << 22) + b"0]")


def test_a_master_is_healthy_at_once_and_ready_with_its_first_worker() -> None:
    master = RunningMaster(Limits(lease_seconds=60.0))
    client = RestClient(master.open_rest())
    try:
        assert client.exchange(b"", "/healthz", "GET")[0] == 200
        status, _, reason = client.exchange(b"", "/readyz", "GET")
        assert status == 503
        assert reason == b"no servable has a live replica: start a worker, or wait for one to load\n"
        master.worker()
        assert client.exchange(b"", "/readyz", "GET")[0] == 200
    finally:
        client.connection.close()
        master.close()


def test_a_client_that_leaves_frees_its_place() -> None:
    master = RunningMaster(Limits(lease_seconds=60.0, max_enqueued_requests=1))
    worker = master.worker()
    first, second = (RestClient(address) for address in [master.open_rest()] * 2)
    try:
        first.connection.request("POST", ECHO, BODY)
        assert 99 < (worker.next_batch().seconds_left or 0) <= 100
        full = "Serving Error: enqueued requests count exceeds the limit 1"
        assert second.error(BODY.encode()) == full
        first.connection.close()
        # The master hears of it a moment later.
        while True:
            second.connection.request("POST", ECHO, BODY)
            while not (reached := worker.socket.poll(20)) and not answered(second):
                pass
            if reached:
                break
            assert json.load(second.connection.getresponse()) == {"error_msg": full}
        worker.echo()
        assert json.load(second.connection.getresponse())["instances"][0] == {"y": 1}
    finally:
        second.connection.close()
        master.close()


def answered(client: RestClient) -> bool:
    """Whether an answer has come, without taking it."""
    client.connection.sock.setblocking(False)
    try:
        return bool(client.connection.sock.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return False
    finally:
        client.connection.sock.settimeout(WAIT_SECONDS)


def test_a_body_is_refused_by_its_length_before_it_is_sent(client: RestClient) -> None:
    client.connection.putrequest("POST", ECHO)
    client.connection.putheader("Content-Length", str(1 << 40))
    client.connection.endheaders()
    assert json.load(client.connection.getresponse()) == {"error_msg": "http message is bigger than 1048576"}


def test_a_body_in_chunks_is_refused_when_it_becomes_too_large(client: RestClient) -> None:
    chunks = iter([b" " * 65536] * 20)
    client.connection.request("POST", ECHO, chunks, encode_chunked=True, headers={"Transfer-Encoding": "chunked"})
    assert json.load(client.connection.getresponse()) == {"error_msg": "http message is bigger than 1048576"}


def test_a_large_reply_arrives_whole(master: RunningMaster, client: RestClient) -> None:
    array = np.arange(1_000_000, dtype="<i4")
    client.connection.request("POST", ECHO, json.dumps({"instances": {"x": 1}}))
    batch = master.workers[0].next_batch()
    master.workers[0].say(BatchDone(batch.batch_id, (Stacked("<i4", (1, *array.shape), array.tobytes()),)))
    assert json.load(client.connection.getresponse()) == {"instances": [{"y": array.tolist()}]}


def test_a_request_that_is_never_complete_ends(master: RunningMaster) -> None:
    async def open_door() -> tuple[RestDoor, Address]:
        desk = FrontDesk(Limits(), lambda worker, message: True)
        door = RestDoor(desk, 1, request_seconds=0.05)
        address = door.bind(Address("127.0.0.1", 0))
        await door.start()
        return door, address

    door, address = master.run(open_door())
    client = RestClient(address)
    client.connection.putrequest("POST", ECHO)
    client.connection.putheader("Content-Length", "5")
    client.connection.endheaders(b"{")
    response = client.connection.getresponse()
    assert (response.status, json.load(response)) == (408, {"error_msg": "http message was not complete after 0.05 s"})
    client.connection.close()
    master.run(door.stop())


def test_a_stopping_master_answers_what_it_accepted_and_refuses_the_rest(master: RunningMaster) -> None:
    address = master.open_rest()
    accepted, late, later = RestClient(address), RestClient(address), RestClient(address)
    for early in (late, later):
        assert early.exchange(b"", "/healthz", "GET")[0] == 200
    accepted.connection.request("POST", ECHO, BODY)
    batch = master.workers[0].next_batch()
    stopping = asyncio.run_coroutine_threadsafe(master.server.stop(WAIT_SECONDS), master.loop)
    until(lambda: master.server._desk.phase is Phase.DRAINING, "the end of what was on its way")
    assert not listens(address.port)
    status, headers, told = late.exchange(b"", "/readyz", "GET")
    assert (status, headers["connection"], told) == (503, "close", b"the master is stopping\n")
    status, _, body = later.exchange(BODY.encode(), ECHO)
    assert (status, json.loads(body)) == (503, {"error_msg": "the master is stopping"})
    master.workers[0].answer(batch)
    assert json.load(accepted.connection.getresponse()) == {"instances": [{"y": 1}, {"y": 2}, {"y": 3}]}
    stopping.result(WAIT_SECONDS)
    for client in (accepted, late, later):
        client.connection.close()


def echoed_by(master: RunningMaster, client: RestClient) -> http.client.HTTPMessage:
    """The headers of an answer."""
    client.connection.request("POST", ECHO, BODY)
    master.workers[0].answer(master.workers[0].next_batch())
    response = client.connection.getresponse()
    assert json.load(response) == {"instances": [{"y": 1}, {"y": 2}, {"y": 3}]}
    return response.headers


@pytest.mark.parametrize("at_once", [False, True])
def test_a_call_is_the_last_of_its_connection_when_a_master_is_about_to_stop(
    master: RunningMaster, at_once: bool
) -> None:
    client = RestClient(master.open_rest(), at_once)
    assert echoed_by(master, client)["connection"] is None
    stopping = asyncio.run_coroutine_threadsafe(master.server.stop(WAIT_SECONDS, 0.5), master.loop)
    until(lambda: client.exchange(b"", "/readyz", "GET")[0] == 503, "the end's beginning")
    assert echoed_by(master, client)["connection"] == "close"
    client.connection.close()
    stopping.result(WAIT_SECONDS)


def test_whoever_has_connected_when_the_door_parts_is_served(master: RunningMaster) -> None:
    address = master.open_rest()

    async def connect_and_part() -> socket.socket:
        """All in one turn of the master's loop: it has not accepted the client when it parts."""
        connected = socket.create_connection(address, WAIT_SECONDS)
        stopping.append(master.loop.create_task(master.server.stop(WAIT_SECONDS)))
        return connected

    stopping: list[asyncio.Task[None]] = []
    client = RestClient(address)
    client.connection.sock = master.run(connect_and_part())
    until(lambda: not listens(address.port), "the end of listening")
    assert echoed_by(master, client)["connection"] == "close"
    client.connection.close()
    master.run(asyncio.wait_for(stopping[0], WAIT_SECONDS))


def test_a_request_that_is_dropped_by_a_stopping_master_is_told_so(master: RunningMaster) -> None:
    client = RestClient(master.open_rest())
    client.connection.request("POST", ECHO, BODY)
    master.workers[0].next_batch()
    master.run(master.server.stop(0.0))
    response = client.connection.getresponse()
    assert (response.status, json.load(response)) == (503, {"error_msg": "the master is stopping"})
    client.connection.close()


def test_a_second_door_and_a_busy_port_are_refused(master: RunningMaster) -> None:
    taken = master.open_rest()

    async def open_again() -> tuple[str, str]:
        with pytest.raises(SetupError) as second:
            master.server.bind_rest(Address("127.0.0.1", 0), 1)
        with pytest.raises(SetupError) as busy:
            RestDoor(FrontDesk(Limits(), lambda worker, message: True), 1).bind(taken)
        return str(second.value), str(busy.value)

    assert master.run(open_again()) == (
        "Serving Error: RESTful server is already running",
        f"RESTful server start failed, bind to the socket address {taken} failed: Address already in use",
    )
