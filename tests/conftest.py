"""What several folders of tests need: real processes, and a servable that is exported once."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mindspore_serving.worker.config import OFF, TUNE_VARIABLE
from tests.processes import ROOT, Processes, processes


@pytest.fixture(scope="session", autouse=True)
def _no_tuning() -> Iterator[None]:
    """Workers that tests start do not measure settings, but for those that say so: it takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(TUNE_VARIABLE, OFF)
        yield


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
