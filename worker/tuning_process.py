"""A trial of tuning, as its parent sees it: a process with its own settings that measures a version's models."""

import contextlib
import json
import math
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from mindspore_serving.worker.engine_settings import EngineSettings
from mindspore_serving.worker.rewrites import Rewriting
from mindspore_serving.worker.target import Target

# How long to wait for a trial: so many times as long as the first one took, which had one graph to load, not two.
_PATIENCE, _LEAST_PATIENCE_SECONDS = 4.0, 5.0


class Trials:
    """Starts those of one version, all of which are measured with batches of as many instances as the first one."""

    def __init__(self, folder: Path, target: Target, deadline: float) -> None:
        self._folder = folder
        self._target = target
        self._deadline = deadline
        self._first: Trial | None = None

    def start(self, settings: EngineSettings, before: Rewriting | None = None) -> "Trial":
        """For `before` see Trial."""
        trial = Trial(settings, self._folder, self._target, self._deadline, before=before, like=self._first)
        self._first = self._first or trial
        return trial


class Trial:
    """A process that has loaded the models with these settings, or is about to.

    before: how graphs were written until now, where this is to be compared with that. The process holds both then, and
    measures nothing unless they give the same numbers. like: another one, which has measured; this one fails when its
    first measurement takes several times as long. Known when it has measured: places, in how many of them rules of each
    kind could rewrite graphs as they are; threads, the CPU seconds of all threads over those of the caller's; batches,
    how many instances of each file; seconds_to_load, until the first measurement was done.
    """

    def __init__(
        self,
        settings: EngineSettings,
        folder: Path,
        target: Target,
        deadline: float,
        *,
        before: Rewriting | None = None,
        like: "Trial | None" = None,
    ) -> None:
        self.settings = settings
        self.before = before
        self.places: dict[Rewriting, int] = {}
        self.threads = 1.0
        self.batches: dict[str, int] = {} if like is None else like.batches
        self.seconds_to_load: float | None = None
        self._deadline = deadline
        self._patience = math.inf
        if like is not None and like.seconds_to_load is not None:
            self._patience = max(_PATIENCE * like.seconds_to_load, _LEAST_PATIENCE_SECONDS)
        self._started_at = time.monotonic()
        self._buffer = b""
        self._popen = subprocess.Popen(
            [sys.executable, "-m", "mindspore_serving.worker.tuning_trial"],
            env=trial_environment(settings),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.pid = self._popen.pid
        self._say(trial_request(folder, settings, target, deadline, before=before, batches=self.batches))

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
        # What has loaded in time is waited for, however slow a moment is: a late answer would be taken for the next.
        end = self._deadline if self.seconds_to_load else min(self._deadline, self._started_at + self._patience)
        while not (line := self._next_line(end)).startswith(b"{"):  # what the user's sitecustomize prints is no answer
            if not line:
                return [[], []]
        answer = json.loads(line)
        self.places = {Rewriting(int(kind)): int(count) for kind, count in answer["places"].items()}
        self.threads = float(answer["threads"])
        self.batches = answer["batches"]
        self.seconds_to_load = self.seconds_to_load or time.monotonic() - self._started_at
        return [[float(value) for value in way] for way in answer["seconds"]]

    def _next_line(self, end: float) -> bytes:
        """With its end; nothing when there is none before that moment."""
        assert self._popen.stdout is not None
        while b"\n" not in self._buffer:
            ready, _, _ = select.select([self._popen.stdout], [], [], max(0.0, end - time.monotonic()))
            chunk = os.read(self._popen.stdout.fileno(), 65536) if ready else b""
            if not chunk:
                return b""
            self._buffer += chunk
        line, newline, self._buffer = self._buffer.partition(b"\n")
        return line + newline

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
    place: Path,
    settings: EngineSettings,
    target: Target,
    deadline: float,
    *,
    before: Rewriting | None = None,
    batches: Mapping[str, int] | None = None,
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
            "batches": dict(batches or {}),
            "dec_key": target.dec_key.hex() if target.dec_key else None,
            "dec_mode": target.dec_mode,
        }
    )
