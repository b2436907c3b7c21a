"""The client processes, as the process that started them sees them: the records of their calls, and calls by order."""

import asyncio
import contextlib
import os
import sys
from collections import defaultdict
from pathlib import Path

import mindspore_serving
from mindspore_serving.chaos.callers import END, CallersSettings
from mindspore_serving.chaos.checked_calls import Mix, Order, Outcome
from mindspore_serving.chaos.verdict import CallRecord

_ROOT = Path(mindspore_serving.__file__).resolve().parent.parent
_CALLERS_EACH = 1000  # room for the numbers of a process's threads


class Clients:
    """Runs from start() to end(), in the running event loop. `log` gets what the processes say besides."""

    def __init__(
        self,
        address: str,
        log: Path,
        *,
        processes: int,
        threads: int,
        rate: float,
        deadline_seconds: float,
        seed: int,
        mix: Mix,
    ) -> None:
        self.records: list[CallRecord] = []
        self._log = log
        self._settings = [
            CallersSettings(
                address=address,
                seed=seed,
                first_caller=1 + number * _CALLERS_EACH,
                threads=threads,
                rate=rate / (processes * threads),
                deadline_seconds=deadline_seconds,
                mix=mix,
            )
            for number in range(processes)
        ]
        self._processes: list[asyncio.subprocess.Process] = []
        self._readers: list[asyncio.Task[None]] = []
        self._by_order: defaultdict[Order, list[asyncio.Future[None]]] = defaultdict(list)

    async def start(self) -> None:
        """Returns when each of them has had its first answer, or has ended. They go on calling."""
        path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
        first_answers = []
        for settings in self._settings:
            with self._log.open("ab") as log:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "mindspore_serving.chaos.callers"),
                    env={**os.environ, "PYTHONPATH": path},
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=log,
                    start_new_session=True,
                )
            self._processes.append(process)
            answered = asyncio.Event()
            first_answers.append(asyncio.create_task(answered.wait()))
            self._readers.append(asyncio.create_task(self._read(process, answered)))
            self._say(process, settings.as_json())
        await asyncio.wait(first_answers)

    async def call_with(self, order: Order) -> None:
        """One call with this order; returns when it has been answered, or its client has ended."""
        answered = asyncio.get_running_loop().create_future()
        self._by_order[order].append(answered)
        self._say(self._processes[0], order.name)
        await asyncio.wait((answered, self._readers[0]), return_when=asyncio.FIRST_COMPLETED)

    async def end(self) -> list[int]:
        """Returns the exit codes when all calls are finished."""
        for process in self._processes:
            self._say(process, END)
        await asyncio.gather(*self._readers)
        return [await process.wait() for process in self._processes]

    def kill(self) -> None:
        """Those that still run."""
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()

    def _say(self, process: asyncio.subprocess.Process, line: str) -> None:
        assert process.stdin is not None
        process.stdin.write(line.encode() + b"\n")

    async def _read(self, process: asyncio.subprocess.Process, answered: asyncio.Event) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            record = CallRecord.from_json(line.decode())
            self.records.append(record)
            if record.outcome is Outcome.RIGHT:
                answered.set()
            if self._by_order[record.order]:
                self._by_order[record.order].pop(0).set_result(None)
        answered.set()
