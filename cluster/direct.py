"""Messages on a stream: how master and worker talk past ZeroMQ where they share a machine.

ZeroMQ hands each message to a thread of its own, on both sides: four threads are woken up on the way there and back,
which for a lone small request takes longer than all the rest (benchmarks/transports.py). So a worker offers an abstract
unix socket in its Register, and the master that can reach it connects there: from its Registered on, both sides talk on
that connection until it ends. It ends like ZeroMQ's: the worker registers again.

A message is: the number of its frames, the size of each, then the frames, as codec.py makes them. Sizes are little
endian. The connection starts with the offer's token, which proves that the master connected and nobody else.

With the token the master may hand over two memories: for large frames of its own, and for the worker's. What lies there
is told by its size with the highest bit set, and in the stream is only where it starts. The master's frames lie there
until the worker has answered. Before each of the worker's are MARK_BYTES, of which the first is MARKED until the master
has no more use for the frame and clears it: nobody need say so.
"""

import re
import struct
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeAlias

from mindspore_serving.cluster.errors import FrameError
from mindspore_serving.cluster.tensors import Buffer

TOKEN_BYTES = 16
MAX_FRAMES: Final = 1024
MAX_FRAME_BYTES: Final = 1 << 30  # what a socket, of ZeroMQ or direct, accepts in one frame
READ_BYTES: Final = 64 * 1024  # what one read may bring of small messages
MOST_HEADER_BYTES = 32 * 1024  # of a message whose other frames lie elsewhere: it is read at once
MARK_BYTES = 64  # so that the frame behind them is aligned as they are
MARKED = 1
_JOINED_BYTES = 32 * 1024  # up to here one copy costs less than to send several buffers
_MOST_CHUNKS = 64  # that one sendmsg() is given

_PLACED: Final = 1 << 63  # in the size of a frame that lies in the memory
_START_BYTES: Final = 8  # what stands in the stream for it

_COUNT_BYTES: Final = 4
_SIZE = struct.Struct("<Q")
_ONE_FRAME: Final = struct.Struct("<IQ")  # most messages: small tensors stand in the header
_HEX = re.compile("[0-9a-f]{32}", re.ASCII)


class DirectOffer(NamedTuple):
    """Where a worker can be reached on its own machine, and the proof that the offer was heard: 32 hex digits each."""

    place: str
    token: str

    @property
    def address(self) -> str:
        """In Linux's abstract namespace: it leaves nothing behind, and a peer cannot name a socket that is not ours."""
        return f"\0mindspore-serving-{self.place}"

    @property
    def proof(self) -> bytes:
        return bytes.fromhex(self.token)


class Place(NamedTuple):
    """Where a frame lies in the memory that the master has handed over."""

    start: int
    nbytes: int


FrameAt: TypeAlias = Callable[[Place], Buffer]  # raises FrameError where there is none


def parts_of(memory: memoryview) -> FrameAt:
    """The frames of this memory."""

    def part_at(place: Place) -> Buffer:
        if place.start + place.nbytes > len(memory):
            raise FrameError("a frame lies where there is no memory")
        return memory[place.start : place.start + place.nbytes]

    return part_at


def read_offer(place: str, token: str) -> DirectOffer:
    """The offer in these words of a peer. Raises ValueError."""
    if not _HEX.fullmatch(place) or not _HEX.fullmatch(token):
        raise ValueError("an offer of a direct connection has 32 hex digits twice")
    return DirectOffer(place, token)


class Outbox:
    """What is still to be sent, in order: the caller sends chunks() and tells how many bytes went."""

    def __init__(self) -> None:
        self._chunks: deque[Buffer] = deque()

    def __bool__(self) -> bool:
        return bool(self._chunks)

    def __len__(self) -> int:
        return len(self._chunks)

    def put(self, frames: Sequence[Buffer]) -> None:
        """One message more."""
        if len(frames) == 1 and len(frames[0]) <= _JOINED_BYTES:
            self._chunks.append(_ONE_FRAME.pack(1, len(frames[0])) + frames[0])
            return
        sizes = [len(frame) for frame in frames]
        prefix = struct.pack(f"<I{len(sizes)}Q", len(sizes), *sizes)
        if sum(sizes) <= _JOINED_BYTES:
            self._chunks.append(b"".join([prefix, *frames]))
        else:
            self._chunks.append(prefix)
            self._chunks.extend(frame for frame in frames if len(frame))

    def put_placed(self, header: Buffer, places: Sequence[Place]) -> None:
        """One message more, of which all but the header lies in the memory that was handed over."""
        starts, sizes = zip(*places, strict=True)
        sizes = (len(header), *[size | _PLACED for size in sizes])
        prefix = struct.pack(f"<I{len(sizes)}Q", len(sizes), *sizes)
        self._chunks.append(b"".join([prefix, header, struct.pack(f"<{len(starts)}Q", *starts)]))

    def chunks(self) -> list[Buffer]:
        """What to send next, by one sendmsg()."""
        return [self._chunks[index] for index in range(min(len(self._chunks), _MOST_CHUNKS))]

    def sent(self, count: int) -> None:
        """So many bytes of chunks() are on their way."""
        while count:
            first = self._chunks.popleft()
            if count < len(first):
                self._chunks.appendleft(memoryview(first)[count:])
                return
            count -= len(first)


