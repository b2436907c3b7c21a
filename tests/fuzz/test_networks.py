"""A few random networks, and what becomes of a fault: see networks/."""

import pytest

from mindspore_serving.worker import kernels
from tests.fuzz.networks.__main__ import endings, main

pytestmark = pytest.mark.skipif(kernels.library() is None, reason="the kernels are not compiled")

SPOILT = "tests.fuzz.networks.spoilt"


def test_rewritten_graphs_give_the_numbers_of_random_networks() -> None:
    told = dict(endings(range(12)))
    assert list(told) == list(range(12))
    assert {ending["outcome"] for ending in told.values()} <= {"FINE", "SENSITIVE", "WRONG", "NOT_RUN", "NOT_EXPORTED"}
    assert sum(ending["outcome"] == "FINE" for ending in told.values()) >= 8


def test_a_wrong_graph_is_a_line_with_the_smallest_network_that_shows_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "0:4", "--shrink"], SPOILT) == 1
    *faults, last = capsys.readouterr().out.splitlines()
    assert last.startswith("4 seeds: ")
    for fault in faults:
        assert fault.startswith("seed ")
        assert ": FAULT: FASTER is off by " in fault
        assert fault.count(" | ") <= 3  # inputs, a line or two, outputs


def test_a_process_that_dies_costs_one_seed() -> None:
    told = dict(endings(range(2), "die", SPOILT))
    assert [ending["outcome"] for ending in told.values()] == ["FAULT", "FAULT"]
    assert told[0]["story"].startswith("FASTER ends the process: -11")
