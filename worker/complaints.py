"""How often the log tells of a function's failures: whoever sends nonsense must not fill a disk."""

from collections import deque

MOST_LINES = 10
SECONDS = 60.0  # for so many lines of one function


class Complaints:
    """Of one servable. `now` is monotonic seconds."""

    def __init__(self) -> None:
        self._told_at: dict[str, deque[float]] = {}
        self._left_out: dict[str, int] = {}

    def may_tell(self, function: str, now: float) -> int | None:
        """None: not this one, which is counted. Else how many were left out since the last line."""
        told_at = self._told_at.setdefault(function, deque(maxlen=MOST_LINES))
        if len(told_at) == MOST_LINES and now - told_at[0] < SECONDS:
            self._left_out[function] = self._left_out.get(function, 0) + 1
            return None
        told_at.append(now)
        return self._left_out.pop(function, 0)
