"""Heads of HTTP calls that came before, byte by byte: clients repeat them, and they mean what they meant.

A head is the request line and the headers. To look one up takes a tenth of the time of parsing it.
"""

from mindspore_serving.master.whole_calls import WholeHead

_MOST_BYTES = 2048  # of a head
_MOST_HEADS = 512
_END = b"\r\n\r\n"


class KnownHeads:
    """Of all connections of a door."""

    def __init__(self) -> None:
        self._heads: dict[bytes, WholeHead] = {}

    def learn(self, received: bytes, head: WholeHead) -> None:
        """The parser found this head first in what was received, and a body behind it."""
        end = received.find(_END) + len(_END)
        if end > _MOST_BYTES or len(received) - end != head.body_bytes:  # or more came than this one call
            return
        if len(self._heads) >= _MOST_HEADS:
            self._heads.clear()
        self._heads[received[:end]] = head

    def find(self, received: bytes) -> WholeHead | None:
        """That of the one call which was received, if it is known. Its body is the last of these bytes."""
        end = received.find(_END, 0, _MOST_BYTES) + len(_END)
        head = self._heads.get(received[:end])
        return head if head is not None and len(received) - end == head.body_bytes else None
