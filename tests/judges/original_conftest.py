"""Copied beside the original's tests as their conftest.py: real models for stubs, a limit of time, a record of results.

A model file in which the tests have written "model content" is replaced by the real one of that name. Each test has
SECONDS, then it fails. Assertions stay as they are.
"""

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

MODELS = Path(os.environ["ORIGINAL_MODELS"])
RESULTS = Path(os.environ["ORIGINAL_RESULTS"])
SECONDS = float(os.environ["ORIGINAL_TEST_SECONDS"])


def pytest_collection_finish() -> None:
    import common  # type: ignore[import-not-found]  # the original's, on the path only now

    made_by_test = common.ServingTestBase.init_servable_with_servable_config

    def make_with_models(base: Any, *args: Any, **kwargs: Any) -> None:
        made_by_test(base, *args, **kwargs)
        for file in getattr(base, "model_files_path", None) or [base.model_file_name_path]:
            real = MODELS / Path(file).name
            if real.is_file():
                shutil.copyfile(real, file)

    common.ServingTestBase.init_servable_with_servable_config = make_with_models


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Iterator[None]:
    def too_long(_: int, __: FrameType | None) -> None:
        raise TimeoutError(f"the test took more than {SECONDS:.0f} seconds")

    signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.failed:
        _write("(the file itself)", "failed", str(report.longrepr or ""))


def pytest_runtest_logstart(nodeid: str) -> None:
    _write(nodeid.rpartition("::")[2], "ended its process or ran out of time", "")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" or report.failed or report.skipped:
        crash = getattr(report.longrepr, "reprcrash", None)
        reason = getattr(crash, "message", "") or str(report.longrepr or "")
        _write(report.nodeid.rpartition("::")[2], report.outcome, reason)


def _write(test: str, outcome: str, reason: str) -> None:
    line = {"test": test, "outcome": outcome, "reason": " ".join(reason.split())[:2000]}
    with RESULTS.open("a") as results:
        results.write(json.dumps(line) + "\n")
