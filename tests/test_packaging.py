"""What an installation holds: real files, `python -m master` from anywhere, and nothing else under a bare name."""

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from mindspore_serving.compiled import BUILT, SWITCH
from tests.processes import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree, built from a copy so that nothing is written into the tree."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    leave_out = shutil.ignore_patterns(
        ".git", ".venv*", "*.egg-info", "build", "__pycache__", ".mypy_cache", "1", "*.so", BUILT
    )
    shutil.copytree(ROOT, source, symlinks=True, ignore=leave_out)
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    # What is compiled is made for one Python, and takes a minute.
    environment = {**os.environ, SWITCH: "0"}
    subprocess.run([*build, str(source)], check=True, capture_output=True, env=environment)
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
        files = [file for kind in ("*.py", "*.[ch]") for file in (ROOT / folder).rglob(kind)]
        assert inside == {f"mindspore_serving/{file.relative_to(ROOT)}" for file in files}
    assert "mindspore_serving/py.typed" in names
    assert "mindspore_serving/proto/ms_service_pb2.pyi" in names
    assert "mindspore_serving/proto/services.binpb" in names


# What a plain `pip install mindspore-serving-cluster` brings along (setup.cfg, install_requires).
PLAIN = ("google", "grpc", "numpy", "typing_extensions.py")


def installed(wheel: Path, folder: Path, keep: Callable[[str], bool]) -> tuple[Path, dict[str, str]]:
    """An environment with our wheel: its python, and the variables that show it those dependencies of ours to keep."""
    venv.create(folder / "venv", symlinks=True)
    (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
    zipfile.ZipFile(wheel).extractall(site)
    own_site = Path(os.__file__).parent if sys.prefix == sys.base_prefix else next(Path(sys.prefix).glob("lib/python*"))
    dependencies = folder / "dependencies"
    dependencies.mkdir()
    for entry in (own_site / "site-packages").iterdir():
        if "mindspore_serving" not in entry.name and not entry.name.endswith(".pth") and keep(entry.name):
            (dependencies / entry.name).symlink_to(entry)
    return folder / "venv" / "bin" / "python", {"PYTHONPATH": str(dependencies)}


def run_from_elsewhere(python: Path, variables: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    elsewhere = python.parents[2] / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    return subprocess.run(
        [python, *arguments], cwd=elsewhere, env=variables, capture_output=True, text=True, check=False, timeout=60
    )


def test_the_installed_commands_work_from_any_folder(wheel: Path, tmp_path: Path) -> None:
    python, variables = installed(wheel, tmp_path, lambda name: True)
    for module in ("master", "worker"):
        helped = run_from_elsewhere(python, variables, "-m", module, "--help")
        assert helped.returncode == 0, helped.stderr
        assert f"python -m {module}" in helped.stdout


def test_a_plain_installation_has_the_client_and_names_what_a_command_lacks(wheel: Path, tmp_path: Path) -> None:
    python, variables = installed(wheel, tmp_path, lambda name: name.startswith(PLAIN))
    assert run_from_elsewhere(python, variables, "-c", "import mindspore_serving.client").returncode == 0
    doors = ("--grpc", "5500", "--ctrl", "6500")
    for module, arguments in (("master", doors), ("worker", ("--servable", "add", "--master", "127.0.0.1:1"))):
        assert run_from_elsewhere(python, variables, "-m", module, "--help").returncode == 0
        lacking = run_from_elsewhere(python, variables, "-m", module, *arguments)
        assert lacking.returncode == 1
        (line,) = [line for line in lacking.stderr.splitlines() if " INFO " not in line]
        assert f"pip install 'mindspore-serving-cluster[{module}]'" in line
