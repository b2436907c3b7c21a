"""Who may talk to a master: control keys, certificates and tokens, read from the files that its settings name."""

import logging
from dataclasses import dataclass

from mindspore_serving.cluster.addresses import is_loopback
from mindspore_serving.master.config import MasterConfig
from mindspore_serving.master.curve import MasterKeys, read_master_keys
from mindspore_serving.master.tls import Tls, read_tls
from mindspore_serving.master.tokens import Tokens

logger = logging.getLogger("mindspore_serving.master")


@dataclass(frozen=True)
class Security:
    """`keys`: of the control port. `tls`: of both doors. `tokens`: what a call has to bring along."""

    keys: MasterKeys | None
    tls: Tls | None
    tokens: Tokens | None


def read_security(config: MasterConfig) -> Security:
    """Reads the files, and warns of what others could overhear. Raises SetupError, which names the file."""
    tls = None
    if config.tls_certificate is not None and config.tls_key is not None:
        ca = None if config.tls_client_ca is None else str(config.tls_client_ca)
        tls = read_tls(str(config.tls_certificate), str(config.tls_key), ca, ca is not None)
    tokens = None if config.token_file is None else Tokens(config.token_file)
    for option, address in (("--grpc", config.grpc), ("--rest", config.rest)):
        if tokens is not None and tls is None and address is not None and not is_loopback(address):
            logger.warning(
                "tokens travel in clear text at %s %s: give --tls-certificate and --tls-key", option, address
            )
    if config.insecure and config.ctrl is not None and not is_loopback(config.ctrl):
        logger.warning("--insecure: whoever reaches %s can read requests and answer them", config.ctrl)
    keys = None if config.curve_dir is None else read_master_keys(config.curve_dir)
    return Security(keys, tls, tokens)
