"""The master's path cannot become dearer unnoticed: the instructions of a request, in those of a yardstick."""

import shutil
import sys

import pytest

from benchmarks.hot_path import in_yardsticks
from mindspore_serving import WHY_NOT_COMPILED

# What benchmarks/hot_path.py prints for one instance and for sixteen, with pyenv's builds of Python.
RECORDED = {(3, 10): (1.44, 2.28), (3, 11): (2.27, 3.64), (3, 12): (2.42, 3.81)}[sys.version_info[:2]]
MARGIN = 1.15  # of builds of Python; the count itself varies by less than a hundredth

pytestmark = [
    pytest.mark.skipif(WHY_NOT_COMPILED is not None, reason="the figure is that of the compiled path"),
    pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind, which counts, is not installed"),
]


def test_a_request_costs_the_master_no_more_than_recorded() -> None:
    for (name, ratio), recorded in zip(in_yardsticks().items(), RECORDED, strict=True):
        now = f"{name}: a request costs the master {ratio:.2f} yardsticks, {recorded:.2f} was recorded"
        assert ratio < MARGIN * recorded, f"{now}: see benchmarks/hot_path.py"
        assert ratio > recorded / MARGIN, f"{now}: lower RECORDED, a limit that is too wide guards nothing"
