"""How long a thread looks before it sleeps: as long as the last waits say that it pays."""

from itertools import pairwise

from mindspore_serving.cluster.patience import Patience

POLL_SECONDS = 0.002


def after(*waits: float) -> Patience:
    """That of a thread which has waited so, one wait after the other."""
    patience = Patience(POLL_SECONDS)
    now = 100.0
    for seconds in waits:
        patience.begins(now)
        now += seconds
        patience.ends(now)
    return patience


def test_a_thread_that_has_seen_nothing_sleeps() -> None:
    assert not after().begins(0.0)


def test_short_waits_make_it_look_and_long_ones_make_it_sleep_again() -> None:
    assert not after(*[0.0001] * 3).begins(0.0)
    assert after(*[0.0001] * 8).begins(0.0)
    assert not after(*[0.0001] * 8, *[0.1] * 8).begins(0.0)


def test_one_long_pause_does_not_end_the_looking() -> None:
    assert after(*[0.0001] * 20, 3600.0).begins(0.0)


def test_waits_that_are_longer_than_a_look_are_slept() -> None:
    assert not after(*[1.1 * POLL_SECONDS] * 100).begins(0.0)
    assert after(*[0.9 * POLL_SECONDS] * 100).begins(0.0)


def test_it_looks_for_so_long_and_not_longer() -> None:
    patience = after(*[0.0001] * 8)
    assert patience.begins(5.0)
    goes_on = [patience.goes_on(5.0 + step * POLL_SECONDS / 10) for step in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10.1, 11)]
    assert goes_on == [True] * 9 + [False] * 2


def test_a_core_that_others_had_for_long_ends_it_and_is_a_reason_to_sleep() -> None:
    patience = after(*[0.0001] * 8)
    waits = 0
    while patience.begins(10.0 * waits):
        assert patience.goes_on(10.0 * waits + 0.0001)
        patience.offered(10.0 * waits + 0.0002)
        assert patience.goes_on(10.0 * waits + 0.0003)
        patience.offered(10.0 * waits + 0.0008)
        assert not patience.goes_on(10.0 * waits + 0.0009)
        waits += 1
        assert waits < 100
    assert waits > 1


def test_a_look_that_brings_much_and_takes_long_is_no_crowd() -> None:
    """The bytes of an image take a millisecond to read."""
    patience = after(*[0.0001] * 8)
    assert patience.begins(5.0) and patience.goes_on(5.0001)
    patience.offered(5.0001)
    assert patience.goes_on(5.0011)


def test_who_finds_at_once_what_it_looks_for_goes_on_looking() -> None:
    patience = after(*[0.0001] * 8)
    moments = [20.0 + 0.0002 * number for number in range(100)]
    for began, ended in pairwise(moments):
        assert patience.begins(began) and patience.goes_on(ended)
        patience.ends(ended)


def test_a_crowd_ends_a_look_that_is_not_short_and_is_a_reason_to_sleep() -> None:
    patience = after(*[0.0001] * 8)
    now, asked = [5.0], []

    def clock() -> float:
        now[0] += 0.0001
        return now[0]

    def is_crowded() -> bool:
        asked.append(now[0])
        return len(asked) > 2

    before = patience.forecast_seconds
    assert patience.begins(5.0)
    assert not patience.look(lambda: False, clock, lambda: None, is_crowded=is_crowded)
    assert asked[0] >= 5.0003  # a short wait asks nobody
    assert len(asked) == 3
    assert patience.forecast_seconds > before
