"""Whether an address can be listened at: libraries only log why not, or take another process's unix socket."""

import errno
import os
import socket
from pathlib import Path

from mindspore_serving.cluster.addresses import Endpoint, UnixPath


def check_free(address: Endpoint) -> None:
    """Raises the OSError that tells why an address cannot be had."""
    if isinstance(address, UnixPath):
        _check_path(Path(address.path))
        return
    ((family, kind, protocol, _, resolved), *_) = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as gRPC does: the last owner may linger
        probe.bind(resolved)


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
