"""What would wait behind a running batch stays with the master until that is nearly done, and takes others along."""

import math

import pytest

from mindspore_serving.cluster.dispatch_events import RequestCancelled, Tick
from mindspore_serving.cluster.messages import BatchDone, Leaving, RunBatch
from mindspore_serving.cluster.moments import Calendar
from tests.cluster.test_dispatcher import Master

FIXED, EACH, TRIP = 0.1, 0.01, 0.02


def seconds(count: int, fixed: float = FIXED) -> float:
    return fixed + EACH * count


def answered(worker: str, master: Master, batch: RunBatch, device_seconds: float | None) -> None:
    master.say(worker, BatchDone(batch.batch_id, batch.columns, {}, device_seconds))


def experienced(*workers: str, tells: bool = True, fixed: float = FIXED, just_in_time: bool = True) -> Master:
    """A master that has seen each of these workers run batches of several sizes."""
    master = Master(just_in_time=just_in_time)
    for worker in workers:
        master.join(worker)
    for count in (1, 2, 4, 3, 1, 4) * len(workers):
        master.ask(*range(count))
        ((worker, batch),) = [(to, message) for to, message in master.sent if isinstance(message, RunBatch)]
        master.sent.clear()
        master.now += seconds(count, fixed) + TRIP
        answered(worker, master, batch, seconds(count, fixed) if tells else None)
    return master


def test_it_leaves_when_the_running_one_is_nearly_done_and_takes_along_who_has_come() -> None:
    master = experienced("a")
    start = master.now
    master.ask(1)
    assert len(master.batches("a")) == 1
    for value in (2, 3):
        master.now += 0.01
        master.ask(value)
    assert not master.batches("a")
    due = master.dispatcher.next_wakeup()
    assert due is not None
    assert due == pytest.approx(start + seconds(1), abs=1e-3)
    master.now = due
    master.feed(Tick())
    (batch,) = master.batches("a")
    assert batch.count == 2


def test_behind_two_it_is_as_late_as_both_take() -> None:
    master = experienced("a")
    start = master.now
    master.ask(1)
    running = master.batches("a")[0]
    master.ask(2)
    master.now = start + seconds(1)
    master.feed(Tick())
    assert len(master.batches("a")) == 1
    master.ask(3)  # there is no room for a third
    master.now = start + seconds(1) + TRIP
    answered("a", master, running, seconds(1))
    assert not master.batches("a")
    assert master.dispatcher.next_wakeup() == pytest.approx(start + 2 * seconds(1), abs=2e-3)


def test_when_the_answer_comes_sooner_it_leaves_then() -> None:
    master = experienced("a")
    master.ask(1)
    running = master.batches("a")[0]
    master.ask(2)
    master.now += seconds(1) / 2
    answered("a", master, running, seconds(1) / 2)
    assert len(master.batches("a")) == 1


def test_a_full_batch_leaves_at_once() -> None:
    master = experienced("a")
    master.ask(1)
    master.ask(2, 3, 4)
    assert [batch.count for batch in master.batches("a")] == [1]
    master.ask(5)
    assert [batch.count for batch in master.batches("a")] == [4]


@pytest.mark.parametrize(
    "master",
    [experienced("a", tells=False), experienced("a", fixed=0.0), experienced("a", just_in_time=False)],
    ids=["nobody tells how long the device is taken", "a larger batch gains nothing", "as soon as there is room"],
)
def test_nothing_is_held_where(master: Master) -> None:
    master.ask(1)
    master.ask(2)
    assert [batch.count for batch in master.batches("a")] == [1, 1]


def test_it_goes_to_who_is_ready_first() -> None:
    master = experienced("a", "b")
    master.ask(1, 2, 3, 4)
    master.now += 0.01
    master.ask(5)
    running = {to: message.count for to, message in master.sent if isinstance(message, RunBatch)}
    assert sorted(running.values()) == [1, 4]
    (quick,) = [to for to, count in running.items() if count == 1]
    master.sent.clear()
    master.ask(6)
    assert not master.sent
    master.now += seconds(1)
    master.feed(Tick())
    assert [to for to, message in master.sent if isinstance(message, RunBatch)] == [quick]


