"""The thread that calls back pending calls: there while somebody waits."""

import threading
import time
from functools import partial

from mindspore_serving.client.alarm import Alarm
from tests.processes import until

NAME = "mindspore-serving retries"


def threads() -> int:
    return sum(thread.name == NAME for thread in threading.enumerate())


def test_its_thread_is_there_while_somebody_waits_and_comes_again() -> None:
    alarm = Alarm()
    assert threads() == 0
    rung: list[int] = []
    for count in (1, 2, 3):
        now = time.monotonic()
        alarm.at(now + 0.05, partial(rung.append, 2))
        alarm.at(now + 0.01, partial(rung.append, 1))
        assert threads() == 1
        until(lambda: threads() == 0, "the end of the thread")
        assert rung == [1, 2] * count
    alarm.close()


def test_who_still_waits_is_called_back_when_it_closes() -> None:
    alarm = Alarm()
    rung: list[int] = []
    alarm.at(time.monotonic() + 600, lambda: rung.append(1))
    alarm.close()
    assert rung == [1] and threads() == 0
    alarm.at(time.monotonic() + 600, lambda: rung.append(2))
    assert rung == [1, 2]
