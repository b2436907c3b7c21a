"""When an open loop sends. Time is seconds from the loop's start; chance is an argument."""

import random
from collections.abc import Iterator


def fixed(rate: float, share: int, shares: int) -> Iterator[float]:
    """The moments of the `share`-th of `shares` senders, which together send every 1 / rate seconds."""
    number = share
    while True:
        yield number / rate  # not a sum of gaps: it would drift
        number += shares


def poisson(rate: float, shares: int, chance: random.Random) -> Iterator[float]:
    """The moments of one of `shares` senders, which together send `rate` calls a second, independent of each other.

    The sum of Poisson processes is one: each sender draws exponential gaps of its own.
    """
    moment = 0.0
    while True:
        moment += chance.expovariate(rate / shares)
        yield moment
