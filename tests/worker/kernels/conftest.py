"""The operators of worker/kernels/, called as MindSpore calls them, give the numbers of numpy, and touch nothing else.

What only adds and multiplies gets small whole numbers: so its results are exact, in whatever order it takes them. Every
test of this folder runs with each set of instructions, by one thread and by three.
"""

from collections.abc import Iterator
from itertools import product

import pytest

from mindspore_serving.worker import kernels
from tests.worker.kernel_calls import library

SETS = 3  # of instructions, where there are most: instructions.c


@pytest.fixture(scope="module", autouse=True, params=[*product(range(SETS), (1, 3))], ids="set{0[0]}-x{0[1]}".format)
def _how(request: pytest.FixtureRequest) -> Iterator[None]:
    if kernels.loaded() is None:
        pytest.skip("the kernels are not compiled")
    number, threads = request.param
    if library().choose_instructions(number) != 1:
        pytest.skip("this machine lacks these instructions")
    assert library().choose_instructions(SETS) == -1
    assert library().use_threads(threads) == threads
    yield
    assert library().use_threads(1) == 1
    assert any(library().choose_instructions(best) == 1 for best in range(SETS))
