"""The servable of `mindspore-serving chaos`: answers with the token and the changed payload, and dies when told to."""

import mmap
import os
import resource
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mindspore_serving.chaos.checked_calls import DOOMED, DWELL_SECONDS, MEGABYTE, POISONED_EXIT_CODE, Order, answer_to
from mindspore_serving.server import register

BATCH_SIZE = 8
DEATHS = Path(__file__).parent / "deaths"  # a file for each token that has cost its worker once
ROOM_BYTES = 64 * MEGABYTE


def fill_memory_and_be_killed() -> None:
    """Up to a limit, and then what the kernel does to a process that goes beyond the limit of its control group."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * mmap.PAGESIZE + ROOM_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    filled = []
    try:
        while True:
            filled.append(bytearray(MEGABYTE))
    except MemoryError:
        os.kill(os.getpid(), signal.SIGKILL)


def is_first_time(token: int) -> bool:
    """Whether this token has cost no worker yet. From now on it has."""
    DEATHS.mkdir(exist_ok=True)
    try:
        (DEATHS / str(token)).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def tell_of_the_end() -> None:
    """Says so before it comes: whoever picks the next victim does not count on this process any more."""
    doomed = Path(__file__).parent / DOOMED
    doomed.mkdir(exist_ok=True)
    (doomed / str(os.getpid())).touch()


def obey(order: Order, token: int) -> None:
    if order is Order.DIE:
        tell_of_the_end()
        os._exit(POISONED_EXIT_CODE)
    elif order is Order.DIE_ONCE and is_first_time(token):
        tell_of_the_end()
        fill_memory_and_be_killed()
    elif order is Order.HANG_ONCE and is_first_time(token):
        tell_of_the_end()
        threading.Event().wait()
    elif order is Order.DWELL:
        time.sleep(DWELL_SECONDS)


def answer_all(instances: tuple[tuple[Any, Any, Any], ...]) -> Iterator[tuple[Any, Any]]:
    for token, order, payload in instances:
        obey(Order(int(order)), int(token))
        yield token, answer_to(int(token), payload)


@register.register_method(output_names=["token", "payload"])
def answer(token: Any, order: Any, payload: Any) -> Any:
    """The right answer is in checked_calls.answer_to."""
    return register.add_stage(answer_all, token, order, payload, outputs_count=2, batch_size=BATCH_SIZE)
