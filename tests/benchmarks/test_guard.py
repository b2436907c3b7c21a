"""The master's path cannot become half as slow again unnoticed: its CPU per request, against a yardstick in one run."""

import asyncio
import statistics
import sys

import pytest

from benchmarks.hot_path import CALLERS, CALLS, REQUEST, measure
from mindspore_serving import WHY_NOT_COMPILED
from mindspore_serving.master.ms_service import Predict
from mindspore_serving.worker.engine_settings import cpu_line

# What benchmarks/hot_path.py prints. When the path becomes faster, the second test fails until this is lowered:
# a limit that is too wide guards nothing. On 3.11 0.80-0.86 with Debian's Python, 0.70-0.80 with pyenv's; on an AMD
# EPYC 0.60-0.72 and 0.66-0.76.
ON_AMD = 0.87
RECORDED = {(3, 10): 0.52, (3, 11): 0.78, (3, 12): 0.82}[sys.version_info[:2]] * (
    ON_AMD if "AuthenticAMD" in cpu_line("vendor_id") else 1.0
)
NOISE = 1.22  # 20 runs on a busy machine of two cores are within 5 % of their median
TRIES = 5  # of which the median counts: a slow moment, of the path or of the yardstick, decides nothing

pytestmark = pytest.mark.skipif(WHY_NOT_COMPILED is not None, reason="the figure is that of the compiled path")


async def half_more(predict: Predict) -> None:
    """The same calls, and every second one twice: a path that costs 1.5 times as much."""

    async def caller() -> None:
        for number in range(CALLS):
            for _ in range(1 + number % 2):
                await predict(REQUEST, None)

    await asyncio.gather(*(caller() for _ in range(CALLERS)))


def test_a_request_costs_the_master_no_more_than_recorded() -> None:
    ratio = statistics.median(asyncio.run(measure()).ratio for _ in range(TRIES))
    assert ratio < RECORDED * NOISE, (
        f"the master's path costs {ratio:.2f} yardsticks a request, {RECORDED:.2f} was recorded: "
        "see benchmarks/hot_path.py"
    )


def test_a_path_that_costs_half_more_would_be_noticed() -> None:
    # In one try of them at least: next to work that takes both cores, the yardstick is the slower of the two.
    ratio = max(asyncio.run(measure(work=half_more)).ratio for _ in range(TRIES))
    assert ratio > RECORDED * NOISE, (
        f"the path has become faster (1.5 times its cost is {ratio:.2f} yardsticks a request): lower RECORDED"
    )
