"""What may come of a trial."""

from dataclasses import dataclass
from enum import Enum

THE_FILE = "the file"  # the way of a graph that is as MindSpore loads it


class Outcome(Enum):
    """What has come of a trial."""

    FINE = "fine"
    SENSITIVE = "too sensitive to be compared"
    BOUND = "bound to one number of instances"
    NOT_EXPORTED = "not exported by MindSpore"
    NOT_RUN = "not run by MindSpore"
    WRONG = "wrong by MindSpore"
    DIED = "MindSpore dies of it"
    FAULT = "FAULT"


@dataclass(frozen=True)
class Verdict:
    """And what there is to say of it."""

    outcome: Outcome
    story: str = ""
