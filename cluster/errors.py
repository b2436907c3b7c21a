"""What can go wrong, as values and as exceptions. No transport status here: each door maps the codes.

A Failure is a value: it stands in an instance's slot, and the batch goes on.

RuntimeError
└── ServingError            every error of ours (the original raised RuntimeError for all it refused)
    ├── RequestRefused      a client's request is answered with one failure, as a whole
    │   └── NotServed       it names a servable, version or method that is not here
    ├── ServableError       a servable cannot be loaded: its author's mistake, with file and line where there is one
    │   └── NoSuchVersion   it has not the version that was asked for, or none at all
    ├── SetupError          a command or a start call was given something it cannot use
    └── FrameError          a peer on the control port broke the protocol
        └── VersionMismatch it speaks another version of the protocol
"""

from dataclasses import dataclass
from enum import IntEnum


class Code(IntEnum):
    """What kind of failure it is. Up to 99: ErrorMsg.error_code of ms_service.proto, as in MindSpore Serving 2.0.2.

    Those from 100 on are ours, for doors that can tell more; `on_the_wire` is what an old client reads.
    """

    SUCCESS = 0
    FAILED = 1
    INVALID_INPUTS = 2
    SYSTEM_ERROR = 3
    WORKER_UNAVAILABLE = 4
    SERVABLE_UNAVAILABLE = 5
    TOO_MANY_REQUESTS = 100  # a later moment may help
    WOULD_BE_LATE = 101  # there is too much to do before: its deadline cannot be kept
    DEADLINE_PASSED = 102
    DEADLY = 103  # its workers died while they ran it
    QUARANTINED = 104  # the method's workers died one after the other

    @property
    def on_the_wire(self) -> int:
        """The number in ErrorMsg.error_code."""
        return _ON_THE_WIRE.get(self, self)


_ON_THE_WIRE = {
    Code.TOO_MANY_REQUESTS: Code.FAILED,
    Code.WOULD_BE_LATE: Code.FAILED,
    Code.DEADLINE_PASSED: Code.FAILED,
    Code.DEADLY: Code.SYSTEM_ERROR,
    Code.QUARANTINED: Code.SERVABLE_UNAVAILABLE,
}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why one instance, or a whole request, has no result."""

    code: Code
    text: str
    retry_seconds: float | None = None  # how long to wait before trying again, where that is known


class ServingError(RuntimeError):
    """Any error of ours. Its text is one line that names the thing and says what to do."""


class RequestRefused(ServingError):
    """The whole request is answered with `failure`."""

    def __init__(self, code: Code, text: str) -> None:
        super().__init__(text)
        self.failure = Failure(code, text)


class NotServed(RequestRefused):
    """The request names what nobody has ever served here."""


class ServableError(ServingError):
    """The servable cannot be loaded."""


class NoSuchVersion(ServableError):
    """The servable has not the version that was asked for, or none at all."""


class SetupError(ServingError):
    """A command line or a start call names something that cannot be used."""


class AlreadyRunning(SetupError):
    """What a start call would start has been started."""


class FrameError(ServingError):
    """Frames from a peer are not a message of ours."""


class VersionMismatch(FrameError):
    """The peer speaks version `theirs` of the control protocol."""

    def __init__(self, ours: int, theirs: int) -> None:
        super().__init__(
            f"control protocol version {theirs} does not match version {ours}: "
            "install the same release of mindspore-serving-cluster on the master and on its workers"
        )
        self.theirs = theirs
