"""Tensors of the Open Inference Protocol in their client's memory, over HTTP; a worker that echoes."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from mindspore_serving.cluster.dispatch_events import Limits
from tests.master.posix_memory import NBYTES, PosixMemory, sharing, where
from tests.master.rest_client import RestClient, echoing
from tests.master.running_master import RunningMaster


@pytest.fixture(params=[False, True], ids=["in two pieces", "at once"])
def own_rest(request: pytest.FixtureRequest, shm: PosixMemory) -> Iterator[RestClient]:
    master = RunningMaster(Limits(lease_seconds=600.0), memory=sharing())
    with echoing(master):
        client = RestClient(master.open_rest(), request.param)
        register = {"key": shm.key, "offset": 0, "byte_size": NBYTES}
        assert client.exchange(register, "/v2/systemsharedmemory/region/r/register")[0] == 200
        yield client
        client.connection.close()
    master.close()


def infer(rest: RestClient, given: dict[str, Any], wanted: dict[str, Any], **fields: Any) -> tuple[int, Any]:
    tensor = {"name": "x", "datatype": "UINT8", "shape": [1, 4], "parameters": given, **fields}
    body = {"inputs": [tensor], "outputs": [{"name": "y", "parameters": wanted}]}
    status, _, answer = rest.exchange(body, "/v2/models/add.echo/infer")
    return status, json.loads(answer)


def test_a_tensor_goes_by_memory_over_http(own_rest: RestClient, shm: PosixMemory) -> None:
    shm.buffer[:4] = b"abcd"
    status, answer = infer(own_rest, where(4), where(10, 8))
    assert (status, answer["outputs"]) == (
        200,
        [{"name": "y", "datatype": "UINT8", "shape": [1, 4]}],
    )
    assert bytes(shm.buffer[8:13]) == b"abcd\0"
    assert infer(own_rest, where(4), {})[1]["outputs"][0]["data"] == [*b"abcd"]
    status, answer = infer(own_rest, {}, where(4, 16), data=[1, 2, 3, 4])
    assert status == 200 and bytes(shm.buffer[16:20]) == b"\1\2\3\4"


def test_a_wrong_request_over_http_is_refused_with_its_reason(own_rest: RestClient) -> None:
    both = "input 'x' has both shared_memory_region and data or binary_data_size"
    assert infer(own_rest, where(4), {}, data=[1, 2, 3, 4]) == (400, {"error": both})
    assert infer(own_rest, {**where(4), "binary_data_size": 4}, {}) == (400, {"error": both})
    unknown = {"error": "no shared memory region 's' is registered"}
    assert infer(own_rest, where(4, region="s"), {}) == (404, unknown)
    status, _, body = own_rest.exchange(b"", "/v2/systemsharedmemory/region/s/status", "GET")
    assert (status, json.loads(body)) == (404, unknown)


def test_a_large_body_is_read_elsewhere_and_its_memory_here(own_rest: RestClient, shm: PosixMemory) -> None:
    shm.buffer[:4] = b"abcd"
    status, answer = infer(own_rest, {**where(4), "mine": "x" * 300_000}, where(4, 8))
    assert (status, bytes(shm.buffer[8:12])) == (200, b"abcd"), answer


@pytest.mark.parametrize(
    "body, text",
    [
        ({"byte_size": 4}, "'key' should be a string, 'byte_size' and 'offset' numbers of bytes"),
        ({"key": "/x", "byte_size": "4"}, "'key' should be a string"),
        ({"key": "/x", "byte_size": 4, "offset": True}, "'key' should be a string"),
        ({"key": "/x" + "y" * (1 << 16)}, "the body has more than 65536 bytes"),
    ],
)
def test_a_wrong_registration_over_http_is_refused(own_rest: RestClient, body: dict[str, Any], text: str) -> None:
    status, _, answer = own_rest.exchange(body, "/v2/systemsharedmemory/region/s/register")
    assert status == 400 and text in json.loads(answer)["error"]


def test_regions_over_http(own_rest: RestClient, shm: PosixMemory) -> None:
    def ask(call: str, method: str, body: Any = b"") -> tuple[int, Any]:
        status, _, answer = own_rest.exchange(body, f"/v2/systemsharedmemory{call}", method)
        return status, json.loads(answer)

    first = {"name": "r", "key": shm.key, "offset": 0, "byte_size": NBYTES}
    assert ask("/region/a%20b/register", "POST", {"key": shm.key, "byte_size": 5}) == (200, {})
    second = {"name": "a b", "key": shm.key, "offset": 0, "byte_size": 5}
    assert ask("/status", "GET") == (200, [first, second])
    assert ask("/region/a%20b/status", "GET") == (200, [second])
    assert ask("/region/r/unregister", "POST") == (200, {})
    assert ask("/status", "GET") == (200, [second])
    assert ask("/region/s/register", "POST", {"key": "/other", "byte_size": 5})[0] == 403
    assert ask("/region/a%20b/register", "POST", {"key": shm.key, "byte_size": 5})[0] == 409
    assert ask("/unregister", "POST") == (200, {})
    assert ask("/status", "GET") == (200, [])


def test_the_document_tells_of_what_is_there(own_rest: RestClient) -> None:
    _, _, body = own_rest.exchange(b"", "/openapi.json", "GET")
    assert "200" in json.loads(body)["paths"]["/v2/systemsharedmemory/status"]["get"]["responses"]
