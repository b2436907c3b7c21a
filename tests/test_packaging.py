"""What an installation holds: real files, `python -m master` from anywhere, and nothing else under a bare name."""

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from tests.processes import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree, built from a copy so that nothing is written into the tree."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    leave_out = shutil.ignore_patterns(".git", ".venv*", "*.egg-info", "build", "__pycache__", ".mypy_cache", "1")
    shutil.copytree(ROOT, source, symlinks=True, ignore=leave_out)
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    subprocess.run([*build, str(source)], check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_each_file_once_and_nothing_under_a_bare_name(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name for name in names if name.startswith(("master/", "worker/"))} == {
        "master/__init__.py",
        "master/__main__.py",
        "worker/__init__.py",
        "worker/__main__.py",
    }
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"master", "worker", "mindspore_serving"}
    for folder in ("cluster", "master", "worker", "client"):
        inside = {name for name in names if name.startswith(f"mindspore_serving/{folder}/")}
        assert inside == {f"mindspore_serving/{folder}/{file.name}" for file in (ROOT / folder).glob("*.py")}
    assert "mindspore_serving/py.typed" in names
    assert "mindspore_serving/proto/ms_service_pb2.pyi" in names


def test_the_installed_commands_work_from_any_folder(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    # The dependencies are those of this environment; ours is what the wheel holds.
    (site,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    zipfile.ZipFile(wheel).extractall(site)
    own_site = Path(os.__file__).parent if sys.prefix == sys.base_prefix else next(Path(sys.prefix).glob("lib/python*"))
    dependencies = tmp_path / "dependencies"
    dependencies.mkdir()
    for entry in (own_site / "site-packages").iterdir():
        if "mindspore_serving" not in entry.name and not entry.name.endswith(".pth"):
            (dependencies / entry.name).symlink_to(entry)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for module in ("master", "worker"):
        helped = subprocess.run(
            [python, "-m", module, "--help"],
            cwd=elsewhere,
            env={"PYTHONPATH": str(dependencies)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert helped.returncode == 0, helped.stderr
        assert f"python -m {module}" in helped.stdout
