"""When connections that are held for nothing end."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

from mindspore_serving.master.http_watches import IdleWatch, StallWatch


class Timer:
    def __init__(self, at: float, call: Callable[[], None]) -> None:
        self.at = at
        self.call = call
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class Clock:
    """What the watches need of an event loop, with a time of its own."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_later(self, seconds: float, call: Callable[..., None], *arguments: Any) -> Timer:
        self.timers.append(Timer(self.now + seconds, lambda: call(*arguments)))
        return self.timers[-1]

    def run_until(self, end: float) -> None:
        """Timers that are due until then ring in order."""
        while due := [timer for timer in self.timers if timer.at <= end and not timer.is_cancelled]:
            first = min(due, key=lambda timer: timer.at)
            self.timers.remove(first)
            self.now = first.at
            first.call()
        self.now = end


def watched(clock: Clock, busy: list[bool], ends: list[float]) -> IdleWatch:
    loop = cast(asyncio.AbstractEventLoop, clock)
    return IdleWatch(loop, 10.0, lambda: not busy, lambda: ends.append(clock.now))


def test_an_idle_connection_ends_when_its_time_is_over_and_not_before() -> None:
    clock, ends = Clock(), list[float]()
    watch = watched(clock, [], ends)
    for at in (100.0, 103.0, 109.0):  # it was used in between
        clock.run_until(at)
        watch.begin()
    clock.run_until(118.9)
    assert not ends
    clock.run_until(200.0)
    assert ends == [119.0]


def test_a_busy_connection_goes_on_and_its_idle_time_begins_behind_that() -> None:
    clock, ends, busy = Clock(), list[float](), list[bool]()
    watch = watched(clock, busy, ends)
    watch.begin()
    busy.append(True)
    clock.run_until(150.0)
    busy.clear()
    watch.begin()
    clock.run_until(159.9)
    assert not ends
    clock.run_until(160.0)
    assert ends == [160.0]


def test_short_waits_have_one_timer() -> None:
    clock = Clock()
    watch = watched(clock, [], [])
    for _ in range(100):
        watch.begin()
    assert len(clock.timers) == 1
    watch.close()
    assert clock.timers[0].is_cancelled


class Transport:
    def __init__(self) -> None:
        self.waiting = 1000
        self.is_aborted = False

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def abort(self) -> None:
        self.is_aborted = True


def test_a_reader_who_takes_something_has_more_time_and_one_who_takes_nothing_has_not() -> None:
    clock, transport = Clock(), Transport()
    watch = StallWatch(cast(asyncio.AbstractEventLoop, clock), 10.0, cast(asyncio.Transport, transport))
    watch.begin()
    clock.run_until(109.0)
    transport.waiting = 999
    clock.run_until(119.9)
    assert not transport.is_aborted
    clock.run_until(120.0)
    assert transport.is_aborted


def test_a_reader_who_took_all_is_not_watched() -> None:
    clock, transport = Clock(), Transport()
    watch = StallWatch(cast(asyncio.AbstractEventLoop, clock), 10.0, cast(asyncio.Transport, transport))
    watch.begin()
    watch.close()
    clock.run_until(200.0)
    assert not transport.is_aborted
