"""A response's head and its body in one packet: uvicorn writes them apart, and to send costs more than to make them."""

import asyncio

_JOINED_BYTES = 64 * 1024  # up to here one copy costs less than to send twice


class JoinedWrites:
    """What a response of uvicorn's needs of its transport. Each second write of a turn of the event loop takes the
    first one along; the turn's end does otherwise.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held = b""

    def write(self, data: bytes) -> None:
        """Sends this, soon."""
        if not self._held:
            self._held = data
            self._loop.call_soon(self._flush)
        elif len(data) <= _JOINED_BYTES:
            held, self._held = self._held, b""
            self._transport.write(held + data)
        else:
            self._flush()
            self._transport.write(data)

    def close(self) -> None:
        """Closes when all is sent."""
        self._flush()
        self._transport.close()

    def is_closing(self) -> bool:
        """Whether it is closed, or will be."""
        return self._transport.is_closing()

    def _flush(self) -> None:
        if self._held:
            held, self._held = self._held, b""
            self._transport.write(held)