class FrameReader:
    """Puts messages together. The caller fills buffer(), tells how far, and gets what is complete.

    Small messages are copied out of one buffer; the frames of a large one are read into memory of their own. `frame_at`
    finds those that lie elsewhere.
    """

    def __init__(self, frame_at: FrameAt | None = None) -> None:
        self._frame_at = frame_at
        self._small = bytearray(READ_BYTES)
        self._view = memoryview(self._small)
        self._end = 0  # of what has come into the small buffer
        self._frames: list[bytearray] = []  # of a large message: those that are complete, and the one that comes now
        self._sizes: deque[int] = deque()  # of its frames after that
        self._filled = 0  # of the last one of them

    def buffer(self) -> memoryview:
        """Where to read to; never empty."""
        if self._frames:
            return memoryview(self._frames[-1])[self._filled :]
        return self._view[self._end :]

    def received(self, count: int) -> list[list[Buffer]]:
        """The messages that these bytes complete, each as its frames. Raises FrameError: the peer makes no sense."""
        if not self._frames:
            self._end += count
            return self._split()
        self._advance(count)
        return [self._take()] if self._is_whole else []

    def _split(self) -> list[list[Buffer]]:
        messages: list[list[Buffer]] = []
        start = 0
        while (sizes := self._sizes_at(start)) is not None:
            body = start + _COUNT_BYTES + 8 * len(sizes)
            is_placed = len(sizes) > 1 and max(sizes) >= _PLACED
            end = body + (
                sum([_START_BYTES if size >= _PLACED else size for size in sizes]) if is_placed else sum(sizes)
            )
            if end - start > READ_BYTES:
                if is_placed:
                    raise FrameError("a large message has frames elsewhere")
                self._begin_large(sizes, self._view[body : self._end])
                return messages
            if end > self._end:
                break
            messages.append(self._cut(sizes, body))
            start = end
        left = self._end - start
        self._small[:left] = self._small[start : self._end]
        self._end = left
        return messages

    def _begin_large(self, sizes: Sequence[int], come: memoryview) -> None:
        self._sizes.extend(sizes)
        self._end = 0
        self._frames.append(bytearray(self._sizes.popleft()))
        self._advance(0)
        while come:  # less than the message, so there is a frame that wants it
            room = self.buffer()[: len(come)]
            room[:] = come[: len(room)]
            come = come[len(room) :]
            self._advance(len(room))

    def _advance(self, count: int) -> None:
        self._filled += count
        while self._filled == len(self._frames[-1]) and self._sizes:
            self._frames.append(bytearray(self._sizes.popleft()))
            self._filled = 0

    @property
    def _is_whole(self) -> bool:
        return not self._sizes and self._filled == len(self._frames[-1])

    def _take(self) -> list[Buffer]:
        frames: list[Buffer] = list(self._frames)
        self._frames.clear()
        self._filled = 0
        return frames

    def _sizes_at(self, start: int) -> Sequence[int] | None:
        """Of the frames of the message that starts there; None: not all of them have come."""
        come = self._end - start
        if come < _COUNT_BYTES + 8:
            return None
        one_frame: tuple[int, int] = _ONE_FRAME.unpack_from(self._small, start)
        count, largest = one_frame  # of a header alone, which is never elsewhere
        if not 1 <= count <= MAX_FRAMES:
            raise FrameError(f"a message has 1 to {MAX_FRAMES} frames, given {count}")
        if come < _COUNT_BYTES + 8 * count:
            return None
        sizes: Sequence[int] = (largest,)
        if count > 1:
            sizes = struct.unpack_from(f"<{count}Q", self._small, start + _COUNT_BYTES)
            largest = max([size & ~_PLACED for size in sizes])
        if largest > MAX_FRAME_BYTES:
            raise FrameError(f"a frame has at most {MAX_FRAME_BYTES} bytes, given {largest}")
        return sizes

    def _cut(self, sizes: Sequence[int], start: int) -> list[Buffer]:
        frames: list[Buffer] = []
        for size in sizes:
            if size > MAX_FRAME_BYTES:
                frames.append(self._placed(start, size & ~_PLACED))
                start += _START_BYTES
            else:
                frames.append(bytes(self._view[start : start + size]))
                start += size
        return frames

    def _placed(self, at: int, nbytes: int) -> Buffer:
        (start,) = _SIZE.unpack_from(self._small, at)
        if self._frame_at is None:
            raise FrameError("a frame lies in a memory, and none was handed over")
        return self._frame_at(Place(start, nbytes))
