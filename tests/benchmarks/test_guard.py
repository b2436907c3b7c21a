"""The master's path cannot become half as slow again unnoticed: its CPU per request, against a yardstick in one run."""

import asyncio
import sys
from collections.abc import Awaitable, Callable

import pytest

from benchmarks.hot_path import CALLERS, CALLS, REQUEST, measure, serve
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
LIMIT = RECORDED * 1.27
# What disturbs a try makes the path dearer than the yardstick as a rule, up to 1.25 times beside work that takes both
# cores and their caches: the first try below the limit is enough. Where the path costs half more, none of them is.
TRIES = 20

pytestmark = pytest.mark.skipif(WHY_NOT_COMPILED is not None, reason="the figure is that of the compiled path")


async def half_more(predict: Predict) -> None:
    """The same calls, and every second one twice: a path that costs 1.5 times as much."""

    async def caller() -> None:
        for number in range(CALLS):
            for _ in range(1 + number % 2):
                await predict(REQUEST, None)

    await asyncio.gather(*(caller() for _ in range(CALLERS)))


def measured(work: Callable[[Predict], Awaitable[None]], holds: Callable[[float], bool]) -> float:
    """The first ratio of up to TRIES that holds, or the last."""
    for _ in range(TRIES):
        ratio = asyncio.run(measure(work=work)).ratio
        if holds(ratio):
            break
    return ratio


def test_a_request_costs_the_master_no_more_than_recorded() -> None:
    ratio = measured(serve, lambda ratio: ratio < LIMIT)
    assert ratio < LIMIT, (
        f"the master's path costs {ratio:.2f} yardsticks a request, {RECORDED:.2f} was recorded: "
        "see benchmarks/hot_path.py"
    )


def test_a_path_that_costs_half_more_would_be_noticed() -> None:
    ratio = measured(half_more, lambda ratio: ratio > LIMIT)
    assert ratio > LIMIT, (
        f"the path has become faster (1.5 times its cost is {ratio:.2f} yardsticks a request): lower RECORDED"
    )
