"""What master and worker say to each other, as data that does not change. codec.py puts it into frames.

RunBatch and BatchDone have an __init__ of their own: compiled, it takes an eighth of the time of a data class's.

worker -> master: Register, Heartbeat, MayRun, BatchDone, Credit, Leaving, Goodbye
master -> worker: Registered, Refused, Unregistered, RunBatch, Go, CreditKept, Released, Probe, Condemned
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias

from mindspore_serving.cluster.direct import DirectOffer
from mindspore_serving.cluster.errors import Failure
from mindspore_serving.cluster.siblings import Sibling
from mindspore_serving.cluster.tensors import Column

ANY_SIZE = -1
NO_FAILURES: Mapping[int, Failure] = MappingProxyType({})


class TensorType(NamedTuple):
    """What one instance's tensor has to be: a dtype of tensors.ITEM_BYTES, and a shape, ANY_SIZE where it is open."""

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class MethodSpec:
    """What a client calls: its inputs and outputs, in order, and how many instances are worth sending at once.

    The types are what the worker knows: one for each input and output, None for what a Python function takes or gives;
    or nothing at all.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    batch_size: int
    idempotent: bool = True  # may run again when it is not known whether it has run
    input_types: tuple[TensorType | None, ...] = ()
    output_types: tuple[TensorType | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Register:
    """The worker has loaded and warmed its servable and is ready.

    `registration` counts the worker's registrations: the same number again is a repetition, a new one starts afresh
    (the worker lost its connection, and with it whatever was open).
    """

    registration: int
    servable: str
    version: int
    methods: tuple[MethodSpec, ...]
    device: str  # such as "CPU:0"
    host: str
    pid: int
    credit: int = 2  # batches that this master may have open here
    direct: DirectOffer | None = None  # for a master on the same machine


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """I am alive and had nothing else to say. A device that hangs is seen by what it did not do."""

    stuck_seconds: float = 0.0  # since the worker last got on, with whosever work, while some of this master's is open


@dataclass(frozen=True, slots=True)
class MayRun:
    """Nothing runs here now: may your batch that runs alone begin? From your Go on, this worker may die of it."""

    batch_id: int


@dataclass(init=False, slots=True)
class BatchDone:
    """A batch's results: a column per output over the instances that succeeded, in order; a failure for the others.

    failures: index in the batch -> why. device_seconds: how long no other batch of its method could run. None: the
    worker runs several at once.
    """

    batch_id: Final[int]
    columns: Final[tuple[Column, ...]]
    failures: Final[Mapping[int, Failure]]
    device_seconds: Final[float | None]

    def __init__(
        self,
        batch_id: int,
        columns: tuple[Column, ...],
        failures: Mapping[int, Failure] = NO_FAILURES,
        device_seconds: float | None = None,
    ) -> None:
        self.batch_id = batch_id
        self.columns = columns
        self.failures = failures
        self.device_seconds = device_seconds


@dataclass(frozen=True, slots=True)
class Credit:
    """From now on you may have so many batches open here. Fewer count from your CreditKept on."""

    batches: int


@dataclass(frozen=True, slots=True)
class NotUnderstood:
    """What you said cannot be read. If it was work, it would be waited for in vain."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """The worker wants to stop: send nothing more, say Released when my open batches are answered."""


@dataclass(frozen=True, slots=True)
class Goodbye:
    """The worker is gone now, whatever was open."""


@dataclass(frozen=True, slots=True)
class Registered:
    """The master will send work, and takes the worker for lost when it hears nothing for `lease_seconds`.

    Answer to the Register of this number. What comes before it on the connection belongs to earlier registrations.
    """

    lease_seconds: float
    registration: int
    siblings: tuple[Sibling, ...] = ()  # the master's other processes: a worker registers at each


@dataclass(frozen=True, slots=True)
class Refused:
    """The master will never take this worker; `reason` is for the person who started it."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unregistered:
    """The master does not know the sender (it was restarted, or the lease ran out): register again."""


@dataclass(init=False, slots=True)
class RunBatch:
    """Run `count` instances through `method`: one column per input.

    seconds_left: until the last caller gives up; None: nobody does. alone: nothing beside it, and after my Go.
    """

    batch_id: Final[int]
    method: Final[str]
    count: Final[int]
    columns: Final[tuple[Column, ...]]
    seconds_left: Final[float | None]
    alone: Final[bool]

    def __init__(
        self,
        batch_id: int,
        method: str,
        count: int,
        columns: tuple[Column, ...],
        seconds_left: float | None = None,
        alone: bool = False,
    ) -> None:
        self.batch_id = batch_id
        self.method = method
        self.count = count
        self.columns = columns
        self.seconds_left = seconds_left
        self.alone = alone


@dataclass(frozen=True, slots=True)
class Go:
    """Answer to MayRun: run it."""

    batch_id: int


@dataclass(frozen=True, slots=True)
class CreditKept:
    """Answer to Credit: not more than so many of my batches are open there, and will not be."""

    batches: int


@dataclass(frozen=True, slots=True)
class Released:
    """Answer to Leaving: nothing of yours is open any more."""


@dataclass(frozen=True, slots=True)
class Probe:
    """Are you there? Sent when some connection dropped; ZeroMQ refuses it for a peer that is gone."""


@dataclass(frozen=True, slots=True)
class Condemned:
    """The master has given this worker up, for this reason: exit at once and be started again."""

    reason: str


FromWorker: TypeAlias = Register | Heartbeat | MayRun | BatchDone | Credit | NotUnderstood | Leaving | Goodbye
FromMaster: TypeAlias = Registered | Refused | Unregistered | RunBatch | Go | CreditKept | Released | Probe | Condemned
Message: TypeAlias = FromWorker | FromMaster
