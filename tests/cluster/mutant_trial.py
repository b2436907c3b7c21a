"""What runs inside a copy of the tree in which a bug was planted: the simulator, then the core's own tests.

mutant_trial.py SEEDS [TEST ...] prints a line for what notices the bug; `mutants` starts it and reads that.
"""

import sys

import pytest

from tests.cluster.simulate import failures

SIMULATOR, TESTS, NOTHING = "simulator:", "tests:", "nothing"


class FirstFailure:
    """A plugin of pytest that remembers which test failed first."""

    def __init__(self) -> None:
        self.test = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.test:
            self.test = report.nodeid.rpartition("::")[2]

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed and not self.test:
            self.test = f"{report.nodeid} cannot be collected"


def noticed_by(seeds: int, tests: list[str]) -> str:
    """The first seed that fails; else the first test; else nothing."""
    for seed in range(seeds):
        for _, story in failures([seed]):
            # A check that stands in a run names its seed itself.
            return f"{SIMULATOR} seed {seed}: {story.splitlines()[0].removeprefix(f'seed {seed}: ')}"
    first = FirstFailure()
    pytest.main(["-x", "-q", "--no-header", "--no-summary", *tests], plugins=[first])
    return f"{TESTS} {first.test}" if first.test else NOTHING


if __name__ == "__main__":
    print(f"\n{noticed_by(int(sys.argv[1]), sys.argv[2:])}")
