"""Coverage-guided fuzzing of the HTTP/2 state machine and the gRPC messages behind it, by hand: see docs/grpc-door.md.

`pip install atheris`, then `python tests/fuzz/http2.py -max_total_time=60 CORPUS_FOLDER`.
"""

import sys

import atheris

with atheris.instrument_imports(include=["mindspore_serving", "hpack"]):
    from mindspore_serving.master.grpc_head import CallHead, head_reader
    from mindspore_serving.master.grpc_messages import MessageReader
    from mindspore_serving.master.http2.connection import Connection
    from mindspore_serving.master.http2.events import ConnectionEnded, DataReceived, RequestReceived
    from mindspore_serving.master.http2.frames import PREFACE
    from mindspore_serving.master.http2.limits import Limits
    from mindspore_serving.master.service_table import RpcFault, Unary

LIMITS = Limits(window_bytes=70_000, connection_window_bytes=140_000, max_streams=8)


async def handler(body: bytes, _: object) -> bytes:
    return body


READ_HEAD = head_reader({"S": {"M": Unary(handler)}})


def one_input(content: bytes) -> None:
    """The first byte says how the rest, after a preface, is cut; nothing may raise, nothing may grow."""
    if not content:
        return
    connection = Connection(READ_HEAD, LIMITS, 0.0)
    readers: dict[int, MessageReader] = {}
    said = PREFACE + b"\0\0\0\4\0\0\0\0\0" + content[1:]
    cut = content[0] or len(said)
    ended = 0
    for start in range(0, len(said), cut):
        for event in connection.receive(said[start : start + cut], start * 0.001):
            if isinstance(event, RequestReceived):
                if isinstance(event.head, CallHead):
                    readers[event.stream_id] = MessageReader(event.head.encoding, 1000)
            elif isinstance(event, DataReceived):
                reader = readers.get(event.stream_id, MessageReader(b"gzip", 1000))
                reader.feed(event.data)
                try:
                    while reader.take() is not None:
                        pass
                except RpcFault:
                    readers.pop(event.stream_id, None)
                connection.send_headers(event.stream_id, ((b":status", b"200"),))
                connection.send_body(event.stream_id, b"12345", event.data)
                if event.ended:
                    connection.send_trailers(event.stream_id, ((b"grpc-status", b"0"),))
            ended += isinstance(event, ConnectionEnded)
        connection.data_to_send()
    connection.tick(10_000.0)
    assert ended <= 1


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
