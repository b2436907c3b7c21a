"""When a replica will be ready for the next batch: to be sent so late that it takes along who comes until then, and so
early that the device does not wait for it.

All moments here are moments of sending: what is sent at `free_at` reaches the device when it has done the rest. What a
batch takes beyond its device's seconds is the trip, there and back, and what it waited behind others.
"""

# Of what was seen last, if it was shorter or longer than foretold: the shortest are free of waiting, as the least round
# trip is in BBR (Cardwell and others, 2016).
_SHORTER, _LONGER = 0.5, 0.02
_FEWEST = 3  # trips, before anything is foretold


class Pace:
    """Of one replica."""

    def __init__(self) -> None:
        self.free_at = 0.0
        self._trip_seconds = 0.0
        self._trips = 0

    @property
    def is_known(self) -> bool:
        """Whether `free_at` means anything, if each open batch is foretold."""
        return self._trips >= _FEWEST

    @property
    def heard_at(self) -> float:
        """When the answer to the last batch will be here, if each open batch is foretold."""
        return self.free_at + self._trip_seconds

    def sent(self, at: float, device_seconds: float) -> None:
        """A batch left at this moment, behind all that were said to be sent before."""
        self.free_at = max(at, self.free_at) + device_seconds

    def heard(self, now: float) -> None:
        """An answer has come. What is still open is to be told again, by sent()."""
        self.free_at = now - self._trip_seconds  # then the device was free

    def learn(self, seconds: float) -> None:
        """A batch took so long beyond its device's seconds."""
        self._trips += 1
        more = max(0.0, seconds) - self._trip_seconds
        self._trip_seconds += more * (1.0 if self._trips == 1 else _LONGER if more > 0 else _SHORTER)
