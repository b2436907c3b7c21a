"""nginx and HAProxy as deploy/proxies/ sets them up, on ports of a test's own."""

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.processes import ROOT, free_ports, listens, until

KINDS = [kind for kind in ("nginx", "haproxy") if shutil.which(kind)]
_FILES = {"nginx": "nginx.conf", "haproxy": "haproxy.cfg"}
_GRPC, _REST = "8500", "8080"  # in the files; the masters' ports are there in this order
_MASTERS = (("5500", "5900"), ("5501", "5901"))


@contextmanager
def proxy(kind: str, masters: Sequence[tuple[int, int]], folder: Path) -> Iterator[tuple[int, int]]:
    """Runs one before these masters' ports for gRPC and HTTP, one or two. Gives its own two."""
    ports = free_ports(2 + 2 * (len(_MASTERS) - len(masters)))
    new = dict(zip((_GRPC, _REST), ports, strict=False))
    spare = iter(ports[2:])  # where nobody listens
    for place, old in enumerate(_MASTERS):
        real = masters[place] if place < len(masters) else (next(spare), next(spare))
        new.update(zip(old, real, strict=True))
    text = (ROOT / "deploy" / "proxies" / _FILES[kind]).read_text()
    text = re.sub("|".join(rf"\b{old}\b" for old in new), lambda found: str(new[found[0]]), text)
    log = (folder / f"{kind}.log").open("w")
    process = subprocess.Popen(_command(kind, text, folder), stdout=log, stderr=subprocess.STDOUT)
    try:
        until(lambda: process.poll() is not None or all(map(listens, ports[:2])), f"{kind}, see {log.name}")
        assert process.poll() is None, Path(log.name).read_text()
        yield ports[0], ports[1]
    finally:
        process.terminate()
        process.wait()
        log.close()


def _command(kind: str, text: str, folder: Path) -> list[str]:
    file = folder / _FILES[kind]
    if kind == "haproxy":
        file.write_text(text)
        return ["haproxy", "-db", "-f", str(file)]
    places = [f"{part}_temp_path {folder}/{part};" for part in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")]
    file.write_text(text.replace("http {", "\n".join(["http {", "access_log off;", *places])))
    options = f"daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr warn;"
    return ["nginx", "-e", "stderr", "-p", str(folder), "-c", str(file), "-g", options]
