"""Runs every target for so many seconds, and prints how many inputs each has seen: `python -m tests.fuzz [SECONDS]`."""

import re
import subprocess
import sys

from tests.fuzz import TARGETS


def main(seconds: str = "30") -> int:
    """Returns 1 when a target found a fault."""
    faults = 0
    for name in TARGETS:
        command = [sys.executable, "-m", "tests.fuzz.drive", name, seconds]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        counted = re.search(r"stat::number_of_executed_units:\s*(\d+)", done.stderr)
        peak = re.search(r"stat::peak_rss_mb:\s*(\d+)", done.stderr)
        seen = f"{counted[1] if counted else '?':>9} inputs in {seconds} s, {peak[1] if peak else '?'} MB"
        print(f"{name:22} {seen}{'' if done.returncode == 0 else ': FAULT'}", flush=True)
        if done.returncode != 0:
            faults += 1
            how = [line for line in done.stderr.splitlines() if line.startswith(("==", "artifact_prefix", "Base64"))]
            print(done.stdout[-4000:], "\n".join(how), flush=True)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
