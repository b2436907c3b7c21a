"""A client's shared memory, as the protocol's clients make it."""

import secrets
from multiprocessing import shared_memory
from types import TracebackType
from typing import Any

from mindspore_serving.master.client_memory import ClientMemory
from mindspore_serving.master.region_table import RegionTable

PREFIX = "mindspore-serving-test-"
MOST_BYTES = 1 << 20  # of a request
HALF = 65536  # of a client's memory: a tensor so large is not in a message's header
NBYTES = 2 * HALF


def sharing() -> ClientMemory:
    """What a master may share with clients who name their memory as PosixMemory does."""
    return ClientMemory([f"{PREFIX}*"], RegionTable(), MOST_BYTES)


def where(nbytes: int, offset: int | None = None, region: str = "r") -> dict[str, Any]:
    """Parameters of a tensor in memory."""
    place = {} if offset is None else {"shared_memory_offset": offset}
    return {"shared_memory_region": region, "shared_memory_byte_size": nbytes, **place}


class PosixMemory:
    """So many bytes, in a name of their own until the end of the block."""

    def __init__(self, nbytes: int, prefix: str = PREFIX) -> None:
        self._memory = shared_memory.SharedMemory(f"{prefix}{secrets.token_hex(8)}", create=True, size=nbytes)
        self.key = f"/{self._memory.name}"
        self.path = f"/dev/shm/{self._memory.name}"
        assert self._memory.buf is not None
        self.buffer = self._memory.buf

    def __enter__(self) -> "PosixMemory":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.buffer.release()
        self._memory.close()
        self._memory.unlink()
