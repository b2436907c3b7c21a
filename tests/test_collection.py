"""Two processes that run the tests side by side find the same ones: else pytest-xdist refuses them all."""

import os
import subprocess
import sys

from tests.processes import ROOT


def collected(seed: int) -> list[str]:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:xdist", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
    return [line for line in done.stdout.splitlines() if "::" in line]


def test_the_names_of_tests_depend_on_no_clock_and_no_order_of_a_set() -> None:
    """A test's name held the second in which gzip.compress() was called, once."""
    first = collected(1)  # it takes seconds, so that the clock goes on
    assert first and first == collected(2)
