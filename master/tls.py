"""A door's certificate and key, read and tried once, before the door opens."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path

from mindspore_serving.cluster.errors import SetupError


@dataclass(frozen=True)
class Tls:
    """PEM contents, as gRPC takes them, and the same as Python takes it.

    `custom_ca`: who signs the clients' certificates, which `verify_client` demands of them.
    """

    certificate: bytes
    private_key: bytes = field(repr=False)
    custom_ca: bytes | None
    verify_client: bool
    context: ssl.SSLContext
    http2_context: ssl.SSLContext  # the same, which offers nothing but HTTP/2 (ALPN, RFC 9113 §3.2)


def read_tls(certificate: str, private_key: str, custom_ca: str | None, verify_client: bool) -> Tls:
    """Reads the files and tries them. Raises SetupError, which names the file."""
    contents = (
        _read("certificate_chain", certificate),
        _read("private_key", private_key),
        None if custom_ca is None else _read("root certificate", custom_ca),
    )
    context, http2_context = (_context(certificate, private_key, custom_ca, verify_client) for _ in range(2))
    http2_context.set_alpn_protocols(["h2"])
    return Tls(*contents, verify_client, context, http2_context)


def _context(certificate: str, private_key: str, custom_ca: str | None, verify_client: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, private_key, password=lambda: b"")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise SetupError(
                f"Serving Error: private_key {private_key} is not consistent with certificate {certificate}"
            ) from error
        raise SetupError(
            f"Serving Error: load private_key from {private_key} failed, or certificate_chain from {certificate}: "
            f"{error.reason or error}"
        ) from error
    if custom_ca is not None:
        try:
            context.load_verify_locations(custom_ca)
        except ssl.SSLError as error:
            raise SetupError(
                f"Serving Error: load root certificate from {custom_ca} failed: {error.reason or error}"
            ) from error
    if verify_client:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _read(what: str, path: str) -> bytes:
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise SetupError(f"Serving Error: load {what} from {path} failed: {error.strerror}") from error
    if b"-----BEGIN " not in content:
        raise SetupError(f"Serving Error: load {what} from {path} failed: it is not in PEM format")
    return content
