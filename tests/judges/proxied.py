"""Judges of a master behind nginx and HAProxy, if they are here: `python -m tests.judges.proxied INTERPRETER SCRIPT`.

What follows the script are more options of the master.
"""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.judges.run import judge
from tests.proxies import KINDS, proxy


def main(interpreter: str, script: str, *options: str) -> int:
    """The exit code of the first judge who finds fault."""
    if not KINDS:
        print("no proxy is tried: neither nginx nor HAProxy is installed")
    for kind in KINDS:
        print(f"behind {kind}", flush=True)
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)

            @contextmanager
            def front(doors: list[str], kind: str = kind, folder: Path = folder) -> Iterator[list[str]]:
                grpc, rest = (int(door.rpartition(":")[2]) for door in doors)
                with proxy(kind, [(grpc, rest)], folder) as ports:
                    yield [f"127.0.0.1:{port}" for port in ports]

            if code := judge(interpreter, script, options, folder, front=front):
                return code
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
