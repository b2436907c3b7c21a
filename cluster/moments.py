"""Moments, of which some never come."""


def earliest(*moments: float | None) -> float | None:
    """The first of them; None when none comes."""
    first: float | None = None
    for moment in moments:
        if moment is not None and (first is None or moment < first):
            first = moment
    return first
