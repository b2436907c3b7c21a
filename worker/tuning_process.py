"""A trial of tuning, as its parent sees it: a process with its own settings that measures a version's models."""

import contextlib
import json
import math
import os
import select
import subprocess
import sys
import time
from pathlib import Path

from mindspore_serving.worker.engine_settings import EngineSettings
from mindspore_serving.worker.rewrites import Rewriting
from mindspore_serving.worker.target import Target


class Trial:
    """A process that has loaded the models with these settings, or is about to.

    before: how graphs were written until now, where this is to be compared with that. The process holds both then, and
    measures nothing unless they give the same numbers. Known when it has measured: places, in how many of them rules
    of each kind could rewrite graphs as they are; threads, the CPU seconds of all threads over those of the caller's.
    """

    def __init__(
        self,
        settings: EngineSettings,
        folder: Path,
        target: Target,
        deadline: float,
        *,
        before: Rewriting | None = None,
    ) -> None:
        self.settings = settings
        self.before = before
        self.places: dict[Rewriting, int] = {}
        self.threads = 1.0
        self._deadline = deadline
        self._buffer = b""
        self._popen = subprocess.Popen(
            [sys.executable, "-m", "mindspore_serving.worker.tuning_trial"],
            env=trial_environment(settings),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.pid = self._popen.pid
        self._say(trial_request(folder, settings, target, deadline, before=before))

    def measure(self, turn: int = 0) -> list[float]:
        """Seconds of each call. Empty when it has failed, when there is nothing to measure, or the time is over.

        Those that are measured in the same turn are so on the same core, where there are few.
        """
        return self._measured(turn, both=False)[-1]

    def measure_both(self, turn: int) -> tuple[list[float], list[float]]:
        """The same, of the graphs as they were written before, and as they are now."""
        before, now = self._measured(turn, both=True)
        return before, now

    def close(self) -> None:
        """Ends it."""
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        self._popen.kill()
        self._popen.wait()
        self._popen.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            self._popen.stdin.close()

    def _measured(self, turn: int, *, both: bool) -> list[list[float]]:
        self._say(json.dumps({"turn": turn, "both": both}))
        assert self._popen.stdout is not None
        while b"\n" not in self._buffer:
            ready, _, _ = select.select([self._popen.stdout], [], [], max(0.0, self._deadline - time.monotonic()))
            chunk = os.read(self._popen.stdout.fileno(), 65536) if ready else b""
            if not chunk:
                return [[], []]
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        answer = json.loads(line)
        self.places = {Rewriting(int(kind)): int(count) for kind, count in answer["places"].items()}
        self.threads = float(answer["threads"])
        return [[float(value) for value in way] for way in answer["seconds"]]

    def _say(self, line: str) -> None:
        assert self._popen.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended: reading tells
            self._popen.stdin.write(line.encode() + b"\n")
            self._popen.stdin.flush()


def trial_environment(settings: EngineSettings) -> dict[str, str]:
    """That of a process which is to run MindSpore with these settings."""
    return {
        **os.environ,
        **settings.environment(),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }


def trial_request(
    place: Path, settings: EngineSettings, target: Target, deadline: float, *, before: Rewriting | None = None
) -> str:
    """What such a process is told first: a line of JSON, which trial_task() of tuning_trial.py reads."""
    return json.dumps(
        {
            "place": str(place),
            "seconds": math.ceil(max(1.0, deadline - time.monotonic())) + 1,
            "kernel_threads": settings.kernel_threads,
            "one_thread": settings.one_thread,
            "rewriting": settings.rewriting.value,
            "before": None if before is None else before.value,
            "dec_key": target.dec_key.hex() if target.dec_key else None,
            "dec_mode": target.dec_mode,
        }
    )
