"""What the garbage collector leaves alone in a process that serves."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from mindspore_serving.garbage import keep_what_is_here
from tests.processes import Processes, free_ports


@pytest.fixture(autouse=True)
def _thawed() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


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


@pytest.mark.parametrize(("before", "after"), [(700, 20_000), (50_000, 50_000), (0, 0)])
def test_it_looks_seldom_unless_somebody_wants_it_to_look_less(before: int, after: int) -> None:
    gc.set_threshold(before, 10, 11)
    keep_what_is_here()
    assert gc.get_threshold() == (after, 10, 11)


# main() returns at its end: a thread tells, and looks every few milliseconds.
MASTER = """
import gc, sys, threading, time

def tell():
    while not gc.get_freeze_count():
        time.sleep(0.01)
    print("frozen", flush=True)

threading.Thread(target=tell, daemon=True).start()

from mindspore_serving.master.__main__ import main
sys.exit(main(["--grpc", "127.0.0.1:%d", "--ctrl", "127.0.0.1:%d"]))
"""
# Such a script ends with its last line, and the master in it.
SCRIPT = """
import gc

from mindspore_serving import server
server.start_grpc_server("127.0.0.1:%d")
print("frozen" if gc.get_freeze_count() else "as it was", flush=True)
"""


@pytest.mark.parametrize("program", [MASTER, SCRIPT])
def test_a_master_leaves_its_own_objects_alone(run: Processes, program: str) -> None:
    started = run.start("-c", program % tuple(free_ports(program.count("%d"))))
    started.wait_for("frozen")
    started.stop()
