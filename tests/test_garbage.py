"""What the garbage collector leaves alone in a process that serves."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from mindspore_serving.garbage import keep_what_is_here


@pytest.fixture(autouse=True)
def _thawed() -> Iterator[None]:
    yield
    gc.unfreeze()


class Knot:
    """One that only the collector takes away."""

    def __init__(self) -> None:
        self.own = self


def test_what_is_there_is_not_looked_at_and_what_comes_later_is() -> None:
    gone = weakref.ref(Knot())
    keep_what_is_here()
    assert gone() is None
    assert gc.get_freeze_count() > len(gc.get_objects())
    later = weakref.ref(Knot())
    gc.collect()
    assert later() is None
