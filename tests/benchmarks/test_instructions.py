"""Instructions are counted by function; what cannot be counted is told."""

import shutil

import pytest

from benchmarks.instructions import counted
from mindspore_serving.cluster.errors import SetupError


def short(rounds: int) -> None:
    for _ in range(1000 * rounds):
        pass


def long(rounds: int) -> None:
    short(4 * rounds)


def failing(rounds: int) -> None:
    raise ValueError(f"not {rounds} rounds")


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed")
def test_four_times_the_work_takes_four_times_the_instructions() -> None:
    costs = counted(short, long)
    assert costs["long"] == pytest.approx(4 * costs["short"], rel=0.05)


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed")
def test_work_that_fails_is_told() -> None:
    with pytest.raises(SetupError, match="ValueError: not 1 rounds"):
        counted(failing)


def test_without_valgrind_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SetupError, match="apt-get install valgrind"):
        counted(short)
