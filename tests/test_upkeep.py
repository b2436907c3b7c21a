"""What the parent of several master processes decides, one fact at a time."""

import pytest

from mindspore_serving.restarts import FIRST_WAIT_SECONDS, HEALTHY_SECONDS, how_it_ended
from mindspore_serving.upkeep import Upkeep

STOP_SECONDS = 40.0


def serving(processes: int = 2, silence_seconds: float | None = None) -> Upkeep:
    """All are ready at the moment 1."""
    upkeep = Upkeep(processes, silence_seconds, STOP_SECONDS)
    for slot in upkeep.to_start(0.0):
        upkeep.started(slot, 0.0)
    assert [upkeep.ready(slot, 1.0) for slot in range(processes)] == [False] * (processes - 1) + [True]
    return upkeep


def test_all_are_started_at_once_and_each_once() -> None:
    upkeep = Upkeep(3, None, STOP_SECONDS)
    assert upkeep.to_start(0.0) == [0, 1, 2]
    for slot in range(3):
        upkeep.started(slot, 0.0)
    assert upkeep.to_start(9.0) == [] and upkeep.next_wakeup() is None


def test_one_that_ends_before_all_were_ready_is_not_started_again() -> None:
    upkeep = Upkeep(2, None, STOP_SECONDS)
    for slot in upkeep.to_start(0.0):
        upkeep.started(slot, 0.0)
    assert upkeep.ready(0, 0.4) is False
    assert upkeep.ended(1, 0.5) is None and upkeep.to_start(1e9) == []


def test_one_that_is_lost_later_is_started_again() -> None:
    upkeep = serving()
    assert upkeep.ended(1, 5.0) == FIRST_WAIT_SECONDS
    assert upkeep.next_wakeup() == 6.0
    assert upkeep.to_start(5.9) == [] and upkeep.to_start(6.0) == [1]
    upkeep.started(1, 6.0)
    assert upkeep.ready(1, 7.0) is False, "all were ready before"


def test_one_that_ends_again_and_again_waits_longer_until_it_has_lived() -> None:
    upkeep = serving()
    waits, now = [], 5.0
    for _ in range(4):
        waits.append(upkeep.ended(1, now) or 0.0)
        now += waits[-1]
        upkeep.started(1, now)
    assert waits == [1.0, 2.0, 4.0, 8.0]
    upkeep.ready(1, now)
    assert upkeep.ended(1, now + HEALTHY_SECONDS) == FIRST_WAIT_SECONDS


def test_while_stopping_none_is_started_and_the_end_is_when_all_have_gone() -> None:
    upkeep = serving(3)
    upkeep.ended(1, 5.0)
    upkeep.stop(5.5)
    assert upkeep.to_start(100.0) == []
    assert upkeep.ended(0, 6.0) is None and not upkeep.is_over
    assert upkeep.ended(2, 7.0) is None and upkeep.is_over


def test_those_that_take_too_long_to_stop_are_killed_once() -> None:
    upkeep = serving()
    upkeep.stop(5.0)
    upkeep.stop(9.0)
    upkeep.ended(0, 6.0)
    assert upkeep.next_wakeup() == 5.0 + STOP_SECONDS
    assert upkeep.to_kill(5.0 + STOP_SECONDS - 0.1) == []
    assert upkeep.to_kill(5.0 + STOP_SECONDS) == [1]
    assert upkeep.to_kill(1e9) == []


def test_one_that_loads_may_be_silent_and_one_that_serves_may_not() -> None:
    upkeep = Upkeep(1, 3.0, STOP_SECONDS)
    upkeep.started(0, 0.0)
    assert upkeep.to_kill(1e9) == []
    upkeep.ready(0, 50.0)  # and then stood still before its first beat
    assert upkeep.to_kill(52.9) == [] and upkeep.to_kill(53.0) == [0]


def test_one_that_was_heard_and_falls_silent_is_killed_once() -> None:
    upkeep = serving(2, silence_seconds=3.0)
    upkeep.beat(0, 10.0)
    upkeep.beat(1, 12.0)
    assert upkeep.next_wakeup() == 13.0
    assert upkeep.to_kill(13.0) == [0] and upkeep.to_kill(13.0) == []
    assert upkeep.ended(0, 13.1) == FIRST_WAIT_SECONDS


def test_without_a_watchdog_nobody_is_silent() -> None:
    upkeep = serving()
    upkeep.beat(0, 10.0)
    assert upkeep.to_kill(1e9) == [] and upkeep.next_wakeup() is None


@pytest.mark.parametrize(
    "code, words", [(0, "ended with exit code 0"), (-9, "killed by SIGKILL"), (-64, "killed by SIGRTMAX")]
)
def test_an_end_is_told_in_words(code: int, words: str) -> None:
    assert how_it_ended(code) == words
