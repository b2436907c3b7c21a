"""What was lost with a servable's last worker waits for the next one, alone from then on."""

from collections.abc import Sequence

from mindspore_serving.cluster.dispatch_events import (
    Draining,
    MessageReceived,
    PeerUnreachable,
    Report,
    RequestCancelled,
    Tick,
)
from mindspore_serving.cluster.errors import Code, Failure
from mindspore_serving.cluster.messages import BatchDone, Heartbeat, MethodSpec
from tests.cluster.sim_worker import number
from tests.cluster.test_dispatcher import ECHO, Master, counts


def orphaned(*values: int, version: int = 0, deadline: float | None = None) -> tuple[Master, int]:
    """A master whose only worker has died while it ran a request of these values."""
    master = Master()
    master.join("a")
    request = master.ask(*values, version=version, deadline=deadline)
    assert master.batches("a")
    master.feed(PeerUnreachable("a"))
    assert request not in master.answers
    return master, request


def run_alone(master: Master, worker: str) -> None:
    (batch,) = master.batches(worker)
    assert batch.alone and batch.count == 1
    master.begin(worker, batch)
    master.done(worker, batch)


def refusal(master: Master, request: int) -> str:
    failure = master.answers[request]
    assert isinstance(failure, Failure) and failure.code is Code.INVALID_INPUTS
    return failure.text


def test_the_next_worker_runs_what_was_lost_with_the_last_one() -> None:
    master, request = orphaned(1, 2)
    master.join("b")
    run_alone(master, "b")
    run_alone(master, "b")
    assert master.answers[request] == [(number(1),), (number(2),)]
    assert master.dispatcher.open_requests == 0


def test_what_kills_the_only_worker_kills_three_and_no_more() -> None:
    """Told "not available", its caller would send it again, and three more would die of it, and so on."""
    master, request = orphaned(666)
    for name in "bc":
        master.join(name)
        (batch,) = master.batches(name)
        master.begin(name, batch)
        master.feed(PeerUnreachable(name))
    results = master.answers[request]
    assert isinstance(results, list) and isinstance(results[0], Failure) and results[0].code is Code.DEADLY
    master.join("d")
    assert master.batches("d") == []


def test_what_had_not_begun_is_told_at_once() -> None:
    """Its caller may ask again, wherever it likes: no worker was lost over it."""
    master = Master()
    master.join("a")
    requests = [master.ask(value) for value in range(4)]  # one runs, one is sent, two wait
    assert counts(master.batches("a")) == [1, 1]
    master.feed(PeerUnreachable("a"))
    assert [request for request in requests if request in master.answers] == requests[2:]
    assert refusal(master, requests[3]) == "Request servable(s) method(echo) , servable is not available"


def test_it_waits_so_long_and_is_told_then() -> None:
    master, request = orphaned(1)
    assert master.dispatcher.next_wakeup() == master.now + 60.0
    master.now += 60.0
    master.feed(Tick())
    assert refusal(master, request) == "Request servable(s) method(echo) , servable is not available"
    assert master.dispatcher.next_wakeup() is None and master.dispatcher.open_requests == 0


def test_its_deadline_holds_meanwhile() -> None:
    master, request = orphaned(1, deadline=107.0)
    assert master.dispatcher.next_wakeup() == 107.0
    master.now = 107.0
    master.feed(Tick())
    failure = master.answers[request]
    assert isinstance(failure, Failure) and failure.code is Code.DEADLINE_PASSED
    master.join("b")
    assert master.batches("b") == []


def test_a_caller_who_gives_up_is_forgotten() -> None:
    master, request = orphaned(1)
    master.feed(RequestCancelled(request))
    master.join("b")
    assert master.batches("b") == [] and master.dispatcher.open_requests == 0


def test_another_version_takes_what_left_the_choice_to_us_and_nothing_else() -> None:
    master, _ = orphaned(1, version=1)
    master.join("b", version=2)
    assert master.batches("b") == []
    master, _ = orphaned(1)
    master.join("b", version=2)
    assert counts(master.batches("b")) == [1]


def test_a_worker_with_other_inputs_does_not_get_it() -> None:
    changed: Sequence[MethodSpec] = (MethodSpec("echo", ("x", "more"), ("y",), 4), MethodSpec("new", ("x",), ("y",), 4))
    master, request = orphaned(1)
    master.join("b", methods=changed)
    assert refusal(master, request).endswith("servable is not available") and master.batches("b") == []


def test_a_worker_without_its_method_leaves_it_waiting() -> None:
    master, request = orphaned(1)
    master.join("b", methods=(MethodSpec("new", ("x",), ("y",), 4),))
    assert request not in master.answers and master.batches("b") == []
    master.feed(PeerUnreachable("b"))
    master.join("c", methods=(ECHO,))
    run_alone(master, "c")
    assert master.answers[request] == [(number(1),)]


def test_workers_without_its_method_do_not_prolong_its_wait_and_the_log_tells_of_it_once() -> None:
    """Each event of theirs did both: a master with such workers wrote a line for every call."""
    master, request = orphaned(1)
    new = MethodSpec("new", ("x",), ("y",), 4)
    master.join("b", version=2, methods=(new,))
    reports: list[str] = []
    while request not in master.answers:
        assert master.now < 161.0, "it waits longer than 60 s"
        master.ask(2, method="new")
        (batch,) = master.batches("b")
        actions = master.feed(MessageReceived("b", BatchDone(batch.batch_id, batch.columns)))
        reports += [it.text for it in actions if isinstance(it, Report)]
        master.now += 10.0
        master.feed(Tick())
        master.say("b", Heartbeat())
        master.join("b", version=2, methods=(new,), number=int(master.now))
        master.take("b")
    assert refusal(master, request) and reports == []


def test_it_is_told_in_the_log_once() -> None:
    master = Master()
    master.join("a")
    for value in range(2):
        master.ask(value)
    reports = [it.text for it in master.feed(PeerUnreachable("a")) if isinstance(it, Report)]
    assert reports[1:] == [
        "servable s version 1 has no worker left: what was lost with the last one waits 60 s for another"
    ]


def test_what_lost_a_silent_worker_runs_there_when_it_speaks_again() -> None:
    master = Master()
    master.join("a")
    request = master.ask(1)
    assert master.batches("a")
    master.now += 3.1
    master.feed(Tick())
    assert request not in master.answers
    master.say("a", Heartbeat())  # it is told to register again
    master.join("a", number=2)
    run_alone(master, "a")
    assert master.answers[request] == [(number(1),)]


def test_a_master_that_stops_keeps_nobody_waiting_for_a_worker() -> None:
    master, request = orphaned(1)
    master.feed(Draining())
    assert refusal(master, request).endswith("servable is not available")
    assert master.dispatcher.next_wakeup() is None and master.dispatcher.open_requests == 0


def test_what_a_stopping_master_loses_with_its_last_worker_is_told_at_once() -> None:
    master = Master()
    master.join("a")
    request = master.ask(1)
    master.feed(Draining())
    assert request not in master.answers
    master.feed(PeerUnreachable("a"))
    assert refusal(master, request).endswith("servable is not available")
