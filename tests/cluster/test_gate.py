"""The gate of a worker with several masters, and what its masters make of a death at each point."""

import pytest

from mindspore_serving.cluster.dispatch_events import Limits, PeerUnreachable
from mindspore_serving.cluster.errors import Code, Failure
from mindspore_serving.cluster.gate import Ask, Gate, Start, Ticket
from mindspore_serving.cluster.messages import Go, MayRun, Registered, RunBatch, Unregistered
from mindspore_serving.cluster.session import Offer, Session
from mindspore_serving.cluster.session_events import GoAhead, LinkLost, MessageArrived, Run, Send, TurnCame
from tests.cluster.invariants import check
from tests.cluster.sim_worker import POISON, number
from tests.cluster.simulator import Plan, World
from tests.cluster.test_dispatcher import Master

PATIENT = Limits(hang_seconds=5.0, quarantine_deaths=100)


def ticket(master: str, batch_id: int, *, alone: bool = False, seconds_left: float | None = None) -> Ticket:
    return Ticket(master, 1, RunBatch(batch_id, "m", 1, (), seconds_left, alone), arrived_at=100.0)


def test_ordinary_batches_start_as_they_come() -> None:
    gate = Gate()
    first, second = ticket("a", 1), ticket("b", 1)
    assert gate.arrived(first) == [Start(first)]
    assert gate.arrived(second) == [Start(second)]


def test_a_suspect_waits_until_nothing_runs_then_asks_and_runs_alone() -> None:
    gate = Gate()
    running, suspect, later = ticket("a", 1), ticket("b", 1, alone=True), ticket("a", 2)
    gate.arrived(running)
    assert gate.arrived(suspect) == []
    assert gate.arrived(later) == []  # or the suspect might never have its turn
    assert gate.finished() == [Ask(suspect)]
    assert gate.go("a", 1) == []  # another master's batch of that number
    assert gate.go("b", 1) == [Start(suspect)]
    assert gate.arrived(ticket("a", 3)) == []
    assert [type(step) for step in gate.finished()] == [Start, Start]


def test_suspects_of_two_masters_run_one_after_the_other() -> None:
    gate = Gate()
    first, second = ticket("a", 1, alone=True), ticket("b", 1, alone=True)
    assert gate.arrived(first) == [Ask(first)]
    assert gate.arrived(second) == []
    assert gate.go("a", 1) == [Start(first)]
    assert gate.finished() == [Ask(second)]


def test_a_lost_master_does_not_hold_up_the_others() -> None:
    gate = Gate()
    suspect, later = ticket("a", 1, alone=True), ticket("b", 1)
    gate.arrived(suspect)
    gate.arrived(ticket("a", 2))
    gate.arrived(later)
    assert gate.lost("a") == (2, [Start(later)])
    assert gate.go("a", 1) == []  # its word comes too late


@pytest.mark.parametrize("seconds_left, then", [(5.0, 3.0), (1.0, 0.0), (None, None)])
def test_the_time_at_the_gate_counts(seconds_left: float | None, then: float | None) -> None:
    assert ticket("a", 1, seconds_left=seconds_left).batch_at(102.0).seconds_left == then


def suspect_at(master: Master, worker: str) -> RunBatch:
    """The batch that the worker was sent, which runs alone."""
    (batch,) = master.batches(worker)
    assert batch.alone
    return batch


def test_deaths_of_a_worker_that_had_not_begun_a_suspect_do_not_count() -> None:
    master = Master(quarantine_deaths=3)
    master.join("w0")
    request = master.ask(5)
    assert not master.batches("w0")[0].alone
    for lost in range(10):  # each worker dies of another master's work
        master.join(f"w{lost + 1}")
        master.feed(PeerUnreachable(f"w{lost}"))
        batch = suspect_at(master, f"w{lost + 1}")
    master.done("w10", batch)
    assert isinstance(master.answers[request], list)


def test_deaths_of_a_worker_that_was_told_to_begin_count() -> None:
    master = Master()
    master.join("w0")
    request = master.ask(666)
    for lost in range(3):
        if lost:
            batch = suspect_at(master, f"w{lost}")
            master.say(f"w{lost}", MayRun(batch.batch_id))
            assert master.take(f"w{lost}") == [Go(batch.batch_id)]
        assert request not in master.answers
        master.join(f"w{lost + 1}")
        master.feed(PeerUnreachable(f"w{lost}"))
    results = master.answers[request]
    assert isinstance(results, list)
    assert [failure.code for failure in results] == [Code.DEADLY]


def test_a_worker_that_asks_for_work_of_before_it_was_lost_starts_afresh() -> None:
    """The simulator found it: it was lost before it heard that it was registered, and registered by its second Register
    of the same number. Its suspect of before waited for a Go that nobody gave, and whatever came later behind it."""
    master, other = Master(), "other"
    master.join("w")
    request = master.ask(1)
    (batch,) = master.batches("w")
    master.say("w", MayRun(7))
    assert master.take("w") == [Unregistered()]
    master.join(other)
    again = suspect_at(master, other)
    master.begin(other, again)
    master.done(other, again)
    assert batch.columns == again.columns and master.answers[request] == [(number(1),)]


def test_the_session_asks_for_what_is_open_and_passes_the_answer_on() -> None:
    session = Session(Offer("s", 1, (), "CPU:0", "host", 1), 0.0)
    session.handle(MessageArrived(Registered(3.0, 1)), 0.0)
    batch = RunBatch(5, "m", 1, (("a",),), None, alone=True)
    assert session.handle(MessageArrived(batch), 0.5) == [Run(batch, 1)]
    assert session.handle(TurnCame(1, 5), 0.5) == [Send(MayRun(5))]
    assert session.handle(MessageArrived(Go(5)), 0.5) == [GoAhead(5)]
    session.handle(LinkLost(), 2.0)
    assert session.handle(TurnCame(1, 5), 2.0) == []
    assert session.handle(MessageArrived(Go(5)), 2.0) == []


@pytest.mark.parametrize("seed", [2, 24, 28])
def test_poison_of_one_master_does_not_condemn_what_another_one_sent(seed: int) -> None:
    """These seeds gave innocent instances up when every death counted against all that the worker had."""
    world = World(seed, Plan(masters=2, workers=8, requests=150, duration=4.0, poisons=2, limits=PATIENT))
    world.run()
    check(world)
    given_up = [
        value
        for caller in world.callers.values()
        for answer in caller.answers
        if not isinstance(answer, Failure)
        for value, result in zip(caller.values, answer, strict=True)
        if isinstance(result, Failure) and result.code is Code.DEADLY
    ]
    assert given_up and set(given_up) == {POISON}
