"""Large JSON bodies: a process of its own reads them, for both protocols; the loop serves others meanwhile."""

import asyncio
import json
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import fields, is_dataclass
from typing import Any

import pytest

from mindspore_serving.cluster.errors import RequestRefused
from mindspore_serving.master.error_status import CallFault
from mindspore_serving.master.json_reader import LARGE_BYTES, JsonReader
from mindspore_serving.master.rest_json import read_instances
from mindspore_serving.master.v2_json import read_request
from tests.master.rest_client import RestClient
from tests.master.running_master import RunningMaster
from tests.processes import until


def large(body: bytes) -> bytes:
    return body + b" " * LARGE_BYTES


def reads(work: Callable[[JsonReader], Awaitable[None]]) -> None:
    async def run() -> None:
        reader = JsonReader()
        try:
            await work(reader)
        finally:
            await reader.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    "body",
    [
        b'{"instances": [{"x": [[1.5, 2.5]], "y": "a", "z": {"b64": "AAEC"}}, {"x": true}]}',
        b'{"instances": {"x": "\\ud83d\\ude00", "y": 1e30}}',
        b'{"instances": {"x": "\\ud800", "y": 99999999999999999999.0}}',
        b"{",
        b'{"instances": []}',
        b'{"instances": {"x": [1, 1.5]}}',
        b"[" * 100_000,
        b"\xff",
    ],
)
def test_a_large_body_is_read_by_another_process_as_a_small_one_is_here(body: bytes) -> None:
    def here() -> object:
        try:
            return read_instances(large(body))
        except RequestRefused as refused:
            return refused.failure

    async def there(reader: JsonReader) -> None:
        try:
            answer: object = await reader.read(large(body))
        except RequestRefused as refused:
            answer = refused.failure
        assert answer == here()

    reads(there)


def test_a_reader_that_dies_or_is_left_costs_its_own_caller_only() -> None:
    good = large(b'{"instances": {"x": "a"}}')

    async def work(reader: JsonReader) -> None:
        assert await reader.read(good) == [{"x": "a"}]
        process = reader._process
        assert process is not None
        left = asyncio.create_task(reader.read(good * 100))
        await asyncio.sleep(0)  # it has written a part
        left.cancel()
        with pytest.raises(asyncio.CancelledError):
            await left
        assert await reader.read(good) == [{"x": "a"}]
        assert reader._process is not process
        dying = asyncio.create_task(reader.read(good * 100))
        await asyncio.sleep(0)
        assert reader._process is not None
        reader._process.kill()
        with pytest.raises(RequestRefused, match="could not be read: send fewer values at once"):
            await dying
        assert await asyncio.gather(*(reader.read(good) for _ in range(3))) == [[{"x": "a"}]] * 3

    reads(work)


def test_a_reader_whose_caller_has_left_is_there_for_the_next_one() -> None:
    good = large(b'{"instances": {"x": "a"}}')

    async def work(reader: JsonReader) -> None:
        assert await reader.read(good) == [{"x": "a"}]
        process = reader._process
        left = [asyncio.create_task(reader.read(large(b'{"instances": {"x": "left"}}'))) for _ in range(3)]
        broken = asyncio.create_task(reader.read(large(b"{")))
        for _ in range(3):
            await asyncio.sleep(0)
        assert reader._turn is not None
        for task in (*left, broken):
            task.cancel()
        assert await reader.read(good) == [{"x": "a"}]
        assert all(task.cancelled() for task in (*left, broken))
        assert reader._process is process
        asyncio.create_task(reader.read(good)).cancel()  # before it has begun
        last = asyncio.create_task(reader.read(good))
        for _ in range(3):
            await asyncio.sleep(0)
        assert reader._turn is not None
        last.cancel()
        await reader.close()  # while it is read
        assert reader._process is None

    reads(work)


