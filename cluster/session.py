"""The worker's side of the talk with one master: `handle(event, now)` gives the actions to carry out.

REGISTERING --registered--> SERVING --drain--> DRAINING --released--> CLOSED
SERVING --unregistered, link lost--> REGISTERING     any --refused, condemned--> CLOSED
"""

from dataclasses import dataclass
from enum import Enum, auto

from mindspore_serving.cluster.messages import (
    Condemned,
    Credit,
    CreditKept,
    FromMaster,
    FromWorker,
    Go,
    Goodbye,
    Heartbeat,
    Leaving,
    MayRun,
    MethodSpec,
    NotUnderstood,
    Probe,
    Refused,
    Register,
    Registered,
    Released,
    RunBatch,
    Unregistered,
)
from mindspore_serving.cluster.session_events import (
    Action,
    BatchFinished,
    Close,
    CreditChanged,
    DeviceGotOn,
    DrainRequested,
    Event,
    FirstCreditChanged,
    GoAhead,
    InService,
    Kept,
    KnownToSiblings,
    LinkLost,
    LinkMade,
    LinkRefused,
    Meet,
    MessageArrived,
    Misheard,
    Report,
    Run,
    Send,
    Tick,
    TurnCame,
)

REGISTER_AGAIN_SECONDS = 1.0  # how long an unanswered Register waits for an answer
HEARTBEATS_PER_LEASE = 3  # two may be lost or late before the lease runs out


class SessionState(Enum):
    REGISTERING = auto()
    SERVING = auto()
    DRAINING = auto()
    CLOSED = auto()


_MOVES = {
    (SessionState.REGISTERING, "registered"): SessionState.SERVING,
    (SessionState.REGISTERING, "unregistered"): SessionState.REGISTERING,
    (SessionState.REGISTERING, "drain"): SessionState.CLOSED,  # nobody sends us work: nothing to finish
    (SessionState.REGISTERING, "refused"): SessionState.CLOSED,
    (SessionState.SERVING, "registered"): SessionState.SERVING,
    (SessionState.SERVING, "unregistered"): SessionState.REGISTERING,
    (SessionState.SERVING, "drain"): SessionState.DRAINING,
    (SessionState.SERVING, "refused"): SessionState.CLOSED,
    (SessionState.DRAINING, "registered"): SessionState.DRAINING,
    (SessionState.DRAINING, "unregistered"): SessionState.CLOSED,  # the master has given our work to others
    (SessionState.DRAINING, "drain"): SessionState.DRAINING,
    (SessionState.DRAINING, "refused"): SessionState.CLOSED,
    (SessionState.DRAINING, "released"): SessionState.CLOSED,
}


@dataclass(frozen=True, slots=True)
class Offer:
    """What this worker has to offer: the constant part of its Register."""

    servable: str
    version: int
    methods: tuple[MethodSpec, ...]
    device: str
    host: str
    pid: int


