"""Which parts of a memory are taken. First fit: what is in use stays near the start, and so does what was ever touched.

It knows numbers, and owns no memory.
"""

_ALIGNMENT = 64  # a cache line, and what a vector instruction may want
_KEPT_BYTES = 8 << 20  # of what was touched, to be used again, while nothing is taken


class Arena:
    """So many bytes, of which none are taken."""

    def __init__(self, nbytes: int) -> None:
        self._nbytes = nbytes
        self._taken: list[tuple[int, int]] = []  # start and end, in order
        self._touched = 0  # where the last part ends that was taken so far

    def spare(self) -> tuple[int, int] | None:
        """Start and size of what was touched and is not worth keeping, if nothing is taken; told once."""
        start, nbytes = _KEPT_BYTES, self._touched - _KEPT_BYTES
        if self._taken or nbytes <= 0:
            return None
        self._touched = _KEPT_BYTES
        return start, nbytes

    def take(self, nbytes: int) -> int | None:
        """Where so many bytes start, which nobody else has until give_back(); None: there is no room."""
        start, place = 0, 0
        while place < len(self._taken) and self._taken[place][0] - start < nbytes:
            start = aligned(self._taken[place][1])
            place += 1
        if start + nbytes > self._nbytes:
            return None
        self._taken.insert(place, (start, start + nbytes))
        self._touched = max(self._touched, start + nbytes)
        return start

    def give_back(self, start: int) -> None:
        """What take() has given."""
        self._taken = [part for part in self._taken if part[0] != start]


def aligned(nbytes: int) -> int:
    """The next number at which something may start."""
    return -(-nbytes // _ALIGNMENT) * _ALIGNMENT
