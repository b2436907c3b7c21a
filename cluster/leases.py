"""Who was heard of lately. All leases are equally long, so the order of renewal is the order of expiry."""

from collections import OrderedDict


class Leases:
    """Each holder keeps its place for `seconds` after it was last heard of. More holders cost no more time."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._expires_at: OrderedDict[str, float] = OrderedDict()
        self._not_before: float | None = None  # that of the first holder, or of whoever was that

    def renew(self, holder: str, now: float) -> None:
        self._expires_at[holder] = expires_at = now + self.seconds
        self._expires_at.move_to_end(holder)
        if self._not_before is None:
            self._not_before = expires_at

    def end(self, holder: str) -> None:
        self._expires_at.pop(holder, None)
        if not self._expires_at:
            self._not_before = None

    def expired(self, now: float) -> list[str]:
        """The holders whose lease has run out, oldest first; their leases end here."""
        gone = []
        while self._expires_at:
            holder, expires_at = next(iter(self._expires_at.items()))
            if expires_at > now:
                break
            del self._expires_at[holder]
            gone.append(holder)
        self._not_before = next(iter(self._expires_at.values()), None)
        return gone

    def next_expiry(self, now: float) -> float | None:
        """No lease runs out before. This is asked after every event: where the first has been renewed is seen later."""
        if self._not_before is not None and self._not_before <= now:
            self._not_before = next(iter(self._expires_at.values()), None)
        return self._not_before
