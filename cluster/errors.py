"""What can go wrong, as values and as exceptions. No transport status here: each door maps the codes.

A Failure is a value: it stands in an instance's slot, and the batch goes on.

RuntimeError
└── ServingError            every error of ours (the original raised RuntimeError for all it refused)
    ├── RequestRefused      a client's request is answered with one failure, as a whole
    │   └── NotServed       it names a servable, version or method that is not here
    ├── ServableError       a servable cannot be loaded: its author's mistake, with file and line where there is one
    ├── SetupError          a command or a start call was given something it cannot use
    └── FrameError          a peer on the control port broke the protocol
        └── VersionMismatch it speaks another version of the protocol
"""

from dataclasses import dataclass
from enum import IntEnum


class Code(IntEnum):
    """Error codes on the wire (ErrorMsg.error_code of ms_service.proto; the numbers of MindSpore Serving 2.0.2)."""

    SUCCESS = 0
    FAILED = 1
    INVALID_INPUTS = 2
    SYSTEM_ERROR = 3
    WORKER_UNAVAILABLE = 4
    SERVABLE_UNAVAILABLE = 5


@dataclass(frozen=True, slots=True)
class Failure:
    """Why one instance, or a whole request, has no result."""

    code: Code
    text: str


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


class SetupError(ServingError):
    """A command line or a start call names something that cannot be used."""


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
