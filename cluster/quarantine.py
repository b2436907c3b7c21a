"""A method whose workers die one after the other, with no batch done in between, is shut off for a while.

OPEN --deaths in a row--> SHUT --its time is over--> ON TRIAL --a batch is done--> OPEN
ON TRIAL --one death--> SHUT, for twice as long
"""

FIRST_SECONDS = 10.0
LONGEST_SECONDS = 600.0


class Quarantine:
    """The record of one method of one version."""

    def __init__(self, most_deaths: int) -> None:
        self._most_deaths = most_deaths
        self._died: set[str] = set()  # since a batch was done
        self._seconds = FIRST_SECONDS
        self._on_trial = False
        self._until: float | None = None

    def death(self, name: str, now: float) -> bool:
        """A worker was lost while it ran the method. True: the method is shut off by this.

        The same name counts once: a worker that loses its connection again and again has not died in between.
        """
        if self._until is not None:
            return False
        self._died.add(name)
        if not self._on_trial and len(self._died) < self._most_deaths:
            return False
        self._until = now + self._seconds
        self._seconds = min(2 * self._seconds, LONGEST_SECONDS)
        return True

    def success(self) -> None:
        """A batch of the method was done."""
        self._died.clear()
        self._seconds = FIRST_SECONDS
        self._on_trial = False
        self._until = None

    @property
    def until(self) -> float | None:
        """When the method will be tried again; None: it is not shut off."""
        return self._until

    def try_again(self, now: float) -> bool:
        """Opens on trial what has been shut long enough; True when that happened now."""
        if self._until is None or now < self._until:
            return False
        self._until = None
        self._died.clear()
        self._on_trial = True
        return True
