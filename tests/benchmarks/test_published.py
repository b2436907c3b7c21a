"""What benchmarks.published says without mindcv, and that it compares a model of mindcv's shape."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MINDCV = """
from mindspore import nn, ops


class Model(nn.Cell):
    def __init__(self):
        super().__init__()
        self.layers = nn.SequentialCell(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten())

    def construct(self, x):
        return self.layers(x)


def create_model(name, pretrained):
    return Model()


def list_models():
    return ["small"]
"""
REFUSED = {
    "other": "mindcv has no model 'other'",
    "small:wide": "--models takes NAME, or NAME:SIZE with the pixels of a side",
}


def run(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """In a folder of its own, where a module stands for mindcv, if there is one."""
    command = [sys.executable, "-m", "benchmarks.published", "--rounds", "1", *words]
    paths = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(folder)}
    return subprocess.run(command, cwd=ROOT, env=paths, check=False, capture_output=True, text=True, timeout=120)


def test_without_mindcv_it_says_how_to_get_it(tmp_path: Path) -> None:
    (tmp_path / "mindcv.py").write_text("raise ModuleNotFoundError")
    done = run(tmp_path)
    assert done.returncode == 2
    assert done.stderr.endswith("error: mindcv is not installed: .venv/bin/pip install mindcv==0.3.0\n")


@pytest.mark.parametrize("model", REFUSED)
def test_models_that_are_none_are_refused_by_a_line(tmp_path: Path, model: str) -> None:
    (tmp_path / "mindcv.py").write_text(MINDCV)
    done = run(tmp_path, "--models", model)
    assert done.returncode == 2
    assert done.stderr.endswith(f"error: {REFUSED[model]}\n")


def test_a_model_is_compared_with_its_network(tmp_path: Path) -> None:
    (tmp_path / "mindcv.py").write_text(MINDCV)
    done = run(tmp_path, "--models", "small:20")
    assert done.returncode == 0, done.stderr
    name, before, after, ratio, error = done.stdout.splitlines()[-1].split()
    assert name == "small"
    assert min(float(before), float(after), float(ratio)) > 0
    assert float(error) < 1e-4
