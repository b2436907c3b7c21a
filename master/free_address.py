"""Whether an address can be listened at: libraries only log why not, or take another process's unix socket.

A port that the processes of one master share is reserved by the command that starts them: each of them listens there
with SO_REUSEPORT (socket(7)), and the kernel deals new connections out among those that listen.
"""

import errno
import os
import socket
from pathlib import Path

from mindspore_serving.cluster.addresses import Address, Endpoint, UnixPath


def check_free(address: Endpoint) -> None:
    """Raises the OSError that tells why an address cannot be had."""
    if isinstance(address, UnixPath):
        _check_path(Path(address.path))
        return
    ((family, kind, protocol, _, resolved), *_) = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as gRPC does: the last owner may linger
        probe.bind(resolved)


def reserve(address: Address) -> socket.socket:
    """Keeps the port from other programs for as long as the socket is open. Raises the OSError that tells why not.

    It does not listen: no connection comes here.
    """
    check_free(address)
    ((family, kind, protocol, _, resolved), *_) = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)
    holder = socket.socket(family, kind, protocol)
    try:
        share(holder)
        try:
            holder.bind(resolved)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            # Connections of an earlier owner linger. Only with this option are they overlooked, but while nobody
            # listens here yet, another program with it is let in as well: so it is set only if it must be.
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.bind(resolved)
    except OSError:
        holder.close()
        raise
    return holder


def share(listener: socket.socket) -> None:
    """Before it is bound: others of this user may listen at the same port."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


def _check_path(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as probe:
        if path.is_socket():
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                return  # left by a process that was killed
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        probe.bind(str(path))
        path.unlink()
