"""The gRPC services of a master as a table, whichever engine serves it: a path to a handler of raw bytes."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias


class Status(IntEnum):
    """The status codes of gRPC (github.com/grpc/grpc, doc/statuscodes.md)."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


Metadata: TypeAlias = Sequence[tuple[str, str | bytes]]


class CallInfo:
    """What comes with a call. Metadata keys are in lower case; those that end in -bin have bytes.

    No data class: one is made for every call, and a frozen one takes ten times as long to make.
    """

    __slots__ = ("metadata", "seconds_left")

    def __init__(self, seconds_left: float | None = None, metadata: Metadata = ()) -> None:
        self.seconds_left = seconds_left  # that its caller still waits; None: for ever
        self.metadata = metadata


class RpcFault(Exception):
    """The call ends with this status instead of a reply, or instead of further replies."""

    def __init__(self, status: Status, text: str, trailing_metadata: Metadata = ()) -> None:
        super().__init__(text)
        self.status = status
        self.trailing_metadata = trailing_metadata


@dataclass(frozen=True, slots=True)
class Unary:
    """A method with one request and one reply. The handler raises RpcFault; what it returns is cancelled with its call.

    It may return a promise instead of being a coroutine function: that saves a task for each call.
    """

    handler: Callable[[bytes, CallInfo], Awaitable[bytes]]
    serves_while_draining: bool = False  # other methods answer UNAVAILABLE from the moment that the master stops


@dataclass(frozen=True, slots=True)
class Streaming:
    """A method with any number of requests and replies. The handler is an async generator, and raises RpcFault.

    When it draws no requests, they wait; when its caller reads no replies, it waits. It is cancelled with its call.
    """

    handler: Callable[[AsyncIterator[bytes], CallInfo], AsyncIterator[bytes]]
    serves_while_draining: bool = False


ServiceTable: TypeAlias = Mapping[str, Mapping[str, Unary | Streaming]]  # service -> method -> how to serve it

STOPPING_TEXT = "the master is stopping"
OWN_FAULT_TEXT = "internal error of the master: see its log"
