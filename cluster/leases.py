"""Who was heard of lately. All leases are equally long, so the order of renewal is the order of expiry."""

from collections import OrderedDict


class Leases:
    """Each holder keeps its place for `seconds` after it was last heard of. More holders cost no more time."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._expires_at: OrderedDict[str, float] = OrderedDict()

    def renew(self, holder: str, now: float) -> None:
        self._expires_at[holder] = now + self.seconds
        self._expires_at.move_to_end(holder)

    def end(self, holder: str) -> None:
        self._expires_at.pop(holder, None)

    def expired(self, now: float) -> list[str]:
        """The holders whose lease has run out, oldest first; their leases end here."""
        gone = []
        while self._expires_at:
            holder, expires_at = next(iter(self._expires_at.items()))
            if expires_at > now:
                break
            del self._expires_at[holder]
            gone.append(holder)
        return gone

    def next_expiry(self) -> float | None:
        """When the next lease runs out, if nothing is heard until then."""
        return next(iter(self._expires_at.values()), None)
