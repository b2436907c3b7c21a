"""The check of the checks: every planted bug fits the code, some are noticed here; `make mutants` tries them all."""

from pathlib import Path

import pytest

from tests.cluster import mutants
from tests.cluster.mutant_list import MUTANTS, Mutant
from tests.cluster.mutants import main, plant, try_out


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.breaks)
def test_a_planted_bug_stands_where_the_list_says(mutant: Mutant) -> None:
    text = (mutants.ROOT / "cluster" / mutant.file).read_text()
    assert text.count(mutant.old) == 1 and mutant.old != mutant.new
    compile(text.replace(mutant.old, mutant.new), mutant.file, "exec")


def test_a_bug_that_does_not_fit_the_code_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"cluster/purse.py has 0 times 'not there': mend MUTANTS"):
        plant(Mutant("purse.py", "nothing", "not there", ""), tmp_path)


@pytest.mark.parametrize(
    "breaks",
    ["results in the wrong order", "cancel leaves the entry", "a lease is not renewed"],
)
def test_the_simulator_notices_a_planted_bug(breaks: str) -> None:
    (mutant,) = [mutant for mutant in MUTANTS if mutant.breaks == breaks]
    assert try_out(mutant, seeds=10).startswith("simulator: seed ")


def test_a_bug_that_nothing_notices_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    harmless = Mutant("purse.py", "nothing", "ASK_BACK_AFTER = 4  #", "ASK_BACK_AFTER = 2 + 2  #")
    monkeypatch.setattr(mutants, "MUTANTS", (harmless,))
    monkeypatch.setattr(mutants, "TESTS", ("purse",))
    monkeypatch.setattr(mutants, "SEEDS", 1)
    assert main(["--processes", "1"]) == 1
    told = capsys.readouterr().out
    assert "SURVIVED" in told and "1 planted bugs, 0 noticed, 1 survived" in told


def test_words_that_choose_nothing_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["no-such-bug"])
    assert "no planted bug has any of these words: no-such-bug" in capsys.readouterr().err