def test_a_large_body_goes_through_the_door(master: RunningMaster) -> None:
    client = RestClient(master.open_rest())
    values = list(range(100_000))
    client.connection.request("POST", "/model/add:echo", json.dumps({"instances": {"x": values}}))
    master.workers[0].echo()
    assert json.load(client.connection.getresponse()) == {"instances": [{"y": values}]}
    client.connection.close()


def tensor(datatype: str, shape: list[int], data: list[Any] | None = None, **parameters: Any) -> dict[str, Any]:
    item: dict[str, Any] = {"name": "x", "datatype": datatype, "shape": shape, "parameters": parameters}
    return item if data is None else {**item, "data": data}


DOCUMENTS = [
    {"id": "7", "inputs": [tensor("FP32", [2, 2], [1, 2.5, 3, 4])], "parameters": {"a": 2**64 - 1, "b": 1e300}},
    {"inputs": [tensor("BYTES", [2], ["ä", ""], content_type="str")], "outputs": [{"name": "y"}]},
    {"inputs": [tensor("INT8", [4], binary_data_size=4), tensor("BYTES", [1], binary_data_size=4)]},
    {"inputs": [tensor("UINT64", [2**63, 0], [])], "outputs": [{"name": "y", "parameters": {"binary_data": True}}]},
    {"inputs": [tensor("INT8", [1], [300])]},
    {"inputs": [tensor("BF16", [1], [1])]},
    {"inputs": [tensor("BYTES", [100_000], [""] * 100_000)]},
    {"inputs": 5},
    [],
]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_large_v2_body_is_read_by_another_process_as_a_small_one_is_here(document: Any) -> None:
    text = large(json.dumps(document).encode())
    body = text + bytes(8)

    def here() -> object:
        try:
            return read_request("m", "1", body, len(text))
        except CallFault as fault:
            return fault.fate, str(fault)

    async def there(reader: JsonReader) -> None:
        try:
            answer: object = await reader.read_v2("m", "1", body, len(text))
        except CallFault as fault:
            answer = fault.fate, str(fault)
        assert plain(answer) == plain(here())

    reads(there)


def plain(answer: Any) -> Any:
    """Whether a sequence is a list or a tuple, and a buffer bytes or a view of them, is all the same."""
    if isinstance(answer, list | tuple):
        return [plain(item) for item in answer]
    if isinstance(answer, memoryview):
        return bytes(answer)
    if is_dataclass(answer):
        return [plain(getattr(answer, field.name)) for field in fields(answer)]
    return answer


@pytest.mark.parametrize("url", ["/model/add:echo", "/v2/models/add.echo/infer"])
def test_while_a_large_body_is_read_the_loop_serves_others(echoing_master: RunningMaster, url: str) -> None:
    """The process that reads stands still here: whatever is answered meanwhile did not wait for it."""
    address = echoing_master.open_rest()
    values = [1.5] * 100_000
    document = {"instances": {"x": values}, "inputs": [tensor("FP32", [1, len(values)], values)]}
    body = json.dumps(document).encode()
    others, client = RestClient(address), RestClient(address)
    assert others.exchange(body, url)[0] == 200  # starts the process
    door = echoing_master.server._rest_door
    assert door is not None and door._reader._process is not None
    reading = door._reader._process.pid
    os.kill(reading, signal.SIGSTOP)
    try:
        client.connection.request("POST", url, body)
        until(lambda: door._room.held_bytes == len(body), "the whole body")
        assert others.exchange(b"", "/healthz", "GET")[0] == 200
        assert others.echoed(5) == 5
        small = {"inputs": [tensor("INT8", [1, 1], [5])]}
        assert others.exchange(small, "/v2/models/add.echo/infer")[0] == 200
        assert door._room.held_bytes == len(body)
    finally:
        os.kill(reading, signal.SIGCONT)
    response = client.connection.getresponse()
    assert response.status == 200
    assert response.read().count(b"1.5") == len(values)
    client.connection.close()
    others.connection.close()
