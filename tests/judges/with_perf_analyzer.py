"""Loads a master with perf_analyzer, Triton's own load generator, over both doors of the v2 protocol.

It is in the wheels of tritonclient up to 2.41, which a folder `perf` beside this interpreter has: see the Makefile.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

PLACE = Path(sys.prefix) / "perf"
LIBRARIES = PLACE / "nvidia" / "cuda_runtime" / "lib"  # it is linked to them, and needs no GPU
SECONDS = 60
# Windows of so many requests, and whatever their times: this machine may be busy.
SHORT = ["--measurement-mode", "count_windows", "--measurement-request-count", "200", "--stability-percentage", "999"]
WAYS = {
    "grpc": ["-i", "grpc"],
    "grpc, asynchronous, 64 at once": ["-i", "grpc", "-a", "--concurrency-range", "64"],
    "grpc stream": ["-i", "grpc", "--streaming"],
    "grpc, gzip": ["-i", "grpc", "--grpc-compression-algorithm", "gzip"],
    "grpc, 16 instances": ["-i", "grpc", "-b", "16"],
    "grpc, 200 requests a second": ["-i", "grpc", "--request-rate-range", "200", "--request-distribution", "poisson"],
    "grpc, shared memory": ["-i", "grpc", "--shared-memory", "system"],
    "grpc, shared memory, 16 at once": ["-i", "grpc", "-a", "--shared-memory", "system", "--concurrency-range", "16"],
    "http": ["-i", "http"],
    "http, shared memory": ["-i", "http", "--shared-memory", "system"],
    "http, 8 at once, 16 instances": ["-i", "http", "-b", "16", "--concurrency-range", "8"],
}


def run(address, *options):
    command = [PLACE / "bin" / "perf_analyzer", "-m", "judged", "-u", address, *SHORT, *options]
    libraries = {**os.environ, "LD_LIBRARY_PATH": str(LIBRARIES)}
    made = subprocess.run(command, env=libraries, capture_output=True, text=True, timeout=SECONDS)
    return made.returncode, made.stdout + made.stderr


def main(grpc_address, http_address):
    (PLACE / "bin" / "perf_analyzer").chmod(0o755)
    for name, options in WAYS.items():
        code, said = run(grpc_address if "grpc" in options else http_address, *options)
        # What the client counts, and what the server's statistics say of the same time.
        counts = [int(count) for count in re.findall(r"(?:Request|Successful request) count: (\d+)", said)]
        assert code == 0 and len(counts) == 2, f"{name}:\n{said}"
        assert min(counts) > 0 and max(counts) < 2 * min(counts), f"{name}: {counts} requests\n{said}"
        print(f"{name}: passed", flush=True)
    code, said = run(grpc_address, "-i", "grpc", "--shared-memory", "cuda")
    assert code, said
    print("perf_analyzer: passed", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
