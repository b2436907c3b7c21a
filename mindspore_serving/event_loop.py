"""Runs a process's life in an event loop: as asyncio.run(), with the loop's way to wait for us to choose."""

import asyncio
import time
from collections.abc import Coroutine
from functools import partial
from typing import Any, TypeVar, cast

from mindspore_serving.cluster.patience import Patience
from mindspore_serving.master.outlook import Outlook
from mindspore_serving.master.patient_selector import ExactSelector, PatientSelector

T = TypeVar("T")


class _Loop(asyncio.SelectorEventLoop):
    """asyncio's, but that readers and writers are called by our selector, and the clock without a call of Python."""

    time = staticmethod(time.monotonic)

    def __init__(self, selector: ExactSelector) -> None:
        super().__init__(cast(Any, selector))
        self._watches = selector
        selector.on_fault = self._tell_fault

    # Of these two mypy wants a TypeVarTuple, which Python 3.10 does not have.

    def add_reader(self, fd: Any, callback: Any, *args: Any) -> None:  # type: ignore[override]
        self._watches.watch_reading(_descriptor(fd), partial(callback, *args) if args else callback)

    def add_writer(self, fd: Any, callback: Any, *args: Any) -> None:  # type: ignore[override]
        self._watches.watch_writing(_descriptor(fd), partial(callback, *args) if args else callback)

    def remove_reader(self, fd: Any) -> bool:
        return not self.is_closed() and self._watches.watch_reading(_descriptor(fd), None)

    def remove_writer(self, fd: Any) -> bool:
        return not self.is_closed() and self._watches.watch_writing(_descriptor(fd), None)

    def _tell_fault(self, error: BaseException) -> None:
        self.call_exception_handler({"message": "Exception in a reader or writer", "exception": error})


def _descriptor(fd: Any) -> int:
    return fd if isinstance(fd, int) else int(fd.fileno())


def new_loop(outlook: Outlook | None = None) -> asyncio.AbstractEventLoop:
    """outlook: a core may be used to wait, and somebody tells there when that is of no use yet. None: it sleeps."""
    return _Loop(ExactSelector() if outlook is None else PatientSelector(Patience(), outlook))


def run(life: Coroutine[Any, Any, T], outlook: Outlook | None) -> T:
    """Returns what it returns, when it and all its tasks are over. For the outlook see new_loop()."""
    loop = new_loop(outlook)
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(life)
    finally:
        try:
            loop.run_until_complete(_end_all())
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            asyncio.set_event_loop(None)
            loop.close()


async def _end_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
