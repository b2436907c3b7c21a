"""A Client's address text -> the gRPC targets of its channels. Forms: docs/client.md. Refusals are RuntimeErrors.

gRPC balances over several addresses by itself only when they are plain IP addresses of one family (its `ipv4:` and
`ipv6:` targets, github.com/grpc/grpc, doc/naming.md). Names, unix sockets and mixtures get a channel each, and so does
each address of a TLS connection: gRPC would look for the whole list in a server's certificate.
"""

import ipaddress
import re

_SCHEME = re.compile(r"(unix|unix-abstract|dns|ipv4|ipv6|vsock|xds):(.+)", re.DOTALL)
_HOST_PORT = re.compile(r"(\[[^\[\]]+\]|[^\s:/\[\]]+):([0-9]+)")
_MAX_PORT = 65535


def targets(text: str, secure: bool) -> tuple[str, ...]:
    """One gRPC target for each channel to be opened. Raises RuntimeError for what is no address."""
    if text.startswith(("ipv4:", "ipv6:")):
        return (text,)
    parts = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    for part in parts:
        _check(part, text)
    if len(parts) > 1 and not secure:
        for version in (4, 6):
            if all(_ip_version(part) == version for part in parts):
                return (f"ipv{version}:{','.join(parts)}",)
    return parts


def stays_on_this_host(text: str) -> bool:
    """Whether every address is a loopback address or a unix socket, so that nobody else can listen."""
    return all(_is_local(part.strip()) for part in text.split(","))


def _check(part: str, text: str) -> None:
    if not part:
        raise RuntimeError(f"the address '{text}' has an empty place: write HOST:PORT,HOST:PORT")
    if _SCHEME.fullmatch(part):
        return
    found = _HOST_PORT.fullmatch(part)
    if found is None or (part.startswith("[") and _ip_version(part) != 6):
        raise RuntimeError(f"the address '{part}' is not HOST:PORT, [IPv6]:PORT or unix:PATH")
    if not 1 <= int(found[2]) <= _MAX_PORT:
        raise RuntimeError(f"the port of the address '{part}' should be in range [1,{_MAX_PORT}]")


def _ip_version(part: str) -> int | None:
    """4 or 6 for IP:PORT, else None."""
    found = _HOST_PORT.fullmatch(part)
    if found is None:
        return None
    try:
        address = ipaddress.ip_address(found[1].strip("[]"))
    except ValueError:
        return None
    return address.version if (address.version == 6) == found[1].startswith("[") else None


def _is_local(part: str) -> bool:
    scheme = _SCHEME.fullmatch(part)
    if scheme is not None and scheme[1] in ("unix", "unix-abstract"):
        return True
    plain = part if scheme is None else scheme[2].rpartition("/")[2]
    host = plain.rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
