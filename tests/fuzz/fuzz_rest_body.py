"""Target: a REST body, from JSON to a worker and back to JSON. Only a RequestRefused may come instead of a reply."""

import json

import msgpack

from mindspore_serving.cluster.errors import RequestRefused
from mindspore_serving.master.json_child import Kind, answer
from mindspore_serving.master.predict import Call, predict
from mindspore_serving.master.rest_json import read_instances, write_reply
from tests.fuzz.echo_desk import EchoDesk

_desk: list[EchoDesk] = []

SEEDS = [
    b'{"instances": [{"x": [[1.5, 2.0], [3e38, -0.0]]}, {"x": 1}, {"x": true}]}',
    b'{"instances": {"x": "\\u00fc \\ud83d\\ude00"}}',
    b'{"instances": {"x": {"b64": "AAAAAAAA8D8=", "type": "float64", "shape": [1]}}}',
    b'{"instances": {"x": {"b64": "", "type": "int8", "shape": [2, 4294967296, 0]}}}',
    b'{"instances": {"x": [{"b64": "AAEC"}]}}',
    b'{"instances": [{"x": 1e30, "y": 99999999999999999999, "x": [[[]]]}], "other": null}',
    b'{"instances": {"x": ' + b"[" * 40 + b"1" + b"]" * 40 + b"}}",
]


def run(data: bytes) -> None:
    """Reads the body, here and as the process for large ones does, and answers it."""
    if not _desk:
        _desk.append(EchoDesk())
    packed = msgpack.unpackb(answer(Kind.INSTANCES, data, len(data)), use_list=False, unicode_errors="surrogatepass")
    try:
        instances = read_instances(data)
    except RequestRefused as refused:
        code, text = refused.failure.code, refused.failure.text
        assert packed == (code, text)
        assert len(text) < 1000
        return
    assert len(packed) == 1
    assert packed[0] == tuple(instances)
    call = Call("s", 0, "m", instances, lambda value: value, len(data))
    reply = json.loads(_desk[0].run(predict(_desk[0].desk, call, None, write_reply)))
    assert set(reply) in ({"instances"}, {"error_msg"})


def close() -> None:
    """Lets the desk go."""
    while _desk:
        _desk.pop().close()
