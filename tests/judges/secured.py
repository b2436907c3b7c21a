"""Judges of a master behind TLS with client certificates, and tokens: `python -m tests.judges.secured INTERPRETER`.

What follows the interpreter are more options of the master.
"""

import sys
import tempfile
from pathlib import Path

import trustme

from tests.judges.run import judge


def main(interpreter: str, *options: str) -> int:
    """The exit code of the judge's script."""
    with tempfile.TemporaryDirectory() as scratch:
        keys = Path(scratch) / "keys"
        keys.mkdir()
        authority = trustme.CA()
        authority.cert_pem.write_to_path(keys / "ca.pem")
        for name, certificate in (
            ("server", authority.issue_cert("127.0.0.1", "localhost")),
            ("client", authority.issue_cert("client.example")),
        ):
            certificate.private_key_pem.write_to_path(keys / f"{name}.key")
            certificate.cert_chain_pems[0].write_to_path(keys / f"{name}.pem")
        (keys / "tokens").touch(mode=0o600)
        (keys / "tokens").write_text("a-token-of-the-judge\n")
        guards = [
            *("--tls-certificate", str(keys / "server.pem"), "--tls-key", str(keys / "server.key")),
            *("--tls-client-ca", str(keys / "ca.pem"), "--token-file", str(keys / "tokens")),
        ]
        return judge(interpreter, "with_security.py", [*guards, *options], Path(scratch), str(keys))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
