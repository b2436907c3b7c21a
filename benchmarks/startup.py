"""How soon a master listens and a worker is ready, and what they weigh: medians of some starts.

    python -m benchmarks.startup

The worker's own share is its time to registration less the time that `import mindspore` takes in a bare process: both
are measured in turn.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.peers import ROOT, free_port
from benchmarks.processor import resident_megabytes

ROUNDS = 5
MODEL = "add"
QUIET = ("--log-level", "error")


def ready_after(process: "subprocess.Popen[str]", start: float, line: str) -> float:
    """Seconds until the process prints a line. Raises RuntimeError when it ends without."""
    assert process.stdout is not None
    for said in process.stdout:
        if line in said:
            return time.monotonic() - start
    raise RuntimeError(f"{process.args!r} has ended without saying '{line}'")


def launch(arguments: Sequence[str]) -> tuple["subprocess.Popen[str]", float]:
    """A process whose output can be read, and the moment of its start."""
    start = time.monotonic()
    process = subprocess.Popen([sys.executable, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    return process, start


def import_seconds() -> float:
    """What a process needs from its start until it has imported MindSpore."""
    process, start = launch(["-c", "import mindspore; print('imported', flush=True)"])
    seconds = ready_after(process, start, "imported")
    stop(process)
    return seconds


def stop(process: "subprocess.Popen[str]") -> None:
    process.terminate()
    process.communicate()


def main() -> None:
    masters, workers, imports, weights = [], [], [], []
    with tempfile.TemporaryDirectory() as folder:
        exporter = [sys.executable, "-m", "benchmarks.export_models", folder + "/models", "0", MODEL]
        subprocess.run(exporter, cwd=ROOT, check=True, capture_output=True)
        for _ in range(ROUNDS):
            control = str(free_port())
            master, start = launch(["-m", "master", "--grpc", str(free_port()), "--ctrl", control, *QUIET])
            masters.append(ready_after(master, start, "Serving gRPC start success"))
            place = ["--servable", MODEL, "--directory", str(Path(folder, "models")), "--device", "0"]
            worker, start = launch(["-m", "worker", *place, "--master", f"127.0.0.1:{control}", *QUIET])
            workers.append(ready_after(worker, start, "registered at"))
            weights.append((resident_megabytes(master.pid), resident_megabytes(worker.pid)))
            stop(worker)
            stop(master)
            imports.append(import_seconds())
    own = statistics.median(worker - bare for worker, bare in zip(workers, imports, strict=True))
    print(f"master: gRPC port open after {statistics.median(masters):.2f} s (from {min(masters):.2f})")
    print(
        f"worker: registered after {statistics.median(workers):.2f} s (from {min(workers):.2f}), of which "
        f"{statistics.median(imports):.2f} s are `import mindspore` in a bare process and {own:.2f} s are our own"
    )
    heavy = statistics.median(one for one, _ in weights), statistics.median(other for _, other in weights)
    print(f"memory, idle: master {heavy[0]:.0f} MB, worker {heavy[1]:.0f} MB")


if __name__ == "__main__":
    main()
