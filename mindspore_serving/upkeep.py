"""What the parent of several master processes decides: which is started, again, or killed. Pure: time is passed in.

STARTING --ready--> SERVING     STARTING, SERVING --ended--> WAITING --due--> STARTING
while stopping: any --ended--> GONE, WAITING --> GONE
"""

from dataclasses import dataclass, field
from enum import Enum, auto

from mindspore_serving.restarts import Ended, Restarts


class State(Enum):
    WAITING = auto()  # to be started
    STARTING = auto()
    SERVING = auto()
    GONE = auto()


@dataclass
class _Process:
    state: State = State.WAITING
    start_at: float = float("-inf")  # while WAITING
    started_at: float = 0.0
    heard_at: float | None = None  # its watchdog's last word
    restarts: Restarts = field(default_factory=lambda: Restarts(only_after_an_answer=False))


class Upkeep:
    """The processes by number. silence_seconds: one that serves, or was heard, and is silent for so long is killed.

    stop_seconds: how long they may take to stop.
    """

    def __init__(self, processes: int, silence_seconds: float | None, stop_seconds: float) -> None:
        self._processes = [_Process() for _ in range(processes)]
        self._silence_seconds = silence_seconds
        self._stop_seconds = stop_seconds
        self._kill_at: float | None = None
        self.stopping = False
        self.all_were_ready = False

    @property
    def is_over(self) -> bool:
        """None runs, and none will be started."""
        return all(process.state is State.GONE for process in self._processes)

    def started(self, slot: int, now: float) -> None:
        """It runs."""
        process = self._processes[slot]
        process.state, process.started_at, process.heard_at = State.STARTING, now, None

    def ready(self, slot: int, now: float) -> bool:
        """It serves, and has to be heard of from now on. Says whether all do, for the first time."""
        self._processes[slot].state, self._processes[slot].heard_at = State.SERVING, now
        first = not self.all_were_ready and all(process.state is State.SERVING for process in self._processes)
        self.all_were_ready = self.all_were_ready or first
        return first

    def beat(self, slot: int, now: float) -> None:
        """Its watchdog spoke."""
        self._processes[slot].heard_at = now

    def ended(self, slot: int, now: float) -> float | None:
        """It has ended. Returns the seconds until it is started again; None: it is not.

        When one ends before all were ready for the first time, something is wrong with the settings: that is the end.
        """
        process = self._processes[slot]
        was_ready, process.state = process.state is State.SERVING, State.GONE
        if self.stopping or not self.all_were_ready:
            return None
        # Whoever told it to end has not changed how many there should be.
        record = Ended(was_ready, has_answered=True, lived_seconds=now - process.started_at)
        wait = process.restarts.wait_seconds(record)
        assert wait is not None
        process.state, process.start_at = State.WAITING, now + wait
        return wait

    def stop(self, now: float) -> None:
        """From now on none is started; those that run are to end. May be called again."""
        if not self.stopping:
            self.stopping = True
            self._kill_at = now + self._stop_seconds
        for process in self._processes:
            if process.state is State.WAITING:
                process.state = State.GONE

    def to_start(self, now: float) -> list[int]:
        """Which are due; started() is to be called for each."""
        return [
            slot
            for slot, process in enumerate(self._processes)
            if process.state is State.WAITING and process.start_at <= now
        ]

    def to_kill(self, now: float) -> list[int]:
        """Which take too long to stop, or have fallen silent. Each is named once."""
        if self._kill_at is not None and self._kill_at <= now:
            self._kill_at = None
            return [slot for slot, process in enumerate(self._processes) if process.state is not State.GONE]
        silent = [slot for slot, process in enumerate(self._processes) if self._silent_at(process) <= now]
        for slot in silent:
            self._processes[slot].heard_at = None
        return silent

    def next_wakeup(self) -> float | None:
        """When to_start() or to_kill() have something to say, if nothing happens before."""
        moments = [process.start_at for process in self._processes if process.state is State.WAITING]
        moments += [moment for moment in map(self._silent_at, self._processes) if moment < float("inf")]
        moments += [] if self._kill_at is None else [self._kill_at]
        return min(moments, default=None)

    def _silent_at(self, process: _Process) -> float:
        runs = process.state in (State.STARTING, State.SERVING)
        if not runs or process.heard_at is None or self._silence_seconds is None:
            return float("inf")
        return process.heard_at + self._silence_seconds
