"""A door's certificate and key, read from files once, before the door opens."""

from dataclasses import dataclass, field
from pathlib import Path

from mindspore_serving.cluster.errors import SetupError


@dataclass(frozen=True)
class Tls:
    """PEM contents. `custom_ca`: who signs the clients' certificates, which `verify_client` demands of them."""

    certificate: bytes
    private_key: bytes = field(repr=False)
    custom_ca: bytes | None = None
    verify_client: bool = False


def read_tls(certificate: str, private_key: str, custom_ca: str | None, verify_client: bool) -> Tls:
    """Reads the files. Raises SetupError, which names the file; its contents are gRPC's to check."""
    return Tls(
        _read("certificate_chain", certificate),
        _read("private_key", private_key),
        None if custom_ca is None else _read("root certificate", custom_ca),
        verify_client,
    )


def _read(what: str, path: str) -> bytes:
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise SetupError(f"Serving Error: load {what} from {path} failed: {error.strerror}") from error
    if b"-----BEGIN " not in content:
        raise SetupError(f"Serving Error: load {what} from {path} failed: it is not in PEM format")
    return content
