"""The fuzz targets for a moment: their seeds, and mutations of them that are the same in each run."""

import importlib
import random

import pytest

from mindspore_serving.master.http2.frames import Kind, pack
from tests.fuzz import TARGETS
from tests.fuzz.fuzz_http2 import V2, call
from tests.fuzz.fuzz_v2_message import SEEDS as V2_MESSAGES

ROUNDS = {"fuzz_servable_config": 150}
DEFAULT_ROUNDS = 1500


def mutated(seed: bytes, chance: random.Random) -> bytes:
    """The seed with a few bytes changed, removed, repeated or put in."""
    data = bytearray(seed)
    for _ in range(chance.randrange(1, 5)):
        place = chance.randrange(len(data) + 1)
        match chance.randrange(4):
            case 0:
                data[place : place + 1] = chance.randbytes(1)
            case 1:
                del data[place : place + chance.randrange(1, 9)]
            case 2:
                data[place:place] = data[place : place + chance.randrange(1, 17)]
            case _:
                data[place:place] = chance.choice((b"\0", b"\xff" * 8, b"[" * 50, b'"', b"-1", b"9" * 20, b":", b"{"))
    return bytes(data)


@pytest.mark.parametrize("name", TARGETS)
def test_no_input_does_what_it_must_not(name: str) -> None:
    target = importlib.import_module(f"tests.fuzz.{name}")
    chance = random.Random(7)
    try:
        for seed in target.SEEDS:
            target.run(seed)
        for _ in range(ROUNDS.get(name, DEFAULT_ROUNDS)):
            data = mutated(chance.choice(target.SEEDS), chance)
            try:
                target.run(data)
            except Exception as error:
                error.args = (f"{error} [input {data!r}]",)
                raise
    finally:
        getattr(target, "close", lambda: None)()


MESSAGES = [V2_MESSAGES[0][1:]] * 3

# What the fuzzers found, to stay found: target and input.
FOUND = [
    ("fuzz_mindir_file", b":\x0a\x2a\x08\x0a\x031:x\x12\x02\x10\x63"),  # a type that this MindSpore has no name for
    ("fuzz_rest_body", b'{"instances": {"x": {"b64": "", "type": "int8", "shape": [2, 4294967296, 0]}}}'),
    ("fuzz_mindir_file", b":\x0b\x2a\x09\x0a\x03\xd1:x\x12\x02\x10\x01"),  # a name that is not UTF-8
    ("fuzz_mindir_file", b":\x0b\x2a\x09\x0a\x031\x0ax\x12\x02\x10\x63"),  # a name of two lines
    ("fuzz_settings", b"\x03d:--33"),
    ("fuzz_settings", b"\x05" + b"9" * 5000),
    ("fuzz_settings", b"\x00" + b"9" * 5000),
    ("fuzz_settings", b"\x00unix:\xff"),
    ("fuzz_settings", b"\x00\xff:1"),
    ("fuzz_settings", b"\x01" + b"a" * 70 + b":1"),
    # Eighty bytes that asked for 44304 instances, which took a second or ten.
    ("fuzz_v2_body", b'\xff\xff{"inputs": [{"name": "x", "datatype": "FP16", "shape": [44304, 0], "data": []}]}'),
    # A reset stream, a request of which was drawn after its end: its bytes counted as held for ever.
    ("fuzz_http2", b"\5" + call(1, V2 + "ModelStreamInfer", *MESSAGES) + pack(Kind.RST_STREAM, 0, 1, bytes(4))),
]


@pytest.mark.parametrize("name, data", FOUND)
def test_what_was_found_stays_mended(name: str, data: bytes) -> None:
    target = importlib.import_module(f"tests.fuzz.{name}")
    target.run(data)
    getattr(target, "close", lambda: None)()
