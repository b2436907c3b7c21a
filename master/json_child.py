"""A process that reads JSON bodies for a master: large ones take seconds, in which the master has to serve others.

Frames on standard input and output: 8 bytes of length (big-endian), then a body; then msgpack [instances] or
[code, text]. Ends with its standard input.
"""

import sys
from typing import BinaryIO

import msgpack

from mindspore_serving.cluster.errors import RequestRefused
from mindspore_serving.master.rest_json import read_instances

LENGTH_BYTES = 8


def answer(body: bytes) -> bytes:
    """What stands in the body, or why nothing does."""
    try:
        content = [read_instances(body)]
    except RequestRefused as refused:
        return _pack([int(refused.failure.code), refused.failure.text])
    return _pack(content)


def main() -> None:
    """Answers until there are no more bodies."""
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    while head := source.read(LENGTH_BYTES):
        serve(source, sink, int.from_bytes(head, "big"))


def serve(source: BinaryIO, sink: BinaryIO, length: int) -> None:
    """One body and its answer. A function of its own, so that both are let go before the next one comes."""
    reply = answer(source.read(length))
    sink.write(len(reply).to_bytes(LENGTH_BYTES, "big"))
    sink.write(reply)
    sink.flush()


def _pack(content: object) -> bytes:
    return bytes(msgpack.packb(content, unicode_errors="surrogatepass"))


if __name__ == "__main__":
    main()
