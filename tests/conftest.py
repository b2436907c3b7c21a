"""What several folders of tests need: real processes, and a servable that is exported once."""

import faulthandler
import logging
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest
from hypothesis import settings

from mindspore_serving.worker.config import OFF, TUNE_VARIABLE
from tests.processes import ROOT, Processes, processes

END_SECONDS = 120.0  # for the interpreter to end when the tests have

settings.register_profile("untimed", deadline=None)  # a busy machine is no mistake
settings.load_profile("untimed")


def pytest_configure() -> None:
    """Whoever starts the tests under nohup(1), or with &, ignores signals, and so would all that tests start."""
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else _heard)


def _heard(_number: int, _frame: FrameType | None) -> None:
    """Ignores it as well, but a process that is started does not inherit that."""


@pytest.fixture(scope="session", autouse=True)
def _no_tuning() -> Iterator[None]:
    """Workers that tests start do not measure settings, but for those that say so: it takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(TUNE_VARIABLE, OFF)
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    """One that is no daemon would keep this process for ever, after all tests have passed."""
    yield
    left = [thread.name for thread in threading.enumerate() if not thread.daemon]
    assert left == [threading.main_thread().name]


@pytest.fixture(autouse=True)
def _no_log_handler_is_left() -> Iterator[None]:
    """One that a command has set up writes to what pytest shows of that test, and would fail in the next."""
    yield
    for logger in (logging.getLogger(), logging.getLogger("mindspore_serving")):
        for handler in [one for one in logger.handlers if type(one) is logging.StreamHandler]:
            logger.removeHandler(handler)


def pytest_unconfigure() -> None:
    """Whatever else may hold up the end is named, and fails."""
    faulthandler.dump_traceback_later(END_SECONDS, exit=True)


@pytest.fixture
def run() -> Iterator[Processes]:
    """Starts processes, and leaves none behind."""
    with processes() as group:
        yield group


@pytest.fixture(scope="session")
def servables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of servables: examples/add, exported by MindSpore, and the tests' own faulty ones."""
    folder = tmp_path_factory.mktemp("servables")
    shutil.copytree(ROOT / "examples" / "add", folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("1"))
    subprocess.run([sys.executable, str(folder / "export_model.py")], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models of every kind, exported once: see tests/worker/exported.py."""
    folder = tmp_path_factory.mktemp("models")
    exporter = ROOT / "tests" / "worker" / "exported.py"
    subprocess.run([sys.executable, str(exporter), str(folder)], check=True, capture_output=True)
    return folder
