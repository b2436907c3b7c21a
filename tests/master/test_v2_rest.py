"""The Open Inference Protocol over HTTP: JSON, binary tensors, packed bodies, statuses; and what tells of the door."""

import gzip
import json
import re
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from mindspore_serving.cluster.dispatch_events import Limits
from mindspore_serving.cluster.messages import Goodbye, MethodSpec, TensorType
from mindspore_serving.cluster.tensors import Stacked
from mindspore_serving.master.openapi import openapi
from mindspore_serving.master.rest_body import wanted_encoding
from mindspore_serving.master.v2_types import DTYPES
from tests.master.fake_worker import FakeWorker
from tests.master.rest_client import RestClient, echoing
from tests.master.running_master import RunningMaster
from tests.processes import until

INFER = "/v2/models/add.echo/infer"
JSON_BYTES = "Inference-Header-Content-Length"


def x(datatype: str = "INT32", shape: Any = (2,), data: Any = None, **parameters: Any) -> dict[str, Any]:
    """The only input."""
    item: dict[str, Any] = {"name": "x", "datatype": datatype, "shape": shape}
    if data is not None:
        item["data"] = data
    if parameters:
        item["parameters"] = parameters
    return item


def infer(rest: RestClient, tensor: dict[str, Any], **more: Any) -> Any:
    """The answer's JSON to a JSON request."""
    status, _, body = rest.exchange({"inputs": [tensor], **more}, INFER)
    answer = json.loads(body)
    assert status == 200, answer
    return answer


@pytest.mark.parametrize("datatype", DTYPES)
def test_json_values_come_back_flat(rest: RestClient, datatype: str) -> None:
    data: Any = [[1, 0], [0, 1]] if datatype != "BOOL" else [[True, False], [False, True]]
    answer = infer(rest, x(datatype, [2, 2], data))
    flat = [*data[0], *data[1]]
    assert answer == {
        "model_name": "add.echo",
        "model_version": "1",
        "outputs": [{"name": "y", "datatype": datatype, "shape": [2, 2], "data": flat}],
    }
    assert infer(rest, x(datatype, [2, 2], flat)) == answer  # flat is as good as nested


def test_text_and_large_integers_come_back(rest: RestClient) -> None:
    assert infer(rest, x("BYTES", [2], ["ä", ""]))["outputs"][0]["data"] == ["ä", ""]
    assert infer(rest, x("UINT64", [1], [2**64 - 1]))["outputs"][0]["data"] == [2**64 - 1]
    assert infer(rest, x("INT64", [1, 0], []))["outputs"][0]["data"] == []


def test_id_and_parameters_come_back(rest: RestClient) -> None:
    answer = infer(rest, x(data=[1, 2]), id="7", parameters={"mine": 1.5, "timeout": 10**9})
    assert (answer["id"], answer["parameters"]) == ("7", {"mine": 1.5})


def binary(rest: RestClient, head: dict[str, Any], *blobs: bytes, **headers: str) -> tuple[int, Any, bytes]:
    """Status, JSON and blobs of the answer to a request with binary tensors."""
    text = json.dumps(head).encode()
    status, answered, body = rest.exchange(b"".join((text, *blobs)), INFER, **{JSON_BYTES: str(len(text)), **headers})
    size = int(answered.get(JSON_BYTES, len(body)))
    return status, json.loads(body[:size]), body[size:]


def test_binary_and_json_mix_as_the_client_likes(rest: RestClient) -> None:
    raw = np.array([[1.5, np.nan]], np.float32).tobytes()
    head: dict[str, Any] = {"inputs": [x("FP32", [1, 2], binary_data_size=8)]}
    for more in (
        {"parameters": {"binary_data_output": True}},
        {"outputs": [{"name": "y", "parameters": {"binary_data": True}}]},
    ):
        status, answer, blob = binary(rest, {**head, **more}, raw)
        assert (status, blob) == (200, raw)
        assert answer["outputs"][0]["parameters"] == {"binary_data_size": 8}
    status, answer, _ = binary(rest, head, raw)
    assert status == 400 and "output y has NaN or infinities, which JSON cannot say" in answer["error"]
    status, answer, blob = binary(rest, {"inputs": [x("BYTES", [2], binary_data_size=9)]}, b"\1\0\0\0\xff\0\0\0\0")
    assert status == 400 and "output y is not UTF-8 text" in answer["error"]
    status, answer, blob = binary(rest, {"inputs": [x("BYTES", [2], binary_data_size=10)]}, b"\2\0\0\0ab\0\0\0\0")
    assert answer["outputs"][0]["data"] == ["ab", ""]


