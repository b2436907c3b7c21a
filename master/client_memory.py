"""Memory of clients on the master's own machine, in which they lay tensors instead of sending them.

POSIX shared memory (shm_open(3)), which Linux has as files in /dev/shm. Clients register parts of it by a name and tell
in a call where its tensors lie there: Triton's docs/protocol/extension_shared_memory.md. What the master reads goes
straight to where the worker reads it.

A client that changes what it has asked about, before it is answered, gets an answer to either.
"""

import errno
import fnmatch
import os
import stat
from collections.abc import Sequence

from mindspore_serving.master.config import MasterConfig
from mindspore_serving.master.error_status import (
    ALREADY_THERE,
    FORBIDDEN,
    INTERNAL,
    NOT_FOUND,
    OVERLOADED,
    UNIMPLEMENTED,
    CallFault,
)
from mindspore_serving.master.memory_part import OpenFile, Part
from mindspore_serving.master.region_table import MOST_NAME_BYTES, MOST_REGIONS, Region, RegionTable, table_for
from mindspore_serving.master.v2_types import quoted, refuse

FOLDER = "/dev/shm"  # shm_open(3) in glibc and musl
OFF_TEXT = "the master was started without --shared-memory: send tensors in requests"
_FLAGS = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # a pipe of such a name is not waited for


class ClientMemory:
    """One for each process of a master; they have one table. Without it, clients may register nothing.

    names: patterns, with * and ?, of which a memory's name has to match one. most_bytes: of one request. Raises
    CallFault where a client is wrong.
    """

    def __init__(self, names: Sequence[str] = (), table: RegionTable | None = None, most_bytes: int = 0) -> None:
        self.most_bytes = most_bytes
        self._names = names
        self._table = table
        self._number = -1
        self._regions: dict[str, Region] = {}
        self._files: dict[str, OpenFile] = {}  # of those that were used here

    @property
    def is_on(self) -> bool:
        """Whether clients may register anything."""
        return self._table is not None

    def register(self, name: str, key: str, offset: int, nbytes: int) -> None:
        """From now on the region of this name is so many bytes of the memory `key`, from `offset` on."""
        table = self._demanded()
        if not 0 < len(name.encode()) <= MOST_NAME_BYTES:
            refuse(f"a region's name has 1 to {MOST_NAME_BYTES} bytes, given {quoted(name)}")
        self._check_key(key)
        fd = _open(key)
        file = OpenFile(fd)
        about = os.fstat(fd)
        if nbytes <= 0 or offset < 0 or offset + nbytes > about.st_size:
            refuse(
                f"region {quoted(name)}: shared memory {quoted(key)} has {about.st_size} bytes, "
                f"given are offset {offset} and byte_size {nbytes}"
            )
        with table.change() as regions:
            if name in regions:
                text = (
                    f"region {quoted(name)} is registered already, of {quoted(regions[name].key)}: unregister it first"
                )
                raise CallFault(ALREADY_THERE, text)
            if len(regions) >= MOST_REGIONS:
                raise CallFault(
                    OVERLOADED, f"{MOST_REGIONS} regions are registered, the most there can be: unregister some"
                )
            regions[name] = Region(name, key, offset, nbytes, about.st_dev, about.st_ino)
        self._refresh(table)
        self._files[name] = file

    def unregister(self, name: str) -> None:
        """The region is not known any more, if it was; those of all clients where the name is empty."""
        table = self._demanded()
        with table.change() as regions:
            if name:
                regions.pop(name, None)
            else:
                regions.clear()
        self._refresh(table)

    def regions(self, name: str) -> list[Region]:
        """That of this name, or all where it is empty."""
        self._refresh(self._demanded())
        if not name:
            return list(self._regions.values())
        return [self._known(name)]

    def part(self, name: str, offset: int, nbytes: int) -> Part:
        """Bytes of a region, from `offset` of it on."""
        table = self._demanded()
        if table.number != self._number:
            self._refresh(table)
        region = self._known(name)
        if offset < 0 or nbytes < 0 or offset + nbytes > region.nbytes:
            refuse(
                f"region {quoted(name)} has {region.nbytes} bytes, "
                f"given are shared_memory_offset {offset} and shared_memory_byte_size {nbytes}"
            )
        file = self._files.get(name)
        if file is None:
            file = self._files[name] = _open_again(region)
        part = Part(file, region.offset + offset, nbytes)
        if not part.is_there:
            refuse(f"region {quoted(name)}: shared memory {quoted(region.key)} has become smaller, register it again")
        return part

    def close(self) -> None:
        """Whoever has a part of it may still use that."""
        self._files.clear()

    def _demanded(self) -> RegionTable:
        if self._table is None:
            raise CallFault(UNIMPLEMENTED, OFF_TEXT)
        return self._table

    def _known(self, name: str) -> Region:
        region = self._regions.get(name)
        if region is None:
            raise CallFault(NOT_FOUND, f"no shared memory region {quoted(name)} is registered")
        return region

    def _check_key(self, key: str) -> None:
        name = _file_name(key)
        if not 0 < len(name.encode()) <= MOST_NAME_BYTES or "/" in name or "\0" in name or name in (".", ".."):
            refuse(f"key {quoted(key)} should be a shared memory's name: '/', then 1 to {MOST_NAME_BYTES} other bytes")
        if not any(fnmatch.fnmatchcase(name, _file_name(pattern)) for pattern in self._names):
            allowed = ", ".join(self._names)
            raise CallFault(FORBIDDEN, f"key {quoted(key)}: --shared-memory of the master allows {allowed}")

    def _refresh(self, table: RegionTable) -> None:
        before = self._regions
        self._number, self._regions = table.read()
        for name in list(self._files):
            if self._regions.get(name) != before.get(name):
                del self._files[name]


def _file_name(key: str) -> str:
    return key.removeprefix("/")


def client_memory(config: MasterConfig, table: RegionTable | None = None) -> ClientMemory:
    """As the settings say; `table`: of all processes, if there are several. Raises SetupError."""
    table = table or table_for(config.shared_memory)
    return ClientMemory(config.shared_memory, table, config.max_message_mb << 20)


def _open_again(region: Region) -> OpenFile:
    """What another process has registered."""
    file = OpenFile(_open(region.key))
    about = os.fstat(file.fd)
    if (about.st_dev, about.st_ino) != (region.device, region.inode):
        text = f"region {quoted(region.name)}: {quoted(region.key)} is another memory now, register it again"
        raise CallFault(NOT_FOUND, text)
    return file


def _open(key: str) -> int:
    try:
        fd = os.open(f"{FOLDER}/{_file_name(key)}", _FLAGS)
    except FileNotFoundError as error:
        raise CallFault(NOT_FOUND, f"there is no shared memory {quoted(key)} on the master's machine") from error
    except PermissionError as error:
        text = f"shared memory {quoted(key)} may not be read and written by the master's user"
        raise CallFault(FORBIDDEN, text) from error
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR):
            refuse(f"key {quoted(key)} is no shared memory")
        raise CallFault(INTERNAL, f"shared memory {quoted(key)} cannot be opened: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        refuse(f"key {quoted(key)} is no shared memory")
    return fd
