"""How a door parts with its clients: who was told too late to go elsewhere is waited for, and served."""

import asyncio
from collections.abc import Callable

_LOOKS, _LOOK_SECONDS = 100, 0.01  # for what is on its way to come


async def nothing_is_coming(is_coming: Callable[[], bool]) -> None:
    """Returns when `is_coming` says so, or after a second. To be awaited once listeners are closed."""
    for _ in range(_LOOKS):
        await asyncio.sleep(_LOOK_SECONDS)  # also before the first look: asyncio tells late of the last connections
        if not is_coming():
            return
