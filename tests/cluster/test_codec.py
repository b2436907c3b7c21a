"""The codec: every message survives its frames, large buffers travel apart, and nothing malformed gets through."""

import pickle
import random
from typing import Any

import msgpack
import msgpack_numpy
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindspore_serving.cluster.codec import PROTOCOL_VERSION, decode, encode
from mindspore_serving.cluster.direct import MAX_FRAMES, DirectOffer
from mindspore_serving.cluster.errors import Code, Failure, FrameError, VersionMismatch
from mindspore_serving.cluster.messages import (
    ANY_SIZE,
    BatchDone,
    Condemned,
    Credit,
    CreditKept,
    Go,
    Goodbye,
    Heartbeat,
    Leaving,
    MayRun,
    Message,
    MethodSpec,
    NotUnderstood,
    Probe,
    Refused,
    Register,
    Registered,
    Released,
    RunBatch,
    TensorType,
    Unregistered,
)
from mindspore_serving.cluster.tensors import INLINE_BYTES, ITEM_BYTES, Stacked, Tensor, nbytes

FLOATS = TensorType("<f4", (2, ANY_SIZE))
TYPED = MethodSpec("m", ("a", "b"), ("y",), 8, False, (FLOATS, None), (TensorType("|b1", ()),))
MESSAGES: list[Message] = [
    Register(3, "add", 2, (MethodSpec("add_common", ("x1", "x2"), ("y",), 8),), "CPU:0", "here", 17),
    Register(1, "s", 1, (TYPED,), "CPU:0", "here", 17),
    Register(1, "s", 1, (TYPED,), "CPU:0", "here", 17, 2, DirectOffer("0a" * 16, "f" * 32)),
    Heartbeat(),
    Heartbeat(1.5),
    MayRun(7),
    Go(7),
    Credit(2),
    CreditKept(1),
    Condemned("it hangs"),
    BatchDone(7, (Stacked("<f4", (2, 1), b"\0" * 8),), {1: Failure(Code.SYSTEM_ERROR, "no")}),
    BatchDone(7, (), {0: Failure(Code.INVALID_INPUTS, "")}),
    NotUnderstood(),
    Leaving(),
    Goodbye(),
    Registered(3.5, 1),
    Registered(3.5, 1, (6501, "control.1")),
    Refused("why"),
    Unregistered(),
    RunBatch(9, "m", 2, (("a", b"b"), (Tensor("|u1", (1,), b"x"), Tensor("|b1", (), b"\1"))), 1.5),
    RunBatch(10, "m", 1, (Stacked("<i8", (1, 0), b""),)),
    Released(),
    Probe(),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_survives_its_frames(message: Message) -> None:
    assert decode(encode(message)) == message


@pytest.mark.parametrize(
    "types",
    [(None,), (None, None, None), (TensorType("|O", ()), None), (TensorType("<f4", (-2,)), None), (("<f4",), None)],
)
def test_types_that_cannot_be_are_refused(types: Any) -> None:
    wrong = MethodSpec("m", ("a", "b"), ("y",), 8, True, types)
    with pytest.raises(FrameError):
        decode(encode(Register(1, "s", 1, (wrong,), "CPU:0", "here", 17)))


@pytest.mark.parametrize("siblings", [None, [0], [65536], [True], [6501.0], ["x" * 2000], [6501] * 65])
def test_siblings_that_cannot_be_are_refused(siblings: Any) -> None:
    with pytest.raises(FrameError):
        decode([msgpack.packb([PROTOCOL_VERSION, 11, [3.0, 1, siblings]])])


@given(
    st.sampled_from(sorted(ITEM_BYTES)),
    st.lists(st.integers(0, 5), max_size=4).map(tuple),
    st.integers(1, 4),
    st.randoms(use_true_random=False),
)
def test_any_stacked_column_survives(dtype: str, shape: tuple[int, ...], count: int, chance: random.Random) -> None:
    column = Stacked(dtype, (count, *shape), chance.randbytes(nbytes(dtype, (count, *shape))))
    message = RunBatch(1, "m", count, (column,))
    assert decode(encode(message)) == message


@pytest.mark.parametrize("seconds_left", [9.3e9, 3.6e11, 9.3e12])  # 63 bits of ns, 8 digits of hours, 63 bits of us
def test_a_caller_who_waits_for_longer_than_can_be_said_waits_for_ever(seconds_left: float) -> None:
    message = decode([bytes(frame) for frame in encode(RunBatch(1, "m", 1, (("a",),), seconds_left))])
    assert message == RunBatch(1, "m", 1, (("a",),), None)


def test_a_large_buffer_travels_as_its_own_frame_by_reference() -> None:
    data = bytes(INLINE_BYTES)
    frames = encode(RunBatch(1, "m", 1, (Stacked("|u1", (1, INLINE_BYTES), data),)))
    assert len(frames) == 2 and frames[1] is data
    assert len(encode(RunBatch(1, "m", 1, (Stacked("|u1", (1, INLINE_BYTES - 1), data[1:]),)))) == 1


@pytest.mark.parametrize("count", [MAX_FRAMES - 1, MAX_FRAMES, MAX_FRAMES + 1])
def test_more_large_buffers_than_a_message_has_frames_stand_in_its_header(count: int) -> None:
    column = tuple(
        Tensor("|u1", (INLINE_BYTES + place % 2,), bytes(INLINE_BYTES + place % 2)) for place in range(count)
    )
    message = RunBatch(1, "m", count, (column,))
    frames = encode(message)
    assert len(frames) == MAX_FRAMES
    assert decode(frames) == message


def test_a_packer_that_is_kept_writes_the_same_headers_also_after_one_that_cannot_be_packed() -> None:
    pack_header = msgpack.Packer().pack
    for message in MESSAGES:
        assert encode(message, pack_header) == encode(message)
        with pytest.raises(TypeError):
            pack_header([1, object()])


def test_arrays_stand_in_the_header_as_msgpack_numpy_writes_them() -> None:
    array = np.arange(6, dtype=np.float32).reshape(1, 2, 3)
    frames = encode(RunBatch(1, "m", 1, (Stacked("<f4", array.shape, array.tobytes()),)))
    _, _, fields = msgpack.unpackb(frames[0], object_hook=msgpack_numpy.decode)
    np.testing.assert_array_equal(fields[3][0], array)


def test_another_protocol_version_is_told_from_garbage() -> None:
    with pytest.raises(VersionMismatch, match="install the same release") as caught:
        decode([msgpack.packb([PROTOCOL_VERSION + 1, "whatever", {"else": 1}])])
    assert caught.value.theirs == PROTOCOL_VERSION + 1


class Bomb:
    exploded = False

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return setattr, (Bomb, "exploded", True)


def array_map(**changes: object) -> dict[bytes, object]:
    fields: dict[str, object] = {"nd": True, "type": "<f4", "kind": b"", "shape": [1, 1], "data": b"\0" * 4}
    return {key.encode(): value for key, value in (fields | changes).items()}


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "|O", "kind": b"O", "data": pickle.dumps(Bomb())},
        {"kind": b"O", "data": pickle.dumps(Bomb())},
        {"kind": b"V"},
        {"type": "<c8"},
        {"type": 5},
        {"shape": [1, -1]},
        {"shape": [1, 2**62, 2**62]},
        {"shape": [1] * 40},
        {"shape": []},
        {"shape": "11"},
        {"data": b"\0" * 5},
        {"data": 1},
        {"data": 0},
        {"data": None},
    ],
)
def test_a_bad_array_is_refused_and_nothing_is_executed(changes: dict[str, object]) -> None:
    header = msgpack.packb([PROTOCOL_VERSION, 14, [1, "m", 1, [array_map(**changes)], None]])
    with pytest.raises(FrameError):
        decode([header])
    assert not Bomb.exploded


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [1, "m", 2, [array_map()], None],  # the column holds one instance, not two
        [1, "m", 0, [], None],
        [-1, "m", 1, [array_map()], None],
        [1, 5, 1, [array_map()], None],
        [1, "m", 1, [array_map()], -1.0],
        [1, "m", 1, [array_map()], float("nan")],
        [1, "m", 1, [[5]], None],
        [1, "m" * 2000, 1, [array_map()], None],
        [True, "m", 1, [array_map()], None],
        [1, "m", 1, [array_map()] * 300, None],
    ],
)
def test_malformed_fields_are_refused(fields: list[object]) -> None:
    with pytest.raises(FrameError):
        decode([msgpack.packb([PROTOCOL_VERSION, 14, fields])])


def test_random_garbage_is_refused() -> None:
    chance = random.Random(1)
    for _ in range(2000):
        frames = [chance.randbytes(chance.randrange(60)) for _ in range(chance.randrange(4))]
        with pytest.raises(FrameError):
            decode(frames)


def test_a_damaged_message_is_refused_or_still_a_message() -> None:
    chance = random.Random(2)
    for _ in range(3000):
        (header,) = encode(chance.choice(MESSAGES))
        damaged = bytearray(header)
        damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        try:
            decode([bytes(damaged)])
        except FrameError:
            continue


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(FrameError):
        decode([b"\x91" * 100_000 + b"\xc0"])


@pytest.mark.parametrize("offer", [("0a" * 16, "f" * 31), ("/tmp/.X11-unix/X0" + "0" * 15, "f" * 32), ("0a" * 16,)])
def test_a_worker_can_offer_no_other_socket_than_one_of_ours(offer: Any) -> None:
    with pytest.raises(FrameError):
        decode(encode(Register(1, "s", 1, (TYPED,), "CPU:0", "here", 17, 2, offer)))
