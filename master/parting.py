"""How a door parts with its clients: nobody new gets in, and nobody is lost who was on the way.

A server that closes resets whoever waits to be accepted, and may refuse who was told too late to go elsewhere. So the
last ones are let in, told, and served.
"""

import asyncio
from collections.abc import Callable, Iterable

_LOOKS, _LOOK_SECONDS = 100, 0.01  # for what is on its way to come
_TURNS = 2  # of the event loop: in the first it hears of a connection; in the second the connection is the server's


async def close_behind_the_last(servers: Iterable[asyncio.Server]) -> None:
    """Nobody new gets in. Whoever has connected by now does."""
    await _turns()
    for server in servers:
        for listener in server.sockets:
            asyncio.get_running_loop().remove_reader(listener.fileno())
    await _turns()  # asyncio leaks whom it has accepted for a server that is closed meanwhile
    for server in servers:
        server.close()


async def _turns() -> None:
    for _ in range(_TURNS):
        await asyncio.sleep(0)


async def nothing_is_coming(is_coming: Callable[[], bool]) -> None:
    """Returns when `is_coming` says so, or after a second. To be awaited once listeners are closed."""
    for _ in range(_LOOKS):
        await asyncio.sleep(_LOOK_SECONDS)  # also before the first look: asyncio tells late of the last connections
        if not is_coming():
            return
