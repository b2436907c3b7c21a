"""HOST:PORT and unix:PATH as people write them."""

import ipaddress
from typing import NamedTuple, TypeAlias

from mindspore_serving.cluster.errors import SetupError

LOOPBACK = "127.0.0.1"


class Address(NamedTuple):
    """A TCP endpoint. Its text form is HOST:PORT, an IPv6 host in brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        # Every IPv6 address has two colons at least; a host with one is none, and is told as it was written.
        return f"[{self.host}]:{self.port}" if self.host.count(":") > 1 else f"{self.host}:{self.port}"


class UnixPath(NamedTuple):
    """A socket in the file system of one machine. Its text form is unix:PATH."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


Endpoint: TypeAlias = Address | UnixPath

_LONGEST_PORT = 18  # digits; Python refuses to read very long numbers
_LONGEST_PATH = 107  # bytes; sockaddr_un of unix(7)


def parse_endpoint(text: str, what: str, default_host: str | None = LOOPBACK) -> Endpoint:
    """Reads what parse_address reads, or unix:PATH. Raises SetupError."""
    if not text.startswith("unix:"):
        return parse_address(text, what, default_host)
    path = text.removeprefix("unix:")
    if not path:
        raise SetupError(f"{what} '{text}' has no path, for example unix:/run/mindspore-serving/control")
    if len(path.encode(errors="replace")) > _LONGEST_PATH:
        raise SetupError(f"{what} '{text}': the path of a unix socket has at most {_LONGEST_PATH} bytes")
    if not path.isprintable():
        raise SetupError(f"{what} {text!r}: the path has characters that cannot be printed")
    return UnixPath(path)


def is_loopback(endpoint: Endpoint) -> bool:
    """Whether only programs on this machine reach it. A host name other than localhost is not looked up: it may not."""
    if isinstance(endpoint, UnixPath) or endpoint.host == "localhost":
        return True
    try:
        return ipaddress.ip_address(endpoint.host).is_loopback
    except ValueError:
        return False


def for_zeromq(endpoint: Endpoint) -> str:
    """The endpoint as ZeroMQ writes it."""
    return f"ipc://{endpoint.path}" if isinstance(endpoint, UnixPath) else f"tcp://{endpoint}"


def from_zeromq(endpoint: str) -> str:
    """An endpoint of ZeroMQ's as people write it: the text form of what for_zeromq() was given."""
    scheme, _, place = endpoint.partition("://")
    return f"unix:{place}" if scheme == "ipc" else place


def _is_host(host: str) -> bool:
    """Whether it may be looked up: asking for another one is an error of its own kind."""
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return host.isprintable() and host != "" and "//" not in host


def parse_address(text: str, what: str, default_host: str | None = LOOPBACK, lowest_port: int = 1) -> Address:
    """Reads `[HOST:]PORT`, or `HOST:PORT` when there is no default host.

    `what` names the setting in errors. Raises SetupError.
    """
    host, colon, port = text.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon and default_host is not None:
        host = default_host
    wanted = "[HOST:]PORT" if default_host is not None else "HOST:PORT"
    if not _is_host(host):
        raise SetupError(f"{what} '{text}' is not {wanted}, for example {LOOPBACK}:6500")
    if not (port.isascii() and port.isdigit()):
        raise SetupError(f"{what} '{text}' is not {wanted}: the port '{port}' is not a number")
    if len(port) > _LONGEST_PORT or not lowest_port <= int(port) <= 65535:
        raise SetupError(f"{what} '{text}': the port should be in range [1,65535]")
    return Address(host, int(port))