def test_who_leaves_while_it_is_held_leaves_nothing_behind() -> None:
    master = experienced("a")
    master.ask(1)
    master.take("a")
    held = master.ask(2)
    master.feed(RequestCancelled(held))
    master.now += seconds(1)
    master.feed(Tick())
    assert not master.batches("a")


def test_what_is_held_goes_elsewhere_when_its_replica_drains() -> None:
    master = experienced("a")
    master.ask(1)
    master.take("a")
    master.ask(2)
    master.join("b")
    assert len(master.batches("b")) == 1
    master.ask(3)
    master.say("a", Leaving())
    master.now += seconds(1)
    master.feed(Tick())
    assert not master.batches("a")
    assert len(master.batches("b")) == 1


def test_a_longer_way_is_learned_slowly_and_a_shorter_one_quickly() -> None:
    """A batch may have waited on its way: a trip that seems longer than it is makes the next one leave too soon."""
    master = experienced("a")
    for _ in range(20):
        master.ask(1)
        running = master.batches("a")[0]
        master.now += seconds(1) + 10 * TRIP
        answered("a", master, running, seconds(1))
    master.ask(1)
    running = master.batches("a")[0]
    master.ask(2, 3, 4, 5)  # a full batch leaves at once
    master.now += seconds(1) + TRIP
    answered("a", master, running, seconds(1))
    master.ask(6)
    due = master.dispatcher.next_wakeup()
    assert due is not None
    trip = master.now + seconds(4) - due
    assert 1.5 * TRIP < trip < 3 * TRIP


def test_a_calendar_knows_who_comes_first() -> None:
    calendar = Calendar[str]()
    assert (calendar.first(), calendar.next(), len(calendar)) == (None, None, 0)
    for key, moment in (("b", 2.0), ("a", 1.0), ("c", 3.0), ("a", 4.0)):
        calendar.put(key, moment)
    assert (calendar.first(), calendar.next(), calendar.get("a"), len(calendar)) == ("b", 2.0, 4.0, 3)
    calendar.remove("b")
    assert calendar.take_until(3.5) == ["c"]
    assert calendar.take_until(4.0) == ["a"]
    assert calendar.take_until(9.0) == []
    calendar.remove("nobody")


def test_a_calendar_forgets_the_moments_that_were_put_off() -> None:
    calendar = Calendar[int]()
    for turn in range(10_000):
        calendar.put(turn % 3, float(turn))
    assert len(calendar._heap) < 300
    assert calendar.take_until(9_998.0) == [9_997 % 3, 9_998 % 3]
    assert calendar.next() == 9_999.0


def test_when_the_next_answer_comes_is_known_from_the_last_ones() -> None:
    master = experienced("a")
    assert master.dispatcher.next_answer_at() == -math.inf  # nothing is open
    start = master.now
    master.ask(1, 2)
    assert master.dispatcher.next_answer_at() == pytest.approx(start + seconds(2) + TRIP, abs=1e-3)
    running = master.batches("a")[0]
    master.ask(3)
    master.now = start + seconds(2)
    master.feed(Tick())
    assert len(master.batches("a")) == 1  # behind the first one, whose answer comes first
    assert master.dispatcher.next_answer_at() == pytest.approx(start + seconds(2) + TRIP, abs=1e-3)
    master.now = start + seconds(2) + TRIP
    answered("a", master, running, seconds(2))
    assert master.dispatcher.next_answer_at() == pytest.approx(master.now + seconds(1), abs=1e-3)


def test_of_several_workers_the_first_to_answer_counts() -> None:
    master = experienced("a", "b")
    start = master.now
    master.ask(1, 2, 3, 4)
    master.now += 0.01
    master.ask(5)
    assert master.dispatcher.next_answer_at() == pytest.approx(start + 0.01 + seconds(1) + TRIP, abs=1e-3)


def test_an_answer_may_come_at_any_time_where_nothing_is_known_or_many_work() -> None:
    silent = experienced("a", tells=False)
    silent.ask(1)
    assert silent.dispatcher.next_answer_at() == -math.inf
    many = experienced(*"abcd")
    many.ask(1)
    assert many.dispatcher.next_answer_at() > many.now
    many.join("e")
    assert many.dispatcher.next_answer_at() == -math.inf
