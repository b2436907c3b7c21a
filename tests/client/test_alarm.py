"""The thread that calls back pending calls: there while somebody waits."""

import threading
import time

from mindspore_serving.client.alarm import Alarm
from tests.processes import until

NAME = "mindspore-serving retries"


def threads() -> int:
    return sum(thread.name == NAME for thread in threading.enumerate())


def test_its_thread_is_there_while_somebody_waits_and_comes_again() -> None:
    alarm = Alarm()
    assert threads() == 0
    for _ in range(3):
        rung: list[int] = []
        now = time.monotonic()
        alarm.at(now + 0.05, lambda: rung.append(2))  # noqa: B023
        alarm.at(now + 0.01, lambda: rung.append(1))  # noqa: B023
        assert threads() == 1
        until(lambda: rung == [1, 2], "both")  # noqa: B023
        until(lambda: threads() == 0, "the end of the thread")
    alarm.close()


def test_who_still_waits_is_called_back_when_it_closes() -> None:
    alarm = Alarm()
    rung: list[int] = []
    alarm.at(time.monotonic() + 600, lambda: rung.append(1))
    alarm.close()
    assert rung == [1] and threads() == 0
    alarm.at(time.monotonic() + 600, lambda: rung.append(2))
    assert rung == [1, 2]
