"""How many arrays and objects a JSON body may have. It is looked at before the body is read."""

import numpy as np

MOST_CONTAINERS = 1 << 22  # each takes some 60 bytes, whatever is in it
_BEGIN = ord("{")
_BIT = ord("{") ^ ord("[")  # that tells them apart
_AT_ONCE = 1 << 18  # bytes: what is made of them stays in a core's cache


def has_too_many_containers(text: bytes) -> bool:
    """Whether there are more, or as many of their signs in strings."""
    if len(text) <= MOST_CONTAINERS:
        return False
    signs = np.frombuffer(text, np.uint8)
    count = 0
    for start in range(0, len(signs), _AT_ONCE):
        count += int(np.count_nonzero((signs[start : start + _AT_ONCE] | _BIT) == _BEGIN))
    return count > MOST_CONTAINERS
