"""SSLConfig of MindSpore Serving 2.x: the files of a door's certificate and key."""

from typing import Any

from mindspore_serving.cluster.arguments import check_bool, check_str
from mindspore_serving.cluster.errors import SetupError
from mindspore_serving.master.tls import Tls, read_tls


class SSLConfig:
    """certificate, private_key: PEM files of the server. custom_ca: PEM file of those who sign clients' certificates.

    verify_client: a client must show a certificate; needs custom_ca. Raises RuntimeError for arguments that cannot be.
    """

    def __init__(
        self, certificate: str, private_key: str, custom_ca: str | None = None, verify_client: bool = False
    ) -> None:
        check_str("certificate", certificate)
        check_str("private_key", private_key)
        if custom_ca is not None:
            check_str("custom_ca", custom_ca)
        check_bool("verify_client", verify_client)
        if verify_client and custom_ca is None:
            raise SetupError("Parameter 'custom_ca' should be given when 'verify_client' is True")
        self.certificate = certificate
        self.private_key = private_key
        self.custom_ca = custom_ca
        self.verify_client = verify_client


def check_ssl_config(ssl_config: Any, kind: str) -> None:
    """Raises SetupError unless this is an SSLConfig or None. `kind` is the door's word in the original's text."""
    if ssl_config is not None and not isinstance(ssl_config, SSLConfig):
        raise SetupError(f"The type of ssl_config should be {kind} of SSLConfig")


def read_ssl_config(ssl_config: SSLConfig | None) -> Tls | None:
    """The files' contents, None for None. Raises SetupError."""
    if ssl_config is None:
        return None
    return read_tls(ssl_config.certificate, ssl_config.private_key, ssl_config.custom_ca, ssl_config.verify_client)
