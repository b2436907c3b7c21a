"""A closed loop by h2load (nghttp2), which costs a tenth of grpcio: a connection for each caller.

It compares no replies and does not read gRPC's status, so the replies are compared before and after, and in between
their sizes are: an error has another one.
"""

import re
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from mindspore_serving.bench.load import PREDICT
from mindspore_serving.bench.tally import Tally
from mindspore_serving.cluster.addresses import Endpoint, UnixPath
from mindspore_serving.cluster.errors import SetupError

GRPC_HEADERS = ("--header=content-type: application/grpc", "--header=te: trailers")
_FRAME_HEAD = 5  # of a gRPC message: a zero and the length (gRPC over HTTP2, "Length-Prefixed-Message")
_GRACE_SECONDS = 30.0
_COUNTS = re.compile(r"(\d+) failed, (\d+) errored, (\d+) timeout")
_DATA = re.compile(r"\((\d+)\) data")
_EDGE_CALLS = 4  # calls a caller whose replies lie on the edges of the time measured
MOST_STRANGE = 0.002  # a part of the bytes that rounding and edges explain


class Load(NamedTuple):
    """How to load a server. A call without a reply for `timeout_seconds` is an error."""

    callers: int
    warm_up_seconds: float
    seconds: float
    timeout_seconds: float


def find_h2load() -> str | None:
    """Where the program is; None: it is not installed."""
    return shutil.which("h2load")


def framed(message: bytes) -> bytes:
    """A message as it stands in a gRPC request's body."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def run_h2load(
    endpoint: Endpoint,
    body: bytes,
    reply_bytes: int,
    *,
    callers: int,
    warm_up_seconds: float,
    seconds: float,
    timeout_seconds: float,
) -> Tally:
    """Sends one Predict again and again. Raises SetupError when the program is missing or fails."""
    unix = isinstance(endpoint, UnixPath)
    arguments = [
        *GRPC_HEADERS,
        *([f"--base-uri={endpoint}"] if unix else []),
        f"http://{'localhost' if unix else endpoint}{PREDICT}",
    ]
    load = Load(callers, warm_up_seconds, seconds, timeout_seconds)
    return send_again_and_again(arguments, framed(body), _FRAME_HEAD + reply_bytes, load)


def send_again_and_again(
    arguments: Sequence[str], body: bytes, reply_bytes: int, load: Load, most_strange: float = MOST_STRANGE
) -> Tally:
    """One request of any kind: h2load's own arguments say where to, and with which headers. Raises SetupError.

    most_strange: by what share the bytes of all replies may differ from as many of `reply_bytes`.
    """
    program = find_h2load()
    if program is None:
        raise SetupError("h2load is not installed: install nghttp2-client, or give --engine grpcio")
    with tempfile.TemporaryDirectory() as folder:
        body_file, log_file = Path(folder, "body"), Path(folder, "log")
        body_file.write_bytes(body)
        command = [
            program,
            f"--clients={load.callers}",
            "--max-concurrent-streams=1",
            f"--connection-inactivity-timeout={_milliseconds(load.timeout_seconds)}",
            f"--data={body_file}",
            *arguments,
        ]
        grace = load.timeout_seconds + _GRACE_SECONDS
        # In a run of its own: h2load's own warm-up counts its bytes into the sum that is checked here.
        if load.warm_up_seconds:
            _run([*command, f"--duration={_milliseconds(load.warm_up_seconds)}"], load.warm_up_seconds + grace)
        before = _children_cpu_seconds()
        duration = f"--duration={_milliseconds(load.seconds)}"
        output = _run([*command, duration, f"--log-file={log_file}"], load.seconds + grace)
        tally = read_findings(output, log_file.read_text().splitlines(), reply_bytes, load.callers, most_strange)
        tally.seconds = load.seconds
        tally.cpu_seconds = _children_cpu_seconds() - before
        return tally


def read_findings(
    output: str, log: Iterable[str], reply_bytes: int, callers: int, most_strange: float = MOST_STRANGE
) -> Tally:
    """What h2load counted. `log` has a line for each call: when it began, HTTP's status, microseconds."""
    tally = Tally()
    for line in log:
        _, status, microseconds, *_ = line.split("\t")
        if status == "200":
            tally.latency.add(int(microseconds) / 1e6)
        else:
            tally.fail("h2load: no reply" if status == "-1" else f"HTTP status {status}")
    counts, sizes = _COUNTS.search(output), _DATA.search(output)
    if counts is None or sizes is None:
        raise SetupError(f"h2load says nothing that is understood here: {output.strip()[-200:]}")
    lost = sum(map(int, counts.groups())) - tally.failed
    if lost > 0:
        tally.fail("h2load: failed, errored or timed out", lost)
    wanted = tally.latency.count * reply_bytes
    strange = abs(int(sizes.group(1)) - wanted)
    if strange > most_strange * wanted + _EDGE_CALLS * callers * reply_bytes:
        tally.fail(f"replies of another size: {sizes.group(1)} bytes in all instead of {wanted} (see --engine grpcio)")
    return tally


def _run(command: list[str], seconds: float) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SetupError(f"h2load cannot be run: {error}") from error
    if done.returncode:
        reason = (done.stderr or done.stdout).strip().rpartition("\n")[2]
        raise SetupError(f"h2load failed with exit code {done.returncode}: {reason}")
    return done.stdout


def _milliseconds(seconds: float) -> str:
    return f"{max(1, round(seconds * 1000))}ms"


def _children_cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