class Session:
    """Registers, renews the lease, takes batches, leaves in order. `now` is monotonic seconds."""

    def __init__(self, offer: Offer, now: float, credit: int = 2) -> None:
        self.state = SessionState.REGISTERING
        self._offer = offer
        self._registration = 1
        self._first_credit = self._credit = credit  # batches that the master may have open here
        self._awaits_siblings = False  # registered at one of several processes, which gives no work before a heartbeat
        self._open: set[int] = set()  # batches of this registration that are not answered yet
        self._got_on_at = now  # when a batch was done, whosever it was, or the first of these came
        self._speak_at = now  # when to say something again, if nothing else is said before
        self._silence_seconds = REGISTER_AGAIN_SECONDS
        self._give_up_at: float | None = None
        self._actions: list[Action] = []

    def next_wakeup(self) -> float | None:
        """When to call `handle(Tick(), now)` if nothing happens before; None when the session is closed."""
        if self.state is SessionState.CLOSED:
            return None
        return self._speak_at if self._give_up_at is None else min(self._speak_at, self._give_up_at)

    def handle(self, event: Event, now: float) -> list[Action]:
        """What to do about `event`."""
        if self.state is SessionState.CLOSED:
            return []
        match event:
            case MessageArrived(message):
                self._receive(message, now)
            case BatchFinished(registration, done):
                self._got_on_at = now
                # A result of an earlier registration has nobody who waits for it.
                if registration == self._registration and done.batch_id in self._open:
                    self._open.discard(done.batch_id)
                    self._say(done, now)
            case DeviceGotOn():
                self._got_on_at = now
            case TurnCame(registration, batch_id):
                if registration == self._registration and batch_id in self._open:
                    self._say(MayRun(batch_id), now)
            case Misheard():
                if self.state is not SessionState.REGISTERING:  # until it has answered, it may be no master
                    self._say(NotUnderstood(), now)
            case LinkMade():
                if self.state is SessionState.REGISTERING:
                    self._speak_at = now
            case LinkLost():
                if self.state is not SessionState.REGISTERING:
                    self._report("warning", "connection to the master lost")
                # Also while registering: the master may have taken us already, and sent work that got lost.
                self._start_again(now)
            case CreditChanged(batches):
                if self.state is not SessionState.REGISTERING:
                    self._credit = batches
                    self._say(Credit(batches), now)
            case FirstCreditChanged(batches):
                self._first_credit = batches
            case KnownToSiblings():
                if self.state is SessionState.SERVING:
                    self._beat(now)
            case LinkRefused(reason):
                self._refuse(reason)
            case DrainRequested(deadline):
                self._drain(deadline, now)
            case Tick():
                pass
        self._keep_time(now)
        actions, self._actions = self._actions, []
        return actions

    def _receive(self, message: FromMaster, now: float) -> None:
        match message:
            case Registered(lease_seconds, registration, siblings):
                if registration != self._registration:
                    return  # to a Register that we have taken back since
                if self.state is SessionState.REGISTERING:
                    self._report("info", f"registered at the master, lease {lease_seconds} s")
                    self._silence_seconds = lease_seconds / HEARTBEATS_PER_LEASE
                    # Not later than we wanted to speak anyway: the master has heard nothing since our last Register.
                    self._speak_at = min(self._speak_at, now + self._silence_seconds)
                    self._actions.append(Meet(siblings))
                    self._awaits_siblings = bool(siblings)
                    if not siblings:
                        self._actions.append(InService())
                self._move("registered")
            case Refused(reason):
                self._refuse(reason)
            case Condemned(reason):
                self.state = SessionState.CLOSED
                self._actions.append(Close(reason, at_once=True))
            case CreditKept(batches):
                self._actions.append(Kept(batches))
            case Unregistered():
                if self.state is SessionState.REGISTERING:
                    return  # our Register is on its way already
                if self.state is SessionState.SERVING:
                    self._report("warning", "the master does not know this worker any more: registering again")
                self._start_again(now)
            case RunBatch(batch_id=batch_id):
                # While registering, a batch can only be of a registration that is over.
                if self.state is not SessionState.REGISTERING:
                    if not self._open:
                        self._got_on_at = now
                    self._open.add(batch_id)
                    self._actions.append(Run(message, self._registration))
            case Go(batch_id):
                if batch_id in self._open:
                    self._actions.append(GoAhead(batch_id))
            case Released():
                if self.state is SessionState.DRAINING:
                    self._move("released")
                    self._actions.append(Close())
            case Probe():
                self._beat(now)

    def _refuse(self, reason: str) -> None:
        self._move("refused")
        self._actions.append(Close(reason))

    def _start_again(self, now: float) -> None:
        self._move("unregistered")
        if self.state is SessionState.CLOSED:
            self._actions.append(Close())
            return
        self._registration += 1
        self._awaits_siblings = False
        self._credit = self._first_credit
        self._open.clear()
        self._silence_seconds = REGISTER_AGAIN_SECONDS
        self._speak_at = now

    def _drain(self, deadline: float, now: float) -> None:
        if self.state is SessionState.SERVING:
            self._say(Leaving(), now)
        self._give_up_at = deadline if self._give_up_at is None else min(deadline, self._give_up_at)
        self._move("drain")
        if self.state is SessionState.CLOSED:
            self._say(Goodbye(), now)  # a Register may be on its way
            self._actions.append(Close())

    def _keep_time(self, now: float) -> None:
        if self.state is SessionState.CLOSED:
            return
        if self._give_up_at is not None and now >= self._give_up_at:
            if self._open:
                self._report("warning", f"{len(self._open)} batches were still open when the time to drain was over")
            self._say(Goodbye(), now)
            self.state = SessionState.CLOSED
            self._actions.append(Close())
        elif now >= self._speak_at:
            if self.state is SessionState.REGISTERING:
                self._say(self._register(), now)
            else:
                self._beat(now)

    def _register(self) -> Register:
        offer = self._offer
        return Register(
            self._registration,
            offer.servable,
            offer.version,
            offer.methods,
            offer.device,
            offer.host,
            offer.pid,
            self._credit,
        )

    def _beat(self, now: float) -> None:
        self._say(Heartbeat(max(0.0, now - self._got_on_at) if self._open else 0.0), now)
        if self._awaits_siblings:
            self._awaits_siblings = False
            self._actions.append(InService())

    def _say(self, message: FromWorker, now: float) -> None:
        self._actions.append(Send(message))
        self._speak_at = now + self._silence_seconds

    def _report(self, level: str, text: str) -> None:
        self._actions.append(Report(level, text))

    def _move(self, by: str) -> None:
        self.state = _MOVES[self.state, by]
