"""Target: frames on the control port. A FrameError, or a message that the other side's mind can take in."""

from mindspore_serving.cluster.codec import decode, encode
from mindspore_serving.cluster.dispatch_events import Arrival, Limits, MessageReceived, RequestsArrived, Tick
from mindspore_serving.cluster.dispatcher import Dispatcher
from mindspore_serving.cluster.errors import Code, Failure, FrameError
from mindspore_serving.cluster.messages import (
    BatchDone,
    FromMaster,
    FromWorker,
    Go,
    Goodbye,
    Heartbeat,
    Leaving,
    MayRun,
    Message,
    MethodSpec,
    Refused,
    Register,
    Registered,
    RunBatch,
)
from mindspore_serving.cluster.session import Offer, Session
from mindspore_serving.cluster.session_events import MessageArrived
from mindspore_serving.cluster.tensors import Stacked, Tensor, to_columns

_METHODS = (MethodSpec("m", ("x",), ("y",), 4),)
_REGISTER = Register(1, "s", 1, _METHODS, "CPU:0", "here", 1)
_INSTANCE = (Tensor("<f4", (2,), bytes(8)),)

# The first byte: how many frames; before each but the last, its length in two bytes (little-endian).
_MESSAGES: list[Message] = [
    _REGISTER,
    Heartbeat(),
    MayRun(7),
    Go(7),
    Leaving(),
    Goodbye(),
    BatchDone(1, (Stacked("<f4", (2, 2), bytes(16)),)),
    BatchDone(1, (), {0: Failure(Code.FAILED, "no"), 1: Failure(Code.INVALID_INPUTS, "")}),
    BatchDone(1, ((Tensor("|i1", (3,), b"abc"), "text"),)),
    Registered(3.0, 1, (6501, "control.1")),
    Refused("no"),
    RunBatch(1, "m", 1, (("a",),), 1.5),
    RunBatch(2, "m", 2, (Stacked("<f8", (2, 16384), bytes(262144)),)),
]


def _join(frames: list[bytes]) -> bytes:
    *first, last = frames
    return bytes([len(frames)]) + b"".join(len(frame).to_bytes(2, "little") + frame for frame in first) + last


def _split(data: bytes) -> list[bytes]:
    frames, rest = [], data[1:]
    for _ in range(data[0] - 1 if data else 0):
        length = int.from_bytes(rest[:2], "little")
        frames.append(rest[2 : 2 + length])
        rest = rest[2 + length :]
    return [*frames, rest]


SEEDS = [_join([bytes(frame) for frame in encode(message)]) for message in _MESSAGES]


def run(data: bytes) -> None:
    """Decodes the frames; what they hold is encoded again, and goes to a busy dispatcher, or to a worker."""
    try:
        message = decode(_split(data))
    except FrameError as error:
        text = str(error)
        assert len(text) < 2000
        return
    assert decode([bytes(frame) for frame in encode(message)]) == message
    if isinstance(message, FromWorker):
        dispatcher = Dispatcher(Limits(max_enqueued_requests=10))
        dispatcher.handle(MessageReceived("w", _REGISTER), 0.0)
        route, method = dispatcher.resolve("s", 0, "m")
        columns = to_columns((_INSTANCE, _INSTANCE))
        dispatcher.handle(RequestsArrived([Arrival(1, 0, route, method, 2, columns, 16, None)]), 0.0)
        for worker in ("w", "other", "w"):
            dispatcher.handle(MessageReceived(worker, message), 0.1)
        dispatcher.handle(Tick(), 1e9)
    else:
        assert isinstance(message, FromMaster)
        session = Session(Offer("s", 1, _METHODS, "CPU:0", "here", 1), 0.0)
        for now in (0.1, 0.2):
            session.handle(MessageArrived(message), now)