@pytest.mark.parametrize("encoding, packed", [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_packed_bodies_are_unpacked_and_answers_packed(
    rest: RestClient, encoding: str, packed: Callable[[bytes], bytes]
) -> None:
    body = packed(json.dumps({"inputs": [x("INT32", [1000], [5] * 1000)]}).encode())
    status, headers, answer = rest.exchange(body, INFER, Content_Encoding=encoding, Accept_Encoding=encoding)
    assert (status, headers["content-encoding"]) == (200, encoding)
    assert json.loads(zlib.decompress(answer, 47))["outputs"][0]["data"] == [5] * 1000
    plain = {"inputs": [x("INT32", [1000], [5] * 1000)]}  # short enough to come whole
    status, headers, answer = rest.exchange(plain, INFER, Accept_Encoding=encoding)
    assert (status, headers["content-encoding"]) == (200, encoding)
    assert json.loads(zlib.decompress(answer, 47))["outputs"][0]["data"] == [5] * 1000
    _, headers, _ = rest.exchange({"inputs": [x(data=[1, 2])]}, INFER, Accept_Encoding=encoding)
    assert "content-encoding" not in headers  # too small to be worth it


@pytest.mark.parametrize(
    "accept, chosen",
    [
        ("", "identity"),
        ("gzip", "gzip"),
        ("br, deflate;q=0.9, gzip;q=0.5", "deflate"),
        ("*", "gzip"),
        ("gzip;q=0, *;q=0.1", "deflate"),
        ("gzip;q=x", "identity"),
        (";;,", "identity"),
    ],
)
def test_the_best_encoding_is_chosen(accept: str, chosen: str) -> None:
    assert wanted_encoding(accept) == chosen


BOMB = gzip.compress(bytes(50 << 20), mtime=0)  # of a door whose limit is 1 MB
PACKED_FAULTS = [
    (BOMB, "gzip", 413, "the request is bigger than 1048576 bytes"),
    (b"no gzip", "gzip", 400, "the body is not gzip data"),
    (gzip.compress(b"{}", mtime=0)[:-4], "gzip", 400, "the body ends in the middle of its gzip data"),
    (b"", "deflate", 400, "the body ends in the middle of its deflate data"),
    (zlib.compress(b"{}") + b"more", "deflate", 400, "4 bytes follow the end of the body's deflate data"),
    (b"{}", "br", 415, "Content-Encoding 'br' is neither gzip nor deflate"),
    (bytes(2 << 20), "identity", 413, "the request is bigger than 1048576 bytes: see --max-message-mb"),
]


@pytest.mark.parametrize("body, encoding, status, text", PACKED_FAULTS, ids=lambda value: str(value)[:20])
def test_bodies_that_cannot_be_unpacked_are_refused(
    master: RunningMaster, body: bytes, encoding: str, status: int, text: str
) -> None:
    client = RestClient(master.open_rest())
    given, _, answer = client.exchange(body, INFER, Content_Encoding=encoding)
    client.connection.close()
    assert given == status
    assert text in json.loads(answer)["error"]


FAULTS: list[tuple[Any, str]] = [
    (b"{", "the body is not JSON"),
    (b"[" * 100_000, "the body is not JSON"),
    (b'{"inputs": NaN}', "the body is not JSON"),
    (b"[]", "the JSON is not an object"),
    ({}, "'inputs' should be an array of objects"),
    ({"inputs": [1]}, "'inputs' should be an array of objects"),
    ({"inputs": [{"name": 1}]}, "'name' of an input should be a string"),
    ({"inputs": [{"name": "x"}]}, "'datatype' of input 'x' should be a string"),
    ({"inputs": [x(shape="no", data=[])]}, "input 'x': 'shape' should be an array of whole numbers"),
    ({"inputs": [x(shape=[True], data=[1])]}, "input 'x': 'shape' should be an array of whole numbers"),
    ({"inputs": [x(shape=[1025, 0], data=[])]}, "1025 instances without any data are more than 1024"),
    ({"inputs": [x("BYTES", [65537], [])]}, "input 'x': BYTES of shape [65537] have more than 65536 elements"),
    ({"inputs": [{"name": "a\nb\u2028"}]}, "'datatype' of input 'a?b?' should be a string"),
    ({"inputs": [x(shape=[1 << 40] * 9, data=[1])]}, "has 2"),
    ({"inputs": [x()]}, "input 'x': 'data' should be an array, or the parameter binary_data_size a number"),
    ({"inputs": [x(data=[1, [2]])]}, "input 'x': the values of INT32 should be whole numbers"),
    ({"inputs": [x(data=[[1], 2])]}, "input 'x': 'data' has arrays beside values"),
    ({"inputs": [x(data=[1])]}, "input 'x': INT32 of shape [2] has 2 values, given 1"),
    ({"inputs": [x(shape=[2, 2], data=[[1], [2, 3, 4]])]}, "'data' has arrays of 1 and of 3 values at one level"),
    ({"inputs": [x(shape=[3, 2], data=[[1, 2, 3], [4, 5, 6]])]}, "of shape [3, 2] is given as arrays of shape [2, 3]"),
    ({"inputs": [x(data=[1, 2.0])]}, "input 'x': the values of INT32 should be whole numbers"),
    ({"inputs": [x(data=[1, True])]}, "input 'x': the values of INT32 should be whole numbers"),
    ({"inputs": [x(data=[1, 2**31])]}, "a value is not from -2147483648 to 2147483647, as INT32 has to be"),
    ({"inputs": [x("BOOL", data=[1, 0])]}, "input 'x': the values of BOOL should be true or false"),
    ({"inputs": [x("FP32", data=[1, "2"])]}, "input 'x': the values of FP32 should be numbers"),
    ({"inputs": [x("FP16", data=[1, 1e6])]}, "input 'x': a value is too large for FP16"),
    ({"inputs": [x("BYTES", data=["a", 1])]}, "input 'x': the values of BYTES should be strings"),
    ({"inputs": [x(data=[1, 2], binary_data_size=8)]}, "input 'x' has both data and binary_data_size"),
    ({"inputs": [x(binary_data_size=8)]}, "input 'x': binary_data_size is 8, but 0 bytes are left in the body"),
    ({"inputs": [x(binary_data_size="8")]}, "input 'x': binary_data_size is 8, but 0 bytes are left in the body"),
    ({"inputs": [x(data=[1, 2])], "id": 5}, "'id' of the request should be a string"),
    ({"inputs": [x(data=[1, 2])], "parameters": []}, "'parameters' should be an object of at most 1024 entries"),
    ({"inputs": [x(data=[1, 2])], "parameters": {"a": [1]}}, "parameter 'a' should be a string, a number, true"),
    ({"inputs": [x(data=[1, 2])], "outputs": {}}, "'outputs' should be an array of objects"),
    ({"inputs": [x(data=[1, 2])] * 1025}, "'inputs' has more than 1024 entries"),
]


@pytest.mark.parametrize("body, text", FAULTS, ids=lambda value: str(value)[:30])
def test_a_wrong_request_is_refused_with_its_reason(rest: RestClient, body: Any, text: str) -> None:
    status, headers, answer = rest.exchange(body, INFER)
    assert (status, headers["content-type"]) == (400, "application/json")
    assert set(json.loads(answer)) == {"error"}
    assert text in json.loads(answer)["error"]


@pytest.mark.parametrize(
    "header, text",
    [
        ("x", "Inference-Header-Content-Length 'x' is not a number of bytes"),
        ("9" * 30, "is not a number of bytes"),
        ("999", "Inference-Header-Content-Length is 999, but the body has"),
    ],
)
def test_a_wrong_header_length_is_refused(rest: RestClient, header: str, text: str) -> None:
    status, _, answer = rest.exchange({"inputs": []}, INFER, **{JSON_BYTES: header})
    assert status == 400 and text in json.loads(answer)["error"]


@pytest.mark.parametrize("blanks", ["{} ", "{}\t", "  {} \t "])
def test_blanks_around_a_headers_value_are_none_of_it(rest: RestClient, blanks: str) -> None:
    head = json.dumps({"inputs": []}).encode()
    status, _, answer = rest.exchange(head, INFER, **{JSON_BYTES: blanks.format(len(head))})
    assert status == 400 and "is not a number of bytes" not in json.loads(answer)["error"]


def test_bytes_behind_the_last_tensor_are_refused(rest: RestClient) -> None:
    status, answer, _ = binary(rest, {"inputs": [x("INT8", [1], binary_data_size=1)]}, b"12")
    assert status == 400 and "1 bytes follow the last binary tensor" in answer["error"]


def raw(client: RestClient, body: bytes, model: str) -> tuple[int, Any]:
    status, _, answer = client.exchange(body, f"/v2/models/{model}/infer", **{JSON_BYTES: "0"})
    return status, json.loads(answer[: answer.rindex(b"}") + 1])


def test_a_body_can_be_the_only_input(master: RunningMaster) -> None:
    any_rows, bad_rows = TensorType("<f4", (-1, 2)), TensorType("<f4", (-1, -1))
    methods = (
        MethodSpec("typed", ("x",), ("y",), 4, True, (any_rows,), (None,)),
        MethodSpec("open", ("x",), ("y",), 4, True, (bad_rows,), (None,)),
        MethodSpec("unknown", ("x",), ("y",), 4),
        MethodSpec("two", ("x1", "x2"), ("y",), 4),
    )
    worker = master.worker(version=2, methods=methods)
    client = RestClient(master.open_rest())
    for model, body, column in (
        ("add.typed", bytes(24), Stacked("<f4", (1, 3, 2), bytes(24))),
        ("add.unknown", b"an image", (b"an image",)),
    ):
        client.connection.request("POST", f"/v2/models/{model}/infer", body, {JSON_BYTES: "0"})
        batch = worker.next_batch()
        assert batch.columns == (column,)
        worker.answer(batch)
        assert client.connection.getresponse().read().endswith(body)
    for model, body, text in (
        ("add.typed", bytes(9), "FP32 of shape [1, 1, 2] has 8 bytes, given 9"),
        ("add.open", bytes(8), "the shape of input x cannot be told from its size, describe it in a JSON header"),
        ("add.two", b"1", "servable add method two has 2 inputs: describe them in a JSON header"),
    ):
        status, answer = raw(client, body, model)
        assert status == 400 and text in answer["error"]
    client.connection.close()


GETS: list[tuple[str, int, Any]] = [
    ("/v2/health/live", 200, {"live": True}),
    ("/v2/health/ready", 200, {"ready": True, "live": True}),
    ("/v2/models/add/ready", 200, {"name": "add", "ready": True}),
    ("/v2/models/add.echo/versions/1/ready", 200, {"name": "add.echo", "ready": True}),
    ("/v2/models/add/versions/2/ready", 404, {"error": "servable add has no version 2: it has 1"}),
    ("/v2/models", 200, {"models": ["add"]}),
    ("/v2/nothing", 404, {"error": "'/v2/nothing' is not a URL of this server: see /docs"}),
    ("/v2/models/add/infer", 405, {"error": "'/v2/models/add/infer' supports POST"}),
    (
        "/v2/systemsharedmemory/status",
        501,
        {"error": "the master was started without --shared-memory: send tensors in requests"},
    ),
    (
        "/v2/cudasharedmemory/status",
        501,
        {"error": "memory of CUDA devices is not shared: send tensors in requests, or in system shared memory"},
    ),
]


@pytest.mark.parametrize("url, status, document", GETS)
def test_what_a_get_answers(rest: RestClient, url: str, status: int, document: Any) -> None:
    given, headers, body = rest.exchange(b"", url, "GET")
    assert (given, json.loads(body)) == (status, document)
    assert headers.get("allow") == ("POST" if status == 405 else None)


def test_metadata_config_index_and_statistics_are_documents(rest: RestClient) -> None:
    def get(url: str, method: str = "GET", body: Any = b"") -> Any:
        status, _, answer = rest.exchange(body, url, method)
        assert status == 200, answer
        return json.loads(answer)

    unknown = {"datatype": "BYTES", "shape": [-1], "parameters": {"type_known": False}}
    assert get("/v2")["name"] == "mindspore-serving-cluster"
    assert get("/v2/models/add.echo") == {
        "name": "add.echo",
        "versions": ["1"],
        "platform": "mindspore",
        "inputs": [{"name": "x", **unknown}],
        "outputs": [{"name": "y", **unknown}],
    }
    assert get("/v2/models/add/config")["parameters"]["methods"] == {"string_value": "add_common,echo"}
    assert get("/v2/repository/index", "POST") == [{"name": "add", "version": "1", "state": "READY", "reason": ""}]
    assert len(get("/v2/repository/mine/index", "POST", {"ready": True})) == 1
    assert get("/v2/models/stats")["model_stats"][0]["name"] == "add"
    infer(rest, x(data=[1, 2]))
    (counts,) = get("/v2/models/add.echo/versions/1/stats")["model_stats"]
    assert counts["inference_count"] >= 2
    assert set(counts["batch_cuts"]) == {"full", "bytes", "deadline", "idle", "ahead", "alone"}
    assert sum(counts["batch_cuts"].values()) == counts["execution_count"]
    status, _, answer = rest.exchange({"ready": 1}, "/v2/repository/index")
    assert (status, json.loads(answer)) == (400, {"error": "'ready' should be true or false"})


def test_not_ready_says_why_and_when_to_come_back(master: RunningMaster) -> None:
    client = RestClient(master.open_rest())
    master.workers[0].say(Goodbye())
    until(lambda: not master.server._desk.has_ready_replica, "the worker to be gone")
    reason = "servable add version 1 is not ready: it has no live worker"
    for url, method in (("/v2/models/add/ready", "GET"), ("/v2/models/add/infer", "POST")):
        status, headers, body = client.exchange({"inputs": [x(data=[1, 2])]}, url, method)
        assert (status, headers["retry-after"], json.loads(body)["error"]) == (503, "1", reason)
    for url in ("/v2/health/ready", "/readyz"):
        status, _, body = client.exchange(b"", url, "GET")
        assert status == 503
        assert b"no servable has a live replica" in body and b"servable add version 1: it has no live worker" in body
    client.connection.close()


def test_nobody_is_invited_to_ask_again_for_what_may_run_once_and_was_lost(master: RunningMaster) -> None:
    """With 503 or UNAVAILABLE, a client's retry policy, or a proxy's, ran it a second time."""
    client = RestClient(master.open_rest())
    methods = (MethodSpec("once", ("x",), ("y",), 4, idempotent=False),)
    worker = FakeWorker(master.context, master.ctrl.port, 2, methods)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(client.exchange, {"inputs": [x(data=[1, 2])]}, "/v2/models/add.once/infer")
        worker.next_batch()
        worker.die()
        status, headers, body = call.result()
    assert status == 500 and "retry-after" not in headers
    assert "not tried again because the method is registered with idempotent=False" in json.loads(body)["error"]
    client.connection.close()


def test_the_docs_tell_of_every_url(rest: RestClient) -> None:
    status, _, body = rest.exchange(b"", "/openapi.json", "GET")
    document = json.loads(body)
    assert (status, document["openapi"]) == (200, "3.1.0")
    for path, methods in document["paths"].items():
        url = re.sub(r"\{\w+\}", "add", path)
        for method, operation in methods.items():
            if path.startswith("/v2"):
                status, _, _ = rest.exchange(b"{}", url, method.upper())
                known = set(operation["responses"]) - {"default"}
                assert str(status) in known or status in (400, 404), (path, status)  # version 'add' is not known
    status, headers, page = rest.exchange(b"", "/docs", "GET")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b"/v2/models/{model}/infer" in page and b"http" not in page  # nothing from elsewhere
    assert str(headers["content-security-policy"]).startswith("default-src 'none'; ")


def test_every_reference_in_the_openapi_document_leads_somewhere() -> None:
    text = json.dumps(openapi(()))
    for name in re.findall(r"#/components/schemas/(\w+)", text):
        assert name in openapi(())["components"]["schemas"]


def test_the_old_door_answers_beside_it() -> None:
    master = RunningMaster(Limits(lease_seconds=600.0))
    with echoing(master):
        client = RestClient(master.open_rest())
        assert client.echoed([1, 2]) == [1, 2]
        assert infer(client, x(data=[1, 2]))["outputs"][0]["data"] == [1, 2]
        client.connection.close()
    master.close()
