"""What becomes of the work of workers that are lost."""

import pytest

from mindspore_serving.cluster.dispatch_events import ConnectionDropped, MessageReceived, PeerUnreachable, Tick
from mindspore_serving.cluster.errors import Code, Failure
from mindspore_serving.cluster.members import PROBE_SECONDS
from mindspore_serving.cluster.messages import BatchDone, Leaving, Probe, Released, RunBatch
from mindspore_serving.cluster.tensors import from_column
from tests.cluster.sim_worker import number, value_of
from tests.cluster.test_dispatcher import Master, counts


@pytest.fixture
def master() -> Master:
    master = Master()
    master.join("a")
    return master


def values_of(batch: RunBatch) -> list[int]:
    return [value_of(value) for value in from_column(batch.columns[0])]


def test_an_instance_that_is_given_up_stays_so_when_its_request_moves_to_another_version() -> None:
    """Simulator seed 573: it went on killing the workers of two versions in turn, for ever."""
    master = Master()
    master.join("a", version=2)
    master.join("b", version=1)
    request = master.ask(666, 5)
    (both,) = master.batches("a")
    assert both.count == 2
    master.feed(PeerUnreachable("a"))  # version 1 is left: it starts again there, apart
    master.join("c", version=2)
    (alone,) = master.batches("b")
    assert values_of(alone) == [666]
    master.begin("b", alone)
    master.feed(PeerUnreachable("b"))
    master.join("d", version=1)
    (alone,) = master.batches("c")
    assert values_of(alone) == [666]
    master.begin("c", alone)
    master.feed(PeerUnreachable("c"))  # the third death
    (alone,) = master.batches("d")
    assert values_of(alone) == [5]
    master.done("d", alone)
    results = master.answers[request]
    assert isinstance(results, list)
    assert isinstance(results[0], Failure) and results[0].code is Code.DEADLY
    assert results[1] == (number(5),)
    assert master.dispatcher.open_requests == 0


def test_a_replica_that_leaves_gets_nothing_more_while_another_serves(master: Master) -> None:
    master.join("b")
    master.ask(1)
    (running,) = master.batches("a")
    master.say("a", Leaving())
    for value in range(8):
        master.ask(value)
    assert counts(master.batches("b")) == [1, 1] and master.batches("a") == []
    master.done("a", running)
    assert master.take("a") == [Released()]


def test_an_instance_whose_worker_died_waits_for_a_replica_that_has_nothing_else(master: Master) -> None:
    master.ask(1)
    master.take("a")
    master.join("b")
    master.ask(2)
    (other,) = master.batches("b")
    master.feed(PeerUnreachable("a"))
    assert master.batches("b") == []  # there would be room behind the other
    master.done("b", other)
    (alone,) = master.batches("b")
    assert values_of(alone) == [1]


def test_replicas_that_leave_take_what_waits_when_no_other_is_left(master: Master) -> None:
    master.join("b")
    for value in range(3):
        master.ask(value)  # two for the one, one for the other
    full, half = ("a", "b") if len(master.batches("a")) == 2 else ("b", "a")
    master.take(half)
    master.say(half, Leaving())
    master.ask(7)
    assert master.batches(half) == []
    master.say(full, Leaving())
    (taken,) = master.batches(half)
    assert values_of(taken) == [7]


def test_one_version_answers_all_of_a_request(master: Master) -> None:
    master.join("b", version=2)
    request = master.ask(1, 2, 3, 4, 5)
    first, _ = master.batches("b")
    master.done("b", first)  # four of five
    master.feed(PeerUnreachable("b"))
    ran: list[int] = []
    while batches := master.batches("a"):
        for batch in batches:
            ran += values_of(batch)
            master.done("a", batch)
    assert sorted(ran) == [1, 2, 3, 4, 5]
    assert master.answers[request] == [(number(value),) for value in (1, 2, 3, 4, 5)]


def test_lost_work_runs_again_in_its_old_order(master: Master) -> None:
    request, other = master.ask(1, 2, 3, 4), master.ask(5, 6)
    master.take("a")
    master.join("b")
    master.feed(PeerUnreachable("a"))
    ran: list[int] = []
    while batches := master.batches("b"):
        for batch in batches:
            ran += values_of(batch)
            master.done("b", batch)
    assert ran == [1, 2, 3, 4, 5, 6]
    assert master.answers[request] == [(number(value),) for value in (1, 2, 3, 4)]
    assert master.answers[other] == [(number(5),), (number(6),)]


def test_an_answer_to_a_batch_that_is_answered_already_is_ignored(master: Master) -> None:
    request = master.ask(1)
    (batch,) = master.batches("a")
    master.done("a", batch)
    answer = master.answers[request]
    assert master.feed(MessageReceived("a", BatchDone(batch.batch_id, ()))) == []
    assert master.answers == {request: answer}


def test_many_connections_that_drop_at_once_are_asked_for_together(master: Master) -> None:
    """A look at all workers for each of a thousand would hold the master up."""
    master.ask(1)
    master.take("a")
    probes = 0
    for _ in range(100):
        master.feed(ConnectionDropped())
        probes += len(master.take("a"))
    assert probes == 1
    for _ in range(20):  # one every millisecond: they put nothing off
        master.now += 0.001
        master.feed(ConnectionDropped())
        probes += len(master.take("a"))
    assert probes == 3
    while (wakeup := master.dispatcher.next_wakeup()) is not None and wakeup < master.now + 1:
        master.now = wakeup
        master.feed(Tick())
    assert master.take("a") == [Probe()] * len(PROBE_SECONDS)  # the usual ones after the last
