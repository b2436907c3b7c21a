"""What goes into a session and what comes out of it: events and actions.

Those that each batch makes have an __init__ of their own: compiled, it takes an eighth of the time of a data class's.
"""

from dataclasses import dataclass
from typing import Final, TypeAlias

from mindspore_serving.cluster.messages import BatchDone, FromMaster, FromWorker, RunBatch
from mindspore_serving.cluster.siblings import Sibling

# --- events


@dataclass(init=False, slots=True)
class MessageArrived:
    message: Final[FromMaster]

    def __init__(self, message: FromMaster) -> None:
        self.message = message


@dataclass(init=False, slots=True)
class BatchFinished:
    """A batch that `Run` asked for is done; `registration` is what Run said."""

    registration: Final[int]
    done: Final[BatchDone]

    def __init__(self, registration: int, done: BatchDone) -> None:
        self.registration = registration
        self.done = done


@dataclass(frozen=True, slots=True)
class DeviceGotOn:
    """A batch of another master is done: what this one has open may have waited behind it."""


@dataclass(frozen=True, slots=True)
class TurnCame:
    """A batch that runs alone could begin now; `registration` is what Run said."""

    registration: int
    batch_id: int


@dataclass(frozen=True, slots=True)
class Misheard:
    """The master said what cannot be read."""


@dataclass(frozen=True, slots=True)
class LinkMade:
    """There is a connection to the master, where there was none."""


@dataclass(frozen=True, slots=True)
class LinkLost:
    """The connection to the master is gone, and with it any message on its way."""


@dataclass(frozen=True, slots=True)
class CreditChanged:
    """So many batches may the master have open from now on."""

    batches: int


@dataclass(frozen=True, slots=True)
class FirstCreditChanged:
    """So many batches may the master have open when it is registered at anew: others have come to share with."""

    batches: int


@dataclass(frozen=True, slots=True)
class KnownToSiblings:
    """The master's other processes have registered this worker too: it may be given work."""


@dataclass(frozen=True, slots=True)
class LinkRefused:
    """What stands at the master's address will not talk to this worker, and would not if it were asked again."""

    reason: str


@dataclass(frozen=True, slots=True)
class DrainRequested:
    """Finish what is open, then close; give up at `deadline`."""

    deadline: float


@dataclass(frozen=True, slots=True)
class Tick:
    """Nothing but time has passed."""


Event: TypeAlias = (
    MessageArrived
    | BatchFinished
    | DeviceGotOn
    | TurnCame
    | Misheard
    | LinkMade
    | LinkLost
    | LinkRefused
    | CreditChanged
    | FirstCreditChanged
    | KnownToSiblings
    | DrainRequested
    | Tick
)


# --- actions


@dataclass(init=False, slots=True)
class Send:
    message: Final[FromWorker]

    def __init__(self, message: FromWorker) -> None:
        self.message = message


@dataclass(init=False, slots=True)
class Run:
    batch: Final[RunBatch]
    registration: Final[int]

    def __init__(self, batch: RunBatch, registration: int) -> None:
        self.batch = batch
        self.registration = registration


@dataclass(frozen=True, slots=True)
class GoAhead:
    """This batch, which runs alone, may begin."""

    batch_id: int


@dataclass(frozen=True, slots=True)
class Kept:
    """The master has not more than so many batches open here, and will not have."""

    batches: int


@dataclass(frozen=True, slots=True)
class Meet:
    """The master has these other processes, and no more: register at them too."""

    siblings: tuple[Sibling, ...]


@dataclass(frozen=True, slots=True)
class InService:
    """The master gives work from now on: it is registered there, and at the master's other processes."""


@dataclass(frozen=True, slots=True)
class Close:
    """The session is over; `refusal` is the master's reason when it would not have this worker.

    `at_once`: what is open is given up, the device will never answer.
    """

    refusal: str | None = None
    at_once: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """Something happened that an operator wants in the log."""

    level: str
    text: str


Action: TypeAlias = Send | Run | GoAhead | Kept | Meet | InService | Close | Report
