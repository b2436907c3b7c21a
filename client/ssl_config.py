"""SSLConfig: the files that a client's TLS needs."""

from pathlib import Path

import grpc


class SSLConfig:
    """PEM files, all optional. custom_ca: who signs the server's certificate, if nobody that the system trusts.

    certificate, private_key: of this client, for a server that asks for them; only together.
    Raises RuntimeError for files that cannot be read.
    """

    def __init__(
        self, certificate: str | None = None, private_key: str | None = None, custom_ca: str | None = None
    ) -> None:
        if (certificate is None) != (private_key is None):
            raise RuntimeError("Parameter 'certificate' and 'private_key' should be given together")
        self.certificate = certificate
        self.private_key = private_key
        self.custom_ca = custom_ca
        self.credentials: grpc.ChannelCredentials = grpc.ssl_channel_credentials(
            root_certificates=_read("custom_ca", custom_ca),
            private_key=_read("private_key", private_key),
            certificate_chain=_read("certificate", certificate),
        )


def _read(name: str, path: str | None) -> bytes | None:
    if path is None:
        return None
    if not isinstance(path, str):
        raise RuntimeError(f"Parameter '{name}' should be str, but actually {type(path)}")
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise RuntimeError(f"{name} '{path}' cannot be read: {error.strerror}") from error
