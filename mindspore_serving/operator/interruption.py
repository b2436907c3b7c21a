"""Ctrl-C and SIGTERM while a command runs MindSpore: they end it at once, and quietly."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from mindspore_serving.telling import tell_reason
from mindspore_serving.worker.rewritten_file import remove_copies
from mindspore_serving.worker.signal_pipe import NEWS, SignalPipe


def until_interrupted(work: Callable[[], int]) -> int:
    """Does the work in a thread of its own and returns what it returns. A signal ends the process meanwhile."""
    pipe = SignalPipe()
    try:
        with ThreadPoolExecutor(1) as executor:
            working = executor.submit(work)
            working.add_done_callback(lambda _: pipe.post())
            number = pipe.wait()
            if number not in (None, NEWS):
                # Nothing can interrupt a model that is compiled, and Python's own end would crash in it.
                remove_copies()
                tell_reason("interrupted")
                os._exit(128 + number)
            return working.result()
    finally:
        pipe.close()
