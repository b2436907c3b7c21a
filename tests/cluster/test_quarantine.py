"""A method whose workers die one after the other is shut off for a while, and tried again."""

from mindspore_serving.cluster.dispatch_events import PeerUnreachable, Tick
from mindspore_serving.cluster.errors import Code, Failure
from mindspore_serving.cluster.messages import Heartbeat, MethodSpec, RunBatch
from mindspore_serving.cluster.quarantine import FIRST_SECONDS, Quarantine
from tests.cluster.test_dispatcher import ECHO, Master


def test_deaths_with_a_success_in_between_do_not_count_together() -> None:
    quarantine = Quarantine(3)
    assert not any(quarantine.death(name, 0.0) for name in "ab")
    quarantine.success()
    assert not any(quarantine.death(name, 0.0) for name in "cd")
    assert quarantine.death("e", 0.0) and quarantine.until == FIRST_SECONDS


def test_a_worker_that_is_lost_twice_counts_once() -> None:
    quarantine = Quarantine(2)
    assert not quarantine.death("a", 0.0) and not quarantine.death("a", 1.0)


def test_on_trial_one_death_is_enough_and_the_time_doubles() -> None:
    quarantine = Quarantine(2)
    quarantine.death("a", 0.0)
    assert quarantine.death("b", 0.0)
    assert not quarantine.try_again(FIRST_SECONDS - 1) and quarantine.try_again(FIRST_SECONDS)
    assert quarantine.death("c", 20.0) and quarantine.until == 20.0 + 2 * FIRST_SECONDS
    assert quarantine.try_again(100.0)
    quarantine.success()
    assert not quarantine.death("d", 101.0)


def crash_loop() -> tuple[Master, list[int]]:
    """A master five of whose workers have died one after the other, each while it ran `echo`."""
    master = Master()
    asked = []
    for name in "abcde":
        master.join(name)
        asked.append(master.ask(1))
        (batch,) = master.batches(name)
        master.begin(name, batch)
        master.feed(PeerUnreachable(name))
    return master, asked


def test_a_crash_loop_is_shut_off_told_in_health_and_tried_again() -> None:
    master, _ = crash_loop()
    master.join("f")
    (health,) = master.dispatcher.health()
    assert health.quarantined == ("echo",) and health.ready  # other methods go on
    refused = master.ask(2)
    failure = master.answers[refused]
    assert isinstance(failure, Failure) and failure.code is Code.QUARANTINED
    assert failure.retry_seconds == FIRST_SECONDS and "tried again in 10.0 s" in failure.text
    other = master.ask(3, method="other")
    master.done("f", master.batches("f")[-1])
    assert other in master.answers

    assert master.dispatcher.next_wakeup() is not None
    for _ in range(10):
        master.now += 1.0
        master.say("f", Heartbeat())
    master.feed(Tick())
    assert master.dispatcher.health()[0].quarantined == ()
    tried = master.ask(4)
    master.done("f", master.batches("f")[-1])
    assert not isinstance(master.answers[tried], Failure)


def test_a_version_all_of_whose_methods_are_shut_off_is_not_ready() -> None:
    master = Master()
    for name in "abcde":
        master.join(name, methods=(ECHO,))
        master.ask(1)
        (batch,) = master.batches(name)
        master.begin(name, batch)
        master.feed(PeerUnreachable(name))
    master.join("f", methods=(ECHO,))
    (health,) = master.dispatcher.health()
    assert not health.ready and "died one after the other" in health.reason
    assert not master.dispatcher.has_ready_replica


def test_what_waits_is_answered_when_its_method_is_shut_off() -> None:
    master = Master()
    for name in "abcd":
        master.join(name)
        master.ask(1)
        master.feed(PeerUnreachable(name))
    master.join("e")
    waiting = [master.ask(value) for value in range(20)]
    master.feed(PeerUnreachable("e"))
    assert not [message for _, message in master.sent if isinstance(message, RunBatch) and message.batch_id > 6]
    assert all(request in master.answers for request in waiting)


def test_what_has_run_in_part_and_may_run_once_is_not_said_to_be_worth_another_try() -> None:
    once = MethodSpec("once", ("x",), ("y",), 4, idempotent=False)
    master = Master(quarantine_deaths=1)
    for name in "ab":
        master.join(name, methods=(once,))
    begun = master.ask(*range(40), method="once")
    waiting = master.ask(1, method="once")
    master.feed(PeerUnreachable("a"))
    failures = [master.answers[request] for request in (begun, waiting)]
    assert [one.code for one in failures if isinstance(one, Failure)] == [Code.WORKER_UNAVAILABLE, Code.QUARANTINED]
