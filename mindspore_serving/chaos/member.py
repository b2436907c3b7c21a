"""A process of the cluster: started again soon after it has ended, until it is told to stop."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import mindspore_serving

RESTART_SECONDS = 0.2
KILL_AFTER_SECONDS = 20.0
_LONGEST_LINE = 1 << 20
_ROOT = Path(mindspore_serving.__file__).resolve().parent.parent


class Member:
    """Runs from start() to stop(), in the running event loop. Its output goes to a log file, and to `tell` by lines.

    arguments: asked for at each start. tell(line): it has printed a line.
    on_end(exit code): it has ended; negative for a signal, as in subprocess. `pid` is still its own then.
    """

    def __init__(
        self,
        name: str,
        arguments: Callable[[], Sequence[str]],
        log: Path,
        tell: Callable[[str], None],
        on_end: Callable[[int], None],
    ) -> None:
        self.name = name
        self.starts = 0
        self.last_line = ""
        self._arguments = arguments
        self._log = log
        self._tell = tell
        self._on_end = on_end
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()
        self._life: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """Of the process that runs now."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Returns at once."""
        self._life = asyncio.create_task(self._live())

    def send(self, number: signal.Signals) -> None:
        """To the process that runs now, if there is one."""
        # Not by its own method: that reaps a process which has just ended, and asyncio never learns its exit code.
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    async def stop(self) -> None:
        """Asks it to drain and end; one that does not is killed."""
        self._stopping.set()
        self.send(signal.SIGCONT)
        self.send(signal.SIGTERM)
        if self._life is not None:
            done, _ = await asyncio.wait((self._life,), timeout=KILL_AFTER_SECONDS)
            if not done:
                self.send(signal.SIGKILL)
            await self._life

    async def _live(self) -> None:
        path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
        with self._log.open("ab") as log:
            while not self._stopping.is_set():
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    *self._arguments(),
                    env={**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"},
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.STDOUT,
                    limit=_LONGEST_LINE,
                    start_new_session=True,  # Ctrl-C is for this process: it stops the others in order
                )
                self._process = process
                self.starts += 1
                if self._stopping.is_set():  # meanwhile
                    self.send(signal.SIGTERM)
                assert process.stdout is not None
                async for line in process.stdout:
                    log.write(line)
                    log.flush()
                    self.last_line = line.decode(errors="replace").rstrip()
                    self._tell(self.last_line)
                code = await process.wait()
                self._on_end(code)
                self._process = None
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), RESTART_SECONDS)
