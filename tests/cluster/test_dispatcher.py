"""The dispatcher, one fact at a time (the simulator covers their combinations)."""

from collections.abc import Sequence
from typing import Any

import pytest

from mindspore_serving.cluster.dispatch_events import (
    Action,
    Answer,
    Arrival,
    ConnectionDropped,
    Limits,
    MessageReceived,
    NonsenseReceived,
    PeerUnreachable,
    RequestCancelled,
    RequestsArrived,
    Send,
    Tick,
)
from mindspore_serving.cluster.dispatcher import Dispatcher
from mindspore_serving.cluster.errors import Code, Failure, RequestRefused
from mindspore_serving.cluster.members import PROBE_SECONDS
from mindspore_serving.cluster.messages import (
    BatchDone,
    Condemned,
    Credit,
    CreditKept,
    FromMaster,
    FromWorker,
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
from mindspore_serving.cluster.tensors import Stacked, from_column, to_columns
from tests.cluster.sim_worker import number

ECHO = MethodSpec("echo", ("x",), ("y",), 4)
OTHER = MethodSpec("other", ("x",), ("y",), 4)


class Master:
    """A dispatcher with a hand on its clock."""

    def __init__(self, siblings: tuple[int, ...] = (), **limits: Any) -> None:
        self.dispatcher = Dispatcher(Limits(**limits), siblings)
        self.now = 100.0
        self.sent: list[tuple[str, FromMaster]] = []
        self.answers: dict[int, object] = {}
        self._requests = 0

    def feed(self, event: object) -> list[Action]:
        actions = self.dispatcher.handle(event, self.now)  # type: ignore[arg-type]
        self.sent += [(action.worker_id, action.message) for action in actions if isinstance(action, Send)]
        for action in actions:
            if isinstance(action, Answer):
                assert action.request_id not in self.answers, "answered twice"
                results = action.results
                self.answers[action.request_id] = results if isinstance(results, Failure) else results.each()
        return actions

    def say(self, worker: str, message: FromWorker) -> None:
        self.feed(MessageReceived(worker, message))

    def join(
        self, worker: str, version: int = 1, methods: Sequence[MethodSpec] = (ECHO, OTHER), number: int = 1
    ) -> None:
        self.say(worker, Register(number, "s", version, tuple(methods), "CPU:0", "host", 1))

    def ask(self, *values: int, method: str = "echo", version: int = 0, deadline: float | None = None) -> int:
        self._requests += 1
        route, spec = self.dispatcher.resolve("s", version, method)
        columns = to_columns([(number(value),) for value in values])
        arrival = Arrival(self._requests, version, route, spec, len(values), columns, 8 * len(values), deadline)
        self.feed(RequestsArrived([arrival]))
        return self._requests

    def take(self, worker: str) -> list[FromMaster]:
        """What was sent to this worker since the last take."""
        mine = [message for to, message in self.sent if to == worker]
        self.sent = [(to, message) for to, message in self.sent if to != worker]
        return mine

    def batches(self, worker: str) -> list[RunBatch]:
        return [message for message in self.take(worker) if isinstance(message, RunBatch)]

    def begin(self, worker: str, batch: RunBatch) -> None:
        """The worker runs it from now on."""
        if batch.alone:
            self.say(worker, MayRun(batch.batch_id))

    def done(self, worker: str, batch: RunBatch) -> None:
        self.say(worker, BatchDone(batch.batch_id, batch.columns))


@pytest.fixture
def master() -> Master:
    master = Master()
    master.join("a")
    return master


def counts(batches: Sequence[RunBatch]) -> list[int]:
    return [batch.count for batch in batches]


def test_a_lone_request_is_dispatched_at_once_and_answered(master: Master) -> None:
    request = master.ask(1, 2)
    (batch,) = master.batches("a")
    assert batch.count == 2 and isinstance(batch.columns[0], Stacked)
    master.done("a", batch)
    assert master.answers[request] == [(number(1),), (number(2),)]
    assert master.dispatcher.open_requests == 0


def test_requests_are_joined_and_split_while_all_replicas_are_busy(master: Master) -> None:
    for _ in range(2):
        master.ask(0)  # one running, one waiting: the window is full
    master.ask(1, 2, 3)
    master.ask(4, 5, 6)
    running, waiting = master.batches("a")
    master.done("a", running)
    master.done("a", waiting)
    assert counts(master.batches("a")) == [4, 2]


def test_the_replica_with_the_fewest_open_batches_is_chosen(master: Master) -> None:
    master.join("b")
    for value in range(4):
        master.ask(value)
    assert counts(master.batches("a")) == counts(master.batches("b")) == [1, 1]


def test_methods_take_turns(master: Master) -> None:
    for _ in range(2):
        master.ask(0)
    master.ask(*range(8))
    master.ask(1, method="other")
    for batch in master.batches("a"):
        master.done("a", batch)
    assert [batch.method for batch in master.batches("a")] == ["echo", "other"]


def test_a_lost_replicas_batches_run_elsewhere_before_what_waits(master: Master) -> None:
    master.join("b")
    first = master.ask(1)
    (batch,) = master.batches("a")
    master.feed(PeerUnreachable("a"))
    (again,) = master.batches("b")
    assert list(from_column(again.columns[0])) == [number(1)]
    master.done("a", batch)  # late: ignored
    assert master.take("a") == [Unregistered()]
    assert first not in master.answers
    master.done("b", again)
    assert master.answers[first] == [(number(1),)]


def test_heartbeats_that_are_heard_late_but_before_a_tick_renew_their_leases(master: Master) -> None:
    master.join("b")
    master.now += 5.0
    master.say("a", Heartbeat())
    master.say("b", Heartbeat())
    master.feed(Tick())
    for value in range(2):
        master.ask(value)
    assert counts(master.batches("a")) == counts(master.batches("b")) == [1]


def test_a_silent_replica_is_lost_when_its_lease_runs_out() -> None:
    master = Master(orphan_seconds=0)
    master.join("a")
    request = master.ask(1)
    assert master.dispatcher.next_wakeup() == master.now + 1.5
    master.now += 1.5
    master.feed(Tick())
    assert master.dispatcher.next_wakeup() == master.now + 1.5
    master.now += 0.5
    master.say("a", Heartbeat())
    master.now += 2.9
    master.feed(Tick())
    assert request not in master.answers
    master.now += 0.2
    master.feed(Tick())
    assert master.answers[request] == Failure(
        Code.INVALID_INPUTS, "Request servable(s) method(echo) , servable is not available"
    )


def test_a_dropped_connection_makes_the_master_probe_those_with_open_batches_and_at_last_all(master: Master) -> None:
    master.join("b")
    master.ask(1)
    master.take("a")
    master.take("b")
    master.feed(ConnectionDropped())
    assert (master.take("a"), master.take("b")) == ([Probe()], [])
    # Again a moment later: the transport may tell of the drop before it knows whose it was.
    for seconds in PROBE_SECONDS[1:]:
        wakeup = master.dispatcher.next_wakeup()
        assert wakeup == 100.0 + seconds
        master.now = wakeup
        master.feed(Tick())
        is_last = seconds == PROBE_SECONDS[-1]
        assert (master.take("a"), master.take("b")) == ([Probe()], [Probe()] if is_last else [])
    assert master.dispatcher.next_wakeup() == 101.5


def test_an_instance_whose_worker_died_runs_alone_from_then_on(master: Master) -> None:
    master.join("b")
    request = master.ask(1, 2)
    loser, keeper = ("a", "b") if master.batches("a") else ("b", "a")
    master.take(keeper)
    master.feed(PeerUnreachable(loser))
    (alone,) = master.batches(keeper)
    assert alone.count == 1
    master.ask(7)
    assert master.batches(keeper) == []  # nothing else while it runs
    master.done(keeper, alone)
    (alone,) = master.batches(keeper)
    assert alone.count == 1
    master.done(keeper, alone)
    assert master.answers[request] == [(number(1),), (number(2),)]


def test_an_instance_that_outlives_its_attempts_fails_with_a_reason() -> None:
    master = Master()
    for name in "abc":
        master.join(name)
    request = master.ask(666)
    for _ in range(3):
        ((loser, batch),) = [(to, m) for to, m in master.sent if isinstance(m, RunBatch)]
        master.begin(loser, batch)
        master.sent.clear()
        master.feed(PeerUnreachable(loser))
    results = master.answers[request]
    assert isinstance(results, list)
    (failure,) = results
    assert failure.code is Code.DEADLY and "the worker died 3 times" in failure.text


def test_a_worker_that_is_lost_again_and_again_without_dying_counts_once() -> None:
    master = Master()
    for name in "ab":
        master.join(name)
    request = master.ask(5)
    for registration in range(2, 8):
        ((holder, batch),) = [(to, m) for to, m in master.sent if isinstance(m, RunBatch)]
        master.begin(holder, batch)
        master.sent.clear()
        master.feed(PeerUnreachable(holder))
        master.join(holder, number=registration)  # the same process: it only lost its connection
    ((holder, batch),) = [(to, m) for to, m in master.sent if isinstance(m, RunBatch)]
    master.done(holder, batch)
    assert master.answers[request] == [(number(5),)]


def test_silence_counts_half_a_death() -> None:
    master = Master(quarantine_deaths=100)
    master.join("w0")
    request = master.ask(5)
    for lost in range(6):
        assert request not in master.answers, f"given up after {lost} silences"
        (batch,) = master.batches(f"w{lost}")
        master.begin(f"w{lost}", batch)
        master.now += 2.0
        master.join(f"w{lost + 1}")  # the next one, which is heard of
        master.now += 1.2
        master.feed(Tick())
    results = master.answers[request]
    assert isinstance(results, list) and results[0].code is Code.DEADLY


def test_a_failed_instance_does_not_spoil_its_neighbours(master: Master) -> None:
    request = master.ask(1, 2, 3)
    (batch,) = master.batches("a")
    failure = Failure(Code.INVALID_INPUTS, "bad")
    column = Stacked("<i8", (2,), number(1).data + number(3).data)  # type: ignore[operator]
    master.say("a", BatchDone(batch.batch_id, (column,), {1: failure}))
    assert master.answers[request] == [(number(1),), failure, (number(3),)]


@pytest.mark.parametrize(
    "columns, failures",
    [((), {}), ((Stacked("<i8", (3,), bytes(24)),), {}), ((), {9: Failure(Code.FAILED, "x")})],
)
def test_an_answer_that_does_not_fit_costs_the_worker_its_registration(
    master: Master, columns: tuple[Stacked, ...], failures: dict[int, Failure]
) -> None:
    master.join("b")
    master.ask(1)
    (batch,) = master.batches("a")
    master.take("b")
    master.say("a", BatchDone(batch.batch_id, columns, failures))
    assert master.take("a") == [Unregistered()]
    assert counts(master.batches("b")) == [1]


def test_a_worker_that_says_what_cannot_be_read_while_it_has_work_loses_it(master: Master) -> None:
    """It may have been the answer, and a worker that lives on keeps its lease: it would be waited for without end."""
    master.take("a")
    master.feed(NonsenseReceived("a"))
    master.feed(NonsenseReceived("stranger"))
    assert master.take("a") == []  # nothing is waited for
    master.join("b")
    master.ask(1)
    (batch,) = master.batches("a")
    master.take("b")
    master.feed(NonsenseReceived("a"))
    assert master.take("a") == [Unregistered()]
    assert [again.columns for again in master.batches("b")] == [batch.columns]


def test_work_that_a_worker_cannot_read_runs_elsewhere_and_is_given_up_in_the_end(master: Master) -> None:
    """Its worker drops it: it would be waited for without end, and hold a place there."""
    master.take("a")
    master.say("a", NotUnderstood())
    assert master.take("a") == []  # that was no work
    request = master.ask(1)
    for _ in range(Limits().max_attempts):
        assert counts(master.batches("a")) == [1]
        master.say("a", NotUnderstood())
        assert master.take("a") == [Unregistered()]
        master.join("a")
    results = master.answers[request]
    assert isinstance(results, list)
    assert [failure.code for failure in results] == [Code.DEADLY]
    assert master.batches("a") == []


def test_version_0_is_the_newest_ready_one_and_falls_back() -> None:
    master = Master()
    master.join("old", version=9)
    master.join("new", version=10)
    master.ask(1)
    assert counts(master.batches("new")) == [1]
    master.say("new", Goodbye())
    # The request had no answer yet: the older version serves it, and the next ones.
    (batch,) = master.batches("old")
    master.done("old", batch)
    master.ask(2)
    assert counts(master.batches("old")) == [1]


def test_an_explicit_version_does_not_fall_back() -> None:
    master = Master(orphan_seconds=0)
    master.join("old", version=1)
    master.join("new", version=2)
    request = master.ask(1, version=2)
    master.say("new", Goodbye())
    assert master.answers[request] == Failure(
        Code.INVALID_INPUTS, "Request servable(s) method(echo)  version(2) , servable is not available"
    )


@pytest.mark.parametrize(
    "servable, version, method, code, text",
    [
        ("nope", 0, "echo", 2, "Request servable(nope) method(echo) , servable is not available"),
        ("s", 7, "echo", 2, "Request servable(s) method(echo)  version(7) , servable is not available"),
        ("s", 0, "nope", 2, "Request servable(s) method(nope) , method is not available"),
    ],
)
def test_what_cannot_be_resolved_is_named(
    master: Master, servable: str, version: int, method: str, code: int, text: str
) -> None:
    with pytest.raises(RequestRefused) as refused:
        master.dispatcher.resolve(servable, version, method)
    assert refused.value.failure == Failure(Code(code), text)


def test_a_servable_whose_workers_have_gone_is_told_from_an_unknown_one(master: Master) -> None:
    master.say("a", Goodbye())
    with pytest.raises(RequestRefused) as refused:
        master.dispatcher.resolve("s", 0, "echo")
    assert refused.value.failure.code == Code.SERVABLE_UNAVAILABLE


def test_a_draining_replica_finishes_and_is_released(master: Master) -> None:
    master.join("b")
    master.ask(1)
    (batch,) = master.batches("a")
    master.say("a", Leaving())
    assert Released() not in master.take("a")
    master.ask(2)
    assert counts(master.batches("b")) == [1]
    master.done("a", batch)
    assert master.take("a") == [Released()]


def test_the_last_replica_serves_what_waits_before_it_leaves(master: Master) -> None:
    requests = [master.ask(value) for value in range(3)]
    master.say("a", Leaving())
    while batches := master.batches("a"):
        for batch in batches:
            master.done("a", batch)
    assert sorted(master.answers) == requests
    with pytest.raises(RequestRefused):
        master.ask(9)


def test_too_many_requests_are_refused_at_once() -> None:
    master = Master(max_enqueued_requests=2)
    master.join("a")
    for value in range(3):
        master.ask(value)
    text = "Serving Error: enqueued requests count exceeds the limit 2"
    assert master.answers == {3: Failure(Code.TOO_MANY_REQUESTS, text)}


def test_too_many_requests_are_refused_also_where_another_version_has_nothing_to_do() -> None:
    """Compiled, the master took it for an error that nothing waits there, and answered nobody."""
    master = Master(max_enqueued_requests=2)
    for worker, version in (("a", 1), ("b", 2)):
        master.join(worker, version)
        master.ask(1, version=version)
        (batch,) = master.batches(worker)
        master.done(worker, batch)
    failure = master.answers[[master.ask(1, version=2) for _ in range(3)][-1]]
    assert isinstance(failure, Failure) and failure.code is Code.TOO_MANY_REQUESTS


def test_too_many_bytes_are_refused_at_once() -> None:
    master = Master(max_enqueued_bytes=20)
    master.join("a")
    for value in range(3):
        master.ask(value)
    assert list(master.answers) == [3]


def test_a_cancelled_request_leaves_the_queue(master: Master) -> None:
    for _ in range(2):
        master.ask(0)
    gone = master.ask(1)
    master.feed(RequestCancelled(gone))
    for batch in master.batches("a"):
        master.done("a", batch)
    assert master.batches("a") == [] and gone not in master.answers and master.dispatcher.open_requests == 0


def test_an_expired_request_never_reaches_a_device(master: Master) -> None:
    for _ in range(2):
        master.ask(0)
    late = master.ask(1, deadline=master.now + 0.5)
    assert master.dispatcher.next_wakeup() == master.now + 0.5
    master.now += 0.5
    master.feed(Tick())
    assert isinstance(master.answers[late], Failure)
    for batch in master.batches("a"):
        master.done("a", batch)
    assert master.batches("a") == []


def test_a_batch_says_how_long_its_last_caller_waits(master: Master) -> None:
    master.ask(1, deadline=master.now + 2.0)
    master.ask(2)
    assert [batch.seconds_left for batch in master.batches("a")] == [2.0, Limits().default_timeout_seconds]


def test_a_repeated_register_changes_nothing_and_a_new_one_starts_afresh(master: Master) -> None:
    master.ask(1)
    master.take("a")
    master.join("a", number=1)
    assert master.take("a") == [Registered(3.0, 1)]
    master.join("a", number=2)
    assert counts(master.batches("a")) == [1]  # what was open had been lost with the connection


def test_a_worker_that_registers_is_told_of_the_masters_other_processes() -> None:
    dispatcher = Dispatcher(Limits(), (6501, 6502))
    register = Register(1, "s", 1, (ECHO,), "CPU:0", "host", 1)
    sent = [action for action in dispatcher.handle(MessageReceived("a", register), 0.0) if isinstance(action, Send)]
    assert [action.message for action in sent] == [Registered(3.0, 1, (6501, 6502))]
    assert dispatcher.worker_count == 1
    dispatcher.handle(MessageReceived("a", Goodbye()), 0.0)
    assert dispatcher.worker_count == 0


def test_the_same_version_with_other_methods_is_refused_with_what_to_do(master: Master) -> None:
    master.join("b", methods=[ECHO])
    (refused,) = master.take("b")
    assert isinstance(refused, Refused) and "give the changed servable a new version number" in refused.reason
    master.say("a", Goodbye())
    master.join("b", methods=[ECHO])
    assert master.take("b") == [Registered(3.0, 1)]


def test_workers_that_are_restarted_one_by_one_bring_other_batch_sizes_at_once(master: Master) -> None:
    """Those of the first worker counted for as long as any other one was left."""
    master.ask(*range(20))
    assert counts(master.batches("a")) == [4, 4], "and twelve wait, for longer than the worker of before is here"
    master.join("b", methods=(MethodSpec("echo", ("x",), ("y",), 8), OTHER))
    first, _ = master.batches("b")
    master.ask(*range(40))  # behind four that have waited since before it came
    master.done("b", first)
    assert counts(master.batches("b")) == [8]


def test_a_method_that_may_run_once_since_its_workers_were_restarted_is_not_tried_again(master: Master) -> None:
    """The worker of before, which says otherwise, may even come once more before it goes."""
    for name in ("new", "newer"):
        master.join(name, methods=(MethodSpec("echo", ("x",), ("y",), 4, idempotent=False), OTHER))
    master.join("a", number=2)
    master.say("a", Goodbye())
    request = master.ask(1)
    master.feed(PeerUnreachable("new"))
    results = master.answers[request]
    assert isinstance(results, list) and results[0].code is Code.WORKER_UNAVAILABLE


def test_a_stranger_is_told_to_register(master: Master) -> None:
    master.say("stranger", Heartbeat())
    assert master.take("stranger") == [Unregistered()]
    master.say("stranger", Leaving())
    assert master.take("stranger") == [Released()]


def busy(master: Master, seconds: float, times: int = 5) -> None:
    """Batches of one instance that each took so long: the dispatcher knows what they cost."""
    for _ in range(times):
        master.ask(0)
        (batch,) = master.batches("a")
        master.now += seconds
        master.done("a", batch)


def test_a_worker_whose_device_hangs_is_given_up_and_its_work_runs_elsewhere(master: Master) -> None:
    master.join("b")
    request = master.ask(1)
    assert counts(master.batches("a")) == [1]
    master.say("a", Heartbeat(59.0))
    assert master.take("a") == []
    master.say("a", Heartbeat(61.0))
    assert master.take("a") == [Condemned("it hangs: method echo has been running for 61.0 s")]
    (batch,) = master.batches("b")
    master.done("b", batch)
    assert master.answers[request] == [(number(1),)]


def test_a_method_that_is_known_to_take_long_is_given_longer() -> None:
    master = Master(hang_seconds=1.0)
    master.join("a")
    busy(master, 0.9)
    master.ask(1)
    master.take("a")
    master.say("a", Heartbeat(5.0))
    assert master.take("a") == []
    master.say("a", Heartbeat(9.5))
    assert isinstance(master.take("a")[0], Condemned)


def test_a_replica_that_does_not_get_on_is_stalled_until_it_does(master: Master) -> None:
    busy(master, 0.01)
    master.ask(1)
    (stuck,) = master.batches("a")
    master.say("a", Heartbeat(1.0))
    (health,) = master.dispatcher.health()
    assert not health.ready and health.reason == "all its workers are stalled"
    master.join("b")
    assert master.dispatcher.health()[0].ready
    for value in range(3):
        master.ask(value)
    assert master.batches("a") == []
    master.done("a", stuck)
    assert counts(master.batches("a")) == [1]


def test_a_replica_that_is_silent_for_half_its_lease_gets_nothing_new(master: Master) -> None:
    master.now += 1.6
    master.feed(Tick())
    assert not master.dispatcher.health()[0].ready
    request = master.ask(1)
    assert master.batches("a") == [] and request not in master.answers
    master.say("a", Heartbeat())
    assert counts(master.batches("a")) == [1] and master.dispatcher.health()[0].ready


def test_a_worker_is_never_given_more_than_its_credit(master: Master) -> None:
    for value in range(4):
        master.ask(value)
    first, second = master.batches("a")
    master.say("a", Credit(1))
    assert master.take("a") == [], "two are open: it is not kept yet"
    master.done("a", first)
    assert master.take("a") == [CreditKept(1)]
    master.done("a", second)
    assert counts(master.batches("a")) == [2]
    master.say("a", Credit(2))
    assert master.take("a") == [CreditKept(2)]


ONCE = MethodSpec("once", ("x",), ("y",), 4, idempotent=False)


def test_a_method_that_may_run_once_is_not_tried_again() -> None:
    master = Master()
    for name in "ab":
        master.join(name, methods=(ONCE,))
    request = master.ask(1, 2, method="once")
    waiting = [master.ask(3, method="once") for _ in range(9)]
    master.feed(PeerUnreachable("a"))
    (results,) = [master.answers[request]]
    assert isinstance(results, list)
    for failure in results:
        assert failure.code is Code.WORKER_UNAVAILABLE and "idempotent=False" in failure.text
    master.batches("b")
    assert waiting[-1] not in master.answers, "what waited runs elsewhere"


def test_a_request_that_has_run_in_part_does_not_start_again_at_another_version() -> None:
    master = Master()
    master.join("old", version=1, methods=(ONCE,))
    master.join("new", version=2, methods=(ONCE,))
    request = master.ask(*range(9), method="once")
    (first, *_) = master.batches("new")
    master.done("new", first)
    master.say("new", Goodbye())
    failure = master.answers[request]
    assert isinstance(failure, Failure | list) and master.batches("old") == []


def test_a_request_is_not_answered_by_a_version_with_other_outputs() -> None:
    """The doors have read the request, and promised its outputs, by the version that it began with."""
    master = Master()
    master.join("old", version=1, methods=(MethodSpec("echo", ("x",), ("z",), 4),))
    master.join("new", version=2)
    request = master.ask(1)
    assert master.batches("new")
    master.say("new", Goodbye())
    failure = master.answers[request]
    assert isinstance(failure, Failure) and "servable is not available" in failure.text
    assert master.batches("old") == []


def test_a_request_whose_time_is_over_is_not_admitted(master: Master) -> None:
    request = master.ask(1, deadline=master.now)
    failure = master.answers[request]
    assert isinstance(failure, Failure) and failure.code is Code.DEADLINE_PASSED
    assert master.batches("a") == []


def test_a_request_without_a_deadline_gets_the_default_one() -> None:
    master = Master(default_timeout_seconds=5.0)
    master.join("a")
    request = master.ask(1)
    master.now += 5.0
    master.feed(Tick())
    failure = master.answers[request]
    assert isinstance(failure, Failure) and failure.code is Code.DEADLINE_PASSED


def test_a_batch_without_any_result_teaches_nothing_about_costs(master: Master) -> None:
    busy(master, 0.5)
    for _ in range(5):
        master.ask(0, deadline=master.now + 0.01)
        (batch,) = master.batches("a")
        master.now += 0.02
        master.say("a", BatchDone(batch.batch_id, (), {0: Failure(Code.DEADLINE_PASSED, "late")}))
    (lane,) = master.dispatcher._board.lanes.values()
    assert lane.cost("echo").seconds(1) == pytest.approx(0.5)


def test_what_a_worker_gives_up_before_its_time_runs_again(master: Master) -> None:
    """Simulator seed 3049: the clock of a worker had jumped."""
    request = master.ask(1, 2, deadline=master.now + 5.0)
    (batch,) = master.batches("a")
    late = Failure(Code.DEADLINE_PASSED, "late")
    master.say("a", BatchDone(batch.batch_id, (), {0: late, 1: late}))
    (again,) = master.batches("a")
    assert again.columns == batch.columns and not again.alone
    master.done("a", again)
    assert master.answers[request] == [(number(1),), (number(2),)]


def test_answered_requests_leave_nothing_behind_an_open_one(master: Master) -> None:
    master.ask(0, deadline=master.now + 100.0)
    master.batches("a")
    for _ in range(5000):
        master.ask(1)
        (batch,) = master.batches("a")
        master.done("a", batch)
    assert master.dispatcher.open_requests == 1
    assert len(master.dispatcher._requests._deadlines) < 1500


def test_a_worker_is_told_how_long_the_last_caller_of_a_batch_waits(master: Master) -> None:
    for _ in range(2):
        master.ask(0)  # one running, one waiting: the window is full
    master.ask(1, deadline=master.now + 2.0)
    master.ask(2, deadline=master.now + 7.0)
    first, _ = master.batches("a")
    master.done("a", first)
    (joined,) = master.batches("a")
    assert joined.count == 2 and joined.seconds_left == pytest.approx(7.0)


def test_one_of_several_processes_gives_no_work_before_the_others_know_the_worker() -> None:
    master = Master(siblings=(6501,))
    master.join("a")
    assert not master.dispatcher.health()[0].ready
    master.ask(1)  # taken already: it waits
    assert master.batches("a") == []
    master.say("a", Heartbeat())
    assert counts(master.batches("a")) == [1] and master.dispatcher.health()[0].ready
