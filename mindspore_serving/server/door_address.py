"""The addresses that the start calls listen at, with the texts of MindSpore Serving 2.0.2 for what cannot be one."""

from pathlib import Path

from mindspore_serving.cluster.addresses import Address, Endpoint, UnixPath
from mindspore_serving.cluster.arguments import check_str
from mindspore_serving.cluster.errors import SetupError

# The original made this folder in the current one, and scripts put their sockets there too.
SOCKET_FOLDER = Path("unix_socket_files")


def read_grpc_address(address: str) -> Endpoint:
    """Reads ip:port or unix:path. Raises SetupError."""
    check_str("address", address)
    if address.startswith("unix:"):
        path = address.removeprefix("unix:")
        if not path:
            raise SetupError("Serving Error: Empty grpc server unix domain socket address")
        if Path(path).parent != SOCKET_FOLDER and not Path(path).absolute().parent.is_dir():
            raise SetupError(
                "Serving Error: Serving gRPC server start failed, create server failed, "
                f"address {address}: there is no directory {Path(path).absolute().parent}"
            )
        return UnixPath(path)
    return _read_tcp(address, "Serving gRPC address")


def read_rest_address(address: str) -> Address:
    """Reads ip:port. Raises SetupError."""
    check_str("address", address)
    if address.startswith("unix:"):
        raise SetupError("Serving Error: RESTful server does not support binding to unix domain socket")
    return _read_tcp(address, "RESTful server address")


def _read_tcp(address: str, what: str) -> Address:
    host, colon, port = address.rpartition(":")
    if not colon:
        raise SetupError(f"Serving Error: The format of the {what} '{address}' is illegal")
    if not host or not port:
        raise SetupError(f"Serving Error: Missing ip or port of the {what} '{address}'")
    if not (port.isascii() and port.isdigit()):
        raise SetupError(f"Serving Error: The type of {what} '{address}' port is not a number")
    if not 1 <= int(port) <= 65535:
        raise SetupError(f"Serving Error: The port of the {what} '{address}' is out of legal range [1 ~ 65535]")
    return Address(host.removeprefix("[").removesuffix("]"), int(port))
