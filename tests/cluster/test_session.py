"""The worker's session, one fact at a time."""

import pytest

from mindspore_serving.cluster.messages import (
    BatchDone,
    FromMaster,
    Goodbye,
    Heartbeat,
    Leaving,
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
from mindspore_serving.cluster.session import Offer, Session, SessionState
from mindspore_serving.cluster.session_events import (
    Action,
    BatchFinished,
    Close,
    DeviceGotOn,
    DrainRequested,
    FirstCreditChanged,
    InService,
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
)

OFFER = Offer("s", 1, (MethodSpec("m", ("x",), ("y",), 1),), "CPU:0", "host", 1)
BATCH = RunBatch(5, "m", 1, (("a",),))
DONE = BatchDone(5, (("b",),))


def told(session: Session, message: FromMaster, now: float = 0.0) -> list[Action]:
    return without_reports(session.handle(MessageArrived(message), now))


def without_reports(actions: list[Action]) -> list[Action]:
    return [action for action in actions if not isinstance(action, Report)]


def register(number: int, credit: int = 2) -> Send:
    return Send(Register(number, "s", 1, OFFER.methods, "CPU:0", "host", 1, credit))


@pytest.fixture
def serving() -> Session:
    session = Session(OFFER, 0.0)
    session.handle(Tick(), 0.0)
    told(session, Registered(3.0, 1))
    return session


def test_it_registers_until_the_master_answers() -> None:
    session = Session(OFFER, 0.0)
    assert session.handle(Tick(), 0.0) == [register(1)]
    assert session.handle(Tick(), 0.5) == []
    assert session.next_wakeup() == 1.0
    assert session.handle(Tick(), 1.0) == [register(1)]
    assert session.handle(LinkMade(), 1.2) == [register(1)]


def test_it_renews_its_lease_when_it_has_nothing_else_to_say(serving: Session) -> None:
    assert serving.next_wakeup() == 1.0
    assert serving.handle(Tick(), 1.0) == [Send(Heartbeat())]
    told(serving, BATCH, 1.5)
    assert serving.handle(BatchFinished(1, DONE), 1.9) == [Send(DONE)]
    assert serving.next_wakeup() == pytest.approx(2.9)


def test_it_answers_a_probe(serving: Session) -> None:
    assert told(serving, Probe()) == [Send(Heartbeat())]


def test_a_master_that_forgot_us_is_registered_at_again_and_old_results_are_kept_from_it(serving: Session) -> None:
    assert told(serving, BATCH) == [Run(BATCH, 1)]
    assert told(serving, Unregistered(), 0.1) == [register(2)]
    told(serving, Registered(3.0, 2), 0.2)
    assert serving.handle(BatchFinished(1, DONE), 0.3) == []
    # The new master's batch of the same number is another batch.
    assert told(serving, BATCH, 0.4) == [Run(BATCH, 2)]
    assert serving.handle(BatchFinished(1, DONE), 0.5) == []
    assert serving.handle(BatchFinished(2, DONE), 0.6) == [Send(DONE)]


def test_a_lost_link_starts_afresh_even_while_registering() -> None:
    session = Session(OFFER, 0.0)
    session.handle(Tick(), 0.0)
    # The master may have taken the first Register, and sent work that got lost on the way.
    assert session.handle(LinkLost(), 0.1) == [register(2)]


def test_work_is_not_taken_before_the_master_has_answered() -> None:
    session = Session(OFFER, 0.0)
    assert told(session, BATCH) == [register(1)]


def test_at_each_registration_it_hears_of_the_masters_other_processes(serving: Session) -> None:
    assert told(serving, Registered(3.0, 1, (6501,))) == []  # a repetition
    told(serving, Unregistered(), 0.1)
    assert told(serving, Registered(3.0, 2, (6501, 6502)), 0.2) == [Meet((6501, 6502))]
    serving.handle(LinkLost(), 0.3)
    assert told(serving, Registered(3.0, 3), 0.4) == [Meet(()), InService()]


def test_a_changed_first_credit_counts_from_the_next_registration_on(serving: Session) -> None:
    assert serving.handle(FirstCreditChanged(1), 0.1) == []
    assert told(serving, Unregistered(), 0.2) == [register(2, credit=1)]


def test_it_drains_before_it_closes(serving: Session) -> None:
    told(serving, BATCH)
    assert serving.handle(DrainRequested(10.0), 0.1) == [Send(Leaving())]
    assert told(serving, BATCH, 0.2) == [Run(BATCH, 1)]  # sent before the master heard of it
    assert serving.handle(BatchFinished(1, DONE), 0.3) == [Send(DONE)]
    assert told(serving, Released(), 0.4) == [Close()]
    assert serving.next_wakeup() is None and serving.handle(Tick(), 9.0) == []


def test_it_gives_up_draining_at_the_deadline(serving: Session) -> None:
    told(serving, BATCH)
    serving.handle(DrainRequested(0.5), 0.1)
    assert without_reports(serving.handle(Tick(), 0.5)) == [Send(Goodbye()), Close()]


def test_without_a_master_it_closes_at_once() -> None:
    session = Session(OFFER, 0.0)
    session.handle(Tick(), 0.0)
    assert session.handle(DrainRequested(10.0), 0.1) == [Send(Goodbye()), Close()]


@pytest.mark.parametrize("message", [Unregistered(), None])
def test_a_master_lost_while_draining_ends_the_drain(serving: Session, message: FromMaster | None) -> None:
    serving.handle(DrainRequested(10.0), 0.1)
    event = LinkLost() if message is None else MessageArrived(message)
    assert without_reports(serving.handle(event, 0.2)) == [Close()]


def test_a_refusal_ends_the_session_with_its_reason() -> None:
    session = Session(OFFER, 0.0)
    session.handle(Tick(), 0.0)
    assert told(session, Refused("because")) == [Close("because")]
    assert session.state is SessionState.CLOSED


@pytest.mark.parametrize("drains", [False, True])
def test_a_refused_link_closes_the_session_with_its_reason(drains: bool) -> None:
    session = Session(OFFER, 0.0)
    session.handle(MessageArrived(Registered(3.0, 1)), 0.0)
    if drains:
        session.handle(DrainRequested(9.0), 0.0)
    assert session.handle(LinkRefused("no key"), 1.0) == [Close("no key")]
    assert session.state is SessionState.CLOSED


def test_a_confirmation_of_a_registration_that_is_over_is_not_believed(serving: Session) -> None:
    (again,) = without_reports(serving.handle(LinkLost(), 1.0))
    assert again == register(2)
    assert told(serving, Registered(3.0, 1), 1.1) == []
    assert told(serving, BATCH, 1.15) == []  # of that registration as well
    told(serving, Registered(3.0, 2), 1.2)
    assert serving.state is SessionState.SERVING


def test_a_confirmation_that_comes_late_does_not_put_the_next_heartbeat_off() -> None:
    """Simulator seed 7232: the worker was silent for longer than half its lease, and counted as stalled."""
    session = Session(OFFER, 0.0)
    assert session.handle(Tick(), 0.0) == [register(1)]
    told(session, Registered(3.0, 1), 0.9)
    assert session.next_wakeup() == 1.0
    assert session.handle(Tick(), 1.0) == [Send(Heartbeat())]


def test_it_is_in_service_when_the_masters_other_processes_know_it_and_the_master_has_heard_so() -> None:
    session = Session(OFFER, 0.0)
    session.handle(Tick(), 0.0)
    assert told(session, Registered(3.0, 1, (6501,)), 0.01) == [Meet((6501,))]
    assert session.handle(KnownToSiblings(), 0.02) == [Send(Heartbeat()), InService()]
    assert session.handle(KnownToSiblings(), 0.03) == [Send(Heartbeat())]
    session.handle(LinkLost(), 0.04)
    assert session.handle(KnownToSiblings(), 0.05) == []  # it is not registered any more


@pytest.mark.parametrize("other", [DeviceGotOn(), BatchFinished(0, DONE)])
def test_a_device_that_gets_on_with_others_work_does_not_hang(
    serving: Session, other: DeviceGotOn | BatchFinished
) -> None:
    """Work of another master, or of before this worker lost its connection: that which is open waited behind it."""
    told(serving, BATCH, 10.0)
    serving.handle(other, 50.0)
    assert serving.handle(Tick(), 51.0) == [Send(Heartbeat(1.0))]


def test_a_sibling_that_cannot_be_reached_is_waited_for_until_the_first_heartbeat_is_due() -> None:
    session = Session(OFFER, 0.0)
    session.handle(Tick(), 0.0)
    told(session, Registered(3.0, 1, (6501,)), 0.01)
    assert session.next_wakeup() == 1.0
    assert session.handle(Tick(), 1.0) == [Send(Heartbeat()), InService()]


def test_a_master_is_told_what_cannot_be_read_and_nobody_who_may_be_none(serving: Session) -> None:
    assert serving.handle(Misheard(), 0.1) == [Send(NotUnderstood())]
    serving.handle(LinkLost(), 0.2)
    assert serving.handle(Misheard(), 0.3) == []
